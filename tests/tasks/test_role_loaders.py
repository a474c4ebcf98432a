"""Roles of sentences and of passages of abstracts."""

import gzip
import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders.article_roles import article_roles
from clinical_modernbert.tasks.loaders.sentence_roles import nicta_piboso
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TWO = "###11\nbackground\tRash is common .\nstudy design\tA made-up study .\n\n###12\noutcome\tNone had rash .\n\n"


def sentences(folder: Path, test: str = TWO) -> DataFolder:
    for name, text in (("train", TWO), ("dev", TWO), ("test", test)):
        (folder / f"{name}_clean.txt").write_text(text)
    return DataFolder(folder, "Copy it.")


def articles(folder: Path, *abstracts: object) -> DataFolder:
    lines = [json.dumps({"pmcid": f"PMC{number}", "abstract": abstract}) for number, abstract in enumerate(abstracts)]
    (folder / "articles.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return DataFolder(folder, "Make it.")


def section(label: str | None, text: str = "Some words.") -> dict[str, str | None]:
    return {"label": label, "text": text}


def test_a_sentence_has_its_role_and_belongs_to_its_abstract(tmp_path: Path) -> None:
    assert nicta_piboso(sentences(tmp_path)).test == [
        LabelledText("11-1", "Rash is common .", ("background",), group="11"),
        LabelledText("11-2", "A made-up study .", ("study design",), group="11"),
        LabelledText("12-1", "None had rash .", ("outcome",), group="12"),
    ]


@pytest.mark.parametrize("text", ["outcome\tNone had rash .\n", "###11\nNone had rash .\n"])
def test_a_line_of_no_abstract_or_without_a_role_is_an_error_that_does_not_quote_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"neither `###ID` nor .*test_clean\.txt, line [12]\)") as error:
        nicta_piboso(sentences(tmp_path, test=text))
    assert "rash" not in str(error.value)


def test_the_files_of_nicta_piboso_have_the_counts_of_the_card_and_no_abstract_twice(shared_data: Path) -> None:
    splits = catalogue.load("nicta-piboso", shared_data / "benchmarks").splits
    groups = [{example.group for example in part} for part in (splits.train, splits.dev, splits.test)]
    assert [len(part) for part in groups] == [720, 80, 200]
    assert len(set.union(*groups)) == 1000
    assert len({example.labels for example in splits.test}) == 6


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("Introduction", "background"),
        ("AIMS:", "objective"),
        ("[Methods]", "methods"),
        ("Methods/Design", "methods"),
        ("Materials and Methods", "methods"),
        ("Findings", "results"),
        ("Conclusions/Significance", "conclusions"),
    ],
)
def test_a_label_is_one_of_five_roles_however_it_is_written(tmp_path: Path, label: str, role: str) -> None:
    splits = article_roles(articles(tmp_path, [section(label)]))
    (example,) = [*splits.train, *splits.dev, *splits.test]
    assert example == LabelledText("PMC0-1", "Some words.", (role,), group="PMC0")


def test_sections_of_no_role_of_several_or_without_text_are_counted(tmp_path: Path) -> None:
    left_out = [
        section("Trial registration"),
        section("Methods and ethics"),
        section("Methods and Findings"),
        section(None),
        section("Aim", " "),
    ]
    splits = article_roles(articles(tmp_path, left_out))
    assert not splits.train
    assert splits.counted == {
        "label of no role": 2,
        "label of several roles": 1,
        "section without a label": 1,
        "section without text": 1,
    }


def test_sections_of_one_article_stay_together_in_parts_of_about_80_10_and_10(tmp_path: Path) -> None:
    splits = article_roles(articles(tmp_path, *[[section("Aim"), section("Results")]] * 1000))
    groups = [{example.group for example in part} for part in (splits.train, splits.dev, splits.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 1000
    assert [len(part) for part in groups] == pytest.approx([800, 100, 100], abs=40)


def test_a_line_that_is_no_article_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no article with .*articles\.jsonl\.gz, line 2\)\. Make it\."):
        article_roles(articles(tmp_path, [section("Aim")], "Aim"))


def test_labelled_abstracts_of_real_articles_give_all_five_roles(shared_data: Path) -> None:
    splits = catalogue.load("article-roles", shared_data).splits
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [5568, 731, 585]
    assert len({example.labels for example in splits.test}) == 5
    assert splits.counted["label of no role"] == 1182
