"""Sentences of tagged words, as MTL-Bioinformatics-2016 has them."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.examples import TaggedText
from clinical_modernbert.tasks.loaders import iob_ner
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TWO = "The\tO\nABC1\tB-GENE\ngene\tI-GENE\nDEF\tB-GENE\n\nNothing\tO\n.\tO\n"


def write(folder: Path, test: str = TWO) -> DataFolder:
    for name, text in (("train", TWO), ("devel", TWO), ("test", test)):
        (folder / f"{name}.tsv").write_text(text)
    return DataFolder(folder, "Copy it.")


def test_a_sentence_is_an_example_that_keeps_its_words(tmp_path: Path) -> None:
    splits = iob_ner.sentences(write(tmp_path))
    assert splits.dev == [
        TaggedText("devel-1", "The ABC1 gene DEF", (Span(4, 13, "GENE"), Span(14, 17, "GENE")), ((0, 3), (4, 8), (9, 13), (14, 17))),
        TaggedText("devel-2", "Nothing .", (), ((0, 7), (8, 9))),
    ]


def test_a_line_without_a_tag_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test\.tsv, line 2\)") as error:
        iob_ner.sentences(write(tmp_path, test="The\tO\nABC1\n"))
    assert "ABC1" not in str(error.value)


@pytest.mark.parametrize(("task", "mentions"), [("bc2gm", (15197, 3061, 6325)), ("anatem", (6946, 2139, 4616))])
def test_the_files_hold_all_mentions_of_the_corpus(shared_data: Path, task: str, mentions: tuple[int, int, int]) -> None:
    splits = catalogue.load(task, shared_data / "benchmarks").splits
    assert tuple(sum(len(text.spans) for text in part) for part in (splits.train, splits.dev, splits.test)) == mentions
    assert all(text.words for text in splits.test)


def test_a_changed_file_is_told_from_the_one_that_the_card_describes(tmp_path: Path) -> None:
    (tmp_path / "bc2gm").mkdir()
    write(tmp_path / "bc2gm")
    with pytest.raises(DataError, match=r"another or a damaged copy \(its SHA-256 is not the card's\)"):
        catalogue.load("bc2gm", tmp_path)
