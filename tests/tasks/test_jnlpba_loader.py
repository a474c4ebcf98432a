"""JNLPBA, as the shared task and as MTL-Bioinformatics-2016 have it."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import TaggedText
from clinical_modernbert.tasks.loaders import jnlpba
from clinical_modernbert.tasks.reading.data_folder import DataFolder

FIRST = "IL-2\tB-DNA\ngene\tI-DNA\nbinds\tO\nNF-kB\tB-protein\n.\tO\n\n"
SECOND = "T\tB-cell_type\ncells\tI-cell_type\n\n"


def write(folder: Path, begin: str, number: str) -> DataFolder:
    """The training file and the test file of one of the two tasks."""
    train = "".join(begin.format(id) + FIRST + SECOND for id in range(1, 41))
    (folder / f"Genia4ERtask{number}.iob2").write_text(train)
    (folder / f"Genia4EReval{number}.iob2").write_text(begin.format(99) + FIRST + SECOND)
    return DataFolder(folder, "")


def test_sentences_are_examples_and_those_of_an_abstract_stay_together(tmp_path: Path) -> None:
    splits = jnlpba.jnlpba(write(tmp_path, "###MEDLINE:{}\n\n", "2"))
    assert splits.test == [
        TaggedText(
            "MEDLINE:99:1",
            "IL-2 gene binds NF-kB .",
            (Span(0, 9, "DNA"), Span(16, 21, "protein")),
            ((0, 4), (5, 9), (10, 15), (16, 21), (22, 23)),
            "MEDLINE:99",
        ),
        TaggedText("MEDLINE:99:2", "T cells", (Span(0, 7, "cell_type"),), ((0, 1), (2, 7)), "MEDLINE:99"),
    ]
    assert 0 < len(splits.dev) < 30
    assert len(splits.train) + len(splits.dev) == 80
    assert not {text.group for text in splits.train} & {text.group for text in splits.dev}


def test_files_that_do_not_say_where_abstracts_begin_have_the_same_sentences(tmp_path: Path) -> None:
    splits = jnlpba.jnlpba(write(tmp_path, "", "1"))
    assert [text.text for text in splits.test] == ["IL-2 gene binds NF-kB .", "T cells"]
    assert len(splits.train) + len(splits.dev) == 80


def test_the_files_that_say_it_are_preferred(tmp_path: Path) -> None:
    write(tmp_path, "", "1")
    assert jnlpba.jnlpba(write(tmp_path, "###MEDLINE:{}\n\n", "2")).test[0].group == "MEDLINE:99"


def test_without_them_the_other_distribution_is_read(tmp_path: Path) -> None:
    for part, times in (("train", 3), ("devel", 2), ("test", 1)):
        (tmp_path / f"{part}.tsv").write_text(f"-DOCSTART-\tO\n\n{FIRST}{SECOND}" * times)
    splits = jnlpba.jnlpba(DataFolder(tmp_path, ""))
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [6, 4, 2]
    assert splits.test[0].spans == (Span(0, 9, "DNA"), Span(16, 21, "protein"))


def test_training_files_without_a_test_part_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Genia4ERtask1.iob2").write_text(FIRST)
    with pytest.raises(DataError, match=r"no Genia4EReval2\.iob2 or Genia4EReval1\.iob2"):
        jnlpba.jnlpba(DataFolder(tmp_path, ""))
