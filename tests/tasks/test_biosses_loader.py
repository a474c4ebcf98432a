"""BIOSSES, in the files of BLUE."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import biosses
from clinical_modernbert.tasks.reading.data_folder import DataFolder

HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
ROW = '0\tGENRE\tBIOSSES\t1997\t43\tBIOSSES\tBIOSSES\tA gene is "new".\tA gene, as it is.\t3.4\n'


def write(folder: Path, row: str = ROW) -> DataFolder:
    (folder / "BIOSSES").mkdir()
    for part, times in (("train", 3), ("dev", 2), ("test", 1)):
        (folder / "BIOSSES" / f"{part}.tsv").write_text(HEADER + row * times)
    return DataFolder(folder, "")


def test_a_pair_has_its_mean_score(tmp_path: Path) -> None:
    splits = biosses.biosses(write(tmp_path))
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [3, 2, 1]
    (pair,) = splits.test
    assert (pair.text, pair.second, pair.value) == ('A gene is "new".', "A gene, as it is.", 3.4)


@pytest.mark.parametrize(
    ("row", "reason"),
    [(ROW.replace("3.4", "high"), "a score that is no number"), (ROW.replace("\t3.4", ""), "not as many fields as columns")],
)
def test_a_damaged_row_is_named_by_its_line(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"{reason} \(.*train\.tsv, line 2\)"):
        biosses.biosses(write(tmp_path, row))


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (tmp_path / "BIOSSES" / "dev.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="no column sentence1, sentence2, score"):
        biosses.biosses(folder)
