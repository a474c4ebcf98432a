"""Abstracts with spans, as NCBI and BioCreative distribute them."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.loaders import pubtator_ner
from clinical_modernbert.tasks.reading.data_folder import DataFolder

ONE = "1|t|Fever in adults\n1|a|Aspirin for fever.\n1\t0\t5\tFever\tDisease\tD1\n1\t16\t23\tAspirin\tChemical\tD2\n\n"
FEVER, ASPIRIN = Span(0, 5, "Disease"), Span(16, 23, "Chemical")


def test_each_task_takes_the_spans_of_its_labels(tmp_path: Path) -> None:
    (tmp_path / "CDR.Corpus.v010516").mkdir()
    for name in pubtator_ner.BC5CDR:
        (tmp_path / "CDR.Corpus.v010516" / name).write_text(ONE)
    for load, spans in (
        (pubtator_ner.bc5cdr, (FEVER, ASPIRIN)),
        (pubtator_ner.bc5cdr_disease, (FEVER,)),
        (pubtator_ner.bc5cdr_chemical, (ASPIRIN,)),
    ):
        (example,) = load(DataFolder(tmp_path, "")).test
        assert example.spans == spans
        assert example.text == "Fever in adults\nAspirin for fever."


def test_the_official_files_of_ncbi_give_the_counts_of_the_card(shared_data: Path) -> None:
    data = catalogue.load("ncbi-disease", shared_data / "benchmarks")
    assert sum(len(text.spans) for text in data.splits.test) == 960
    assert data.splits.counted["document repeated"] == 1
    assert all(text.text[span.start : span.end].strip() for text in data.splits.train for span in text.spans)


@pytest.mark.parametrize(
    ("task", "mentions"), [("bc5cdr-disease", (4182, 4244, 4424)), ("bc5cdr-chemical", (5203, 5347, 5385)), ("bc5cdr", (9385, 9591, 9809))]
)
def test_the_official_files_of_bc5cdr_have_as_many_mentions_as_its_paper_says(
    shared_data: Path, task: str, mentions: tuple[int, int, int]
) -> None:
    splits = catalogue.load(task, shared_data / "benchmarks").splits
    assert tuple(sum(len(text.spans) for text in part) for part in (splits.train, splits.dev, splits.test)) == mentions


def test_a_partial_copy_is_one_error_that_says_how_to_get_the_rest(tmp_path: Path) -> None:
    (tmp_path / "ncbi-disease").mkdir()
    with pytest.raises(DataError, match=r"no NCBItrainset_corpus.txt \(.*\)\. Unpack NCBItrainset_corpus\.zip"):
        catalogue.load("ncbi-disease", tmp_path)
    for name in ("NCBItrainset", "NCBIdevelopset", "NCBItestset"):
        (tmp_path / "ncbi-disease" / f"{name}_corpus.txt").write_text(ONE)
    with pytest.raises(DataError, match="train has 1 examples, not 592: another or a partial copy"):
        catalogue.load("ncbi-disease", tmp_path)
