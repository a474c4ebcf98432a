"""MIMIC-IV ICD coding: invented notes and codes in the official tables."""

import gzip
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import mimic_icd
from clinical_modernbert.tasks.reading.data_folder import DataFolder

PATIENTS = range(200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    notes = "".join(f'{n}-DS-1,{n},{1000 + n},DS,1,2180-01-01 00:00:00,,"Note\n{n}."\n' for n in PATIENTS)
    diagnoses = "".join(f"{n},{1000 + n},1,E119,10\n{n},{1000 + n},2,{'4019' if n < 100 else 'V4581'},9\n" for n in PATIENTS if n < 190)
    files = {
        "mimic-iv-note/note/discharge.csv.gz": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n" + notes,
        "mimic-iv/hosp/diagnoses_icd.csv.gz": "subject_id,hadm_id,seq_num,icd_code,icd_version\n" + diagnoses + "0,1000,3,I10,10\n",
        "mimic-iv/hosp/procedures_icd.csv.gz": "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n"
        + "".join(f"{n},{1000 + n},1,2180-01-01,{'0016070' if n % 2 else '3995'},{10 if n % 2 else 9}\n" for n in range(100)),
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(gzip.compress(content.encode()))
    return tmp_path


def test_notes_have_the_codes_of_their_admission_and_patients_one_part(folder: Path) -> None:
    splits = mimic_icd.full(DataFolder(folder, ""))
    everything = {example.id: example for part in (splits.train, splits.dev, splits.test) for example in part}
    assert everything["0-DS-1"].labels == ("ICD-10-CM:E11.9", "ICD-9-CM:401.9", "ICD-9-CM:39.95")
    assert everything["101-DS-1"].labels == ("ICD-10-CM:E11.9", "ICD-9-CM:V45.81")
    assert everything["1-DS-1"].labels[-1] == "ICD-10-PCS:0016070"
    assert (everything["1-DS-1"].text, everything["1-DS-1"].group) == ("Note\n1.", "1")
    assert min(len(splits.dev), len(splits.test)) > 5


def test_rare_codes_and_notes_without_a_chosen_code_are_counted(folder: Path) -> None:
    splits = mimic_icd.full(DataFolder(folder, ""))
    assert len(splits.train) + len(splits.dev) + len(splits.test) == 190
    assert splits.counted == {"note without a chosen code": 10, "code that is not among the chosen": 1}


def test_fifty_codes_are_those_of_most_notes(folder: Path) -> None:
    codes = "".join(f"{n},{1000 + n},9,A{k:02}0,10\n" for k in range(60) for n in range(199 if k < 50 else 60))
    path = folder / "mimic-iv/hosp/diagnoses_icd.csv.gz"
    path.write_bytes(gzip.compress(b"subject_id,hadm_id,seq_num,icd_code,icd_version\n" + codes.encode()))
    splits = mimic_icd.top_50(DataFolder(folder, ""))
    assert {code for note in splits.train for code in note.labels} == {f"ICD-10-CM:A{k:02}.0" for k in range(50)}


def test_a_missing_table_is_an_error_that_says_how_to_get_it(folder: Path) -> None:
    (folder / "mimic-iv/hosp/procedures_icd.csv.gz").unlink()
    with pytest.raises(DataError, match=r"no procedures_icd\.csv \(.*\)\. Apply\."):
        mimic_icd.full(DataFolder(folder, "Apply."))


def test_public_notes_in_the_official_layout_have_the_codes_of_the_demo(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "discharge.csv.gz").symlink_to(shared_data / "mimic-iv-note-layout/note/discharge.csv.gz")
    (tmp_path / "diagnoses_icd.csv.gz").symlink_to(shared_data / "mimic-iv-demo-2.2/hosp/diagnoses_icd.csv.gz")
    (tmp_path / "procedures_icd.csv").write_text("subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n")
    splits = mimic_icd.top_50(DataFolder(tmp_path, ""))
    assert len({code for note in splits.train for code in note.labels}) == 50
