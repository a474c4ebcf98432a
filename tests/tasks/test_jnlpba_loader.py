"""JNLPBA, as the shared task and as MTL-Bioinformatics-2016 have it."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import jnlpba
from clinical_modernbert.tasks.reading.data_folder import DataFolder

SENTENCE = "IL-2\tB-DNA\ngene\tI-DNA\nbinds\tO\nNF-kB\tB-protein\n.\tO\n\n"


def abstract(id: int) -> str:
    return f"###MEDLINE:{id}\n\n{SENTENCE}T\tB-cell_type\ncells\tI-cell_type\n\n"


def test_the_shared_task_has_abstracts_and_dev_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "Genia4ERtask1.iob2").write_text("".join(abstract(id) for id in range(1, 41)))
    (tmp_path / "Genia4EReval1.iob2").write_text(abstract(99))
    splits = jnlpba.jnlpba(DataFolder(tmp_path, ""))
    (example,) = splits.test
    assert (example.id, example.text) == ("MEDLINE:99", "IL-2 gene binds NF-kB .\nT cells")
    assert example.spans == (Span(0, 9, "DNA"), Span(16, 21, "protein"), Span(24, 31, "cell_type"))
    assert len(example.words or ()) == 7
    assert 0 < len(splits.dev) < 15
    assert len(splits.train) + len(splits.dev) == 40


def test_without_it_the_sentences_of_the_other_distribution_are_read(tmp_path: Path) -> None:
    for part, times in (("train", 3), ("devel", 2), ("test", 1)):
        (tmp_path / f"{part}.tsv").write_text(SENTENCE * times)
    splits = jnlpba.jnlpba(DataFolder(tmp_path, ""))
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [3, 2, 1]
    assert splits.test[0].spans == (Span(0, 9, "DNA"), Span(16, 21, "protein"))


def test_training_files_without_a_test_part_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Genia4ERtask1.iob2").write_text(abstract(1))
    with pytest.raises(DataError, match=r"no Genia4EReval1\.iob2"):
        jnlpba.jnlpba(DataFolder(tmp_path, ""))
