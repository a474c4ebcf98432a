"""MIMIC-IV-ED: invented visits in the official tables."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.loaders import mimic_ed
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TABLES = {
    "ed/edstays": """subject_id,hadm_id,stay_id,intime,outtime,gender,race,arrival_transport,disposition
7,20,31,2180-05-06 19:17:00,2180-05-06 23:30:00,F,WHITE,AMBULANCE,ADMITTED
8,,32,2181-01-01 08:00:00,2181-01-01 09:00:00,M,OTHER,WALK IN,HOME
9,21,33,2181-01-01 08:00:00,2181-01-01 09:00:00,M,OTHER,WALK IN,ADMITTED
10,22,34,2181-01-01 08:00:00,2181-01-01 09:00:00,M,OTHER,WALK IN,ADMITTED
11,,35,2181-01-01 08:00:00,2181-01-01 09:00:00,M,OTHER,WALK IN,ELOPED
12,23,36,2181-01-01 08:00:00,2181-01-01 09:00:00,M,OTHER,WALK IN,ADMITTED""",
    "ed/triage": """subject_id,stay_id,temperature,heartrate,resprate,o2sat,sbp,dbp,pain,acuity,chiefcomplaint
7,31,98.6,70,16,97,106,63,0,2,Made-up pain""",
    "ed/diagnosis": "subject_id,stay_id,seq_num,icd_code,icd_version,icd_title\n7,31,1,R109,10,ABDOMINAL PAIN",
    "ed/vitalsign": "subject_id,stay_id,charttime,temperature,heartrate,resprate,o2sat,sbp,dbp,rhythm,pain",
    "ed/medrecon": "subject_id,stay_id,charttime,name,gsn,ndc,etc_rn,etccode,etcdescription",
    "ed/pyxis": "subject_id,stay_id,charttime,med_rn,name,gsn_rn,gsn",
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n7,F,50,2178,2011 - 2013,",
    "hosp/admissions": """subject_id,hadm_id,admittime,dischtime,deathtime,discharge_location,hospital_expire_flag
7,20,2180-05-06 23:30:00,2180-05-09 10:00:00,,HOME HEALTH CARE,0
9,21,2181-01-01 09:00:00,2181-01-03 10:00:00,,SKILLED NURSING FACILITY,0
10,22,2181-01-01 09:00:00,2181-01-03 10:00:00,2181-01-03 10:00:00,DIED,1
12,23,2181-01-01 09:00:00,2181-01-03 10:00:00,,,0""",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit\n10,22,99,MICU\n7,20,98,MICU",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in TABLES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(content.encode()))
    return tmp_path


def labels(splits: Splits[Sequence[LabelledText]]) -> dict[str, tuple[str, ...]]:
    return {example.id: example.labels for part in (splits.train, splits.dev, splits.test) for example in part}


def test_disposition_is_not_told_by_the_note(folder: Path) -> None:
    splits = mimic_ed.disposition(DataFolder(folder, ""))
    assert labels(splits) == {"31": ("admitted",), "32": ("home",), "33": ("admitted",), "34": ("admitted",), "36": ("admitted",)}
    assert splits.counted == {"visit that ended otherwise": 1}
    (visit,) = (example for part in (splits.train, splits.dev, splits.test) for example in part if example.id == "31")
    assert "Patient: 52 years old, female, white" in visit.text
    assert "Made-up pain" in visit.text
    assert not any(words in visit.text.lower() for words in ("admitted", "abdominal", "r10.9", "23:30"))
    assert visit.group == "7"


def test_outcomes_are_those_of_the_admission(folder: Path) -> None:
    splits = mimic_ed.outcomes(DataFolder(folder, ""))
    assert labels(splits) == {"31": ("intensive_care",), "33": ("elsewhere",), "34": ("died", "intensive_care")}
    assert splits.counted == {"visit without an admission": 2, "visit whose admission is not there or has no known end": 1}


def test_a_missing_table_or_one_that_lies_elsewhere_is_an_error(folder: Path) -> None:
    (folder / "other/hosp").mkdir(parents=True)
    (folder / "hosp/patients.csv.gz").rename(folder / "other/hosp/patients.csv.gz")
    with pytest.raises(DataError, match=r"the folder hosp is not beside the folder ed \(.*\)\. Apply\."):
        mimic_ed.disposition(DataFolder(folder, "Apply."))
    (folder / "icu/icustays.csv.gz").unlink()
    with pytest.raises(DataError, match=r"no icustays\.csv \(.*\)\. Apply\."):
        mimic_ed.outcomes(DataFolder(folder, "Apply."))
