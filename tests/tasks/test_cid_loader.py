"""Chemical-induced diseases of BC5CDR."""

from collections import Counter
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders.bc5cdr_cid import bc5cdr_cid
from clinical_modernbert.tasks.loaders.pubtator_ner import BC5CDR
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TEXT = (
    "7|t|Xanol and rash or fever\n7|a|Rash after Xanol, not Yanol; pain.\n"
    "7\t0\t5\tXanol\tChemical\tC1\n"
    "7\t10\t23\trash or fever\tDisease\tD1|D2\trash|fever\n"
    "7\t24\t28\tRash\tDisease\tD1\n"
    "7\t35\t40\tXanol\tChemical\tC1\n"
    "7\t46\t51\tYanol\tChemical\t-1\n"
    "7\t53\t57\tpain\tDisease\t-1\n"
    "7\tCID\tC1\tD1\n\n"
)


def write(folder: Path, text: str = TEXT) -> DataFolder:
    for name in BC5CDR:
        (folder / name).write_text(text)
    return DataFolder(folder, "Unpack it.")


def test_every_chemical_with_every_disease_is_a_pair_with_all_mentions_marked(tmp_path: Path) -> None:
    splits = bc5cdr_cid(write(tmp_path))
    induced, not_induced = splits.test
    assert induced == LabelledText(
        "7-C1-D1", "<< Xanol >> and [[ rash or fever ]]\n[[ Rash ]] after << Xanol >>, not Yanol; pain.", ("CID",), group="7"
    )
    assert not_induced == LabelledText(
        "7-C1-D2", "<< Xanol >> and [[ rash or fever ]]\nRash after << Xanol >>, not Yanol; pain.", ("none",), group="7"
    )


def test_what_is_in_no_pair_is_counted(tmp_path: Path) -> None:
    counted = bc5cdr_cid(write(tmp_path, TEXT.replace("7\tCID", "7\tCID\tD1\tC1\n7\tCID"))).counted
    assert counted == {"mention of no known chemical or disease": 3 * 2, "relation of concepts that are no pair": 3 * 1}


def test_the_official_files_have_every_relation_as_a_pair(shared_data: Path) -> None:
    data = catalogue.load("bc5cdr-cid", shared_data / "benchmarks")
    parts = (data.splits.train, data.splits.dev, data.splits.test)
    assert [Counter(example.labels[0] for example in part)["CID"] for part in parts] == [1038, 1012, 1066]
    assert data.splits.counted["relation of concepts that are no pair"] == 0
    assert set(data.card.no_class) < {label for example in data.splits.test for label in example.labels}
    assert all("<< " in example.text and "[[ " in example.text for part in parts for example in part)


def test_a_relation_of_an_unknown_concept_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names a concept that no span has \(.*CDR_TrainingSet\.PubTator\.txt, line 9\)"):
        bc5cdr_cid(write(tmp_path, TEXT.replace("CID\tC1\tD1", "CID\tC1\tD9")))
