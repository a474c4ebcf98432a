"""Hallmarks of Cancer: texts and labels of its repository, parts as BLURB lists them."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import hoc
from clinical_modernbert.tasks.reading.data_folder import DataFolder

LABELS = {
    1: "< < <Sustaining proliferative signaling--Receptors ANDResisting cell death--Apoptosis<NULL ",
    2: "<Sustaining proliferative signaling--Growth factors--Downstream signaling<Cellular energetics",
    3: "< < ",
}


def write(folder: Path) -> DataFolder:
    for name in ("Hallmarks-of-Cancer-master/text", "Hallmarks-of-Cancer-master/labels", "data_generation/indexing/HoC"):
        (folder / name).mkdir(parents=True)
    for id, labels in LABELS.items():
        (folder / "Hallmarks-of-Cancer-master" / "text" / f"{id}.txt").write_text(f"First of {id} .\nSecond .\n")
        (folder / "Hallmarks-of-Cancer-master" / "labels" / f"{id}.txt").write_text(labels)
    for part, ids in (("train", "1.txt,2.txt"), ("dev", "3.txt\n"), ("test", "2.txt")):
        (folder / "data_generation" / "indexing" / "HoC" / f"{part}_pmid.tsv").write_text(ids)
    return DataFolder(folder, "")


def test_an_abstract_has_the_hallmarks_of_its_sentences(tmp_path: Path) -> None:
    splits = hoc.hoc(write(tmp_path))
    assert [(example.id, example.labels) for example in splits.train] == [
        ("1", ("resisting cell death", "sustaining proliferative signaling")),
        ("2", ("cellular energetics", "sustaining proliferative signaling")),
    ]
    assert splits.train[0].text == "First of 1 .\nSecond ."
    assert [example.labels for example in splits.dev] == [()]


def test_a_label_that_is_no_hallmark_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (tmp_path / "Hallmarks-of-Cancer-master" / "labels" / "3.txt").write_text("<Something else--More")
    with pytest.raises(DataError, match=r"none of the ten hallmarks \(.*3\.txt\)"):
        hoc.hoc(folder)


def test_a_listed_abstract_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Hallmarks-of-Cancer-master" / "text" / "3.txt").unlink()
    with pytest.raises(DataError, match="names 3, which is not in both text and labels"):
        hoc.hoc(DataFolder(tmp_path, ""))
