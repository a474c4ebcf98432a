import csv
import gzip
import io
import logging
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import stay_tables
from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.pseudo_notes import PseudoNotes
from clinical_modernbert.sources.stay_text import EMERGENCY, render

TABLES = {
    "edstays": """subject_id,hadm_id,stay_id,intime,outtime,gender,race,arrival_transport,disposition
7,20,31,2180-05-06 19:17:00,2180-05-06 23:30:00,F,WHITE,AMBULANCE,ADMITTED
8,,32,2181-01-01 08:00:00,2181-01-01 09:00:00,M,,WALK IN,HOME""",
    "triage": """subject_id,stay_id,temperature,heartrate,resprate,o2sat,sbp,dbp,pain,acuity,chiefcomplaint
7,31,98.6000,70.0,16,97.5,106,63,0,2.0,"Abd pain, N/V"
8,32,,,,,120,,unable,,Cough""",
    "vitalsign": """subject_id,stay_id,charttime,temperature,heartrate,resprate,o2sat,sbp,dbp,rhythm,pain
7,31,2180-05-06 22:00:00,,80.0,,,,,Sinus Rhythm,
7,31,2180-05-06 20:00:00,99.10,75,,98,110,70,,
7,31,2180-05-06 23:00:00,,,,,,,,
9,99,2180-05-06 20:00:00,99,75,,98,110,70,,""",
    "medrecon": """subject_id,stay_id,charttime,name,gsn,ndc,etc_rn,etccode,etcdescription
7,31,2180-05-06 19:20:00,lactulose,1,2,1,3,Laxatives
7,31,2180-05-06 19:20:00,albuterol,1,2,1,3,""",
    "pyxis": """subject_id,stay_id,charttime,med_rn,name,gsn_rn,gsn
7,31,2180-05-06 20:10:00,1,Morphine,1,5
7,31,2180-05-06 20:10:00,1,Morphine,2,6
7,31,2180-05-06 20:10:00,2,Ondansetron,1,7""",
    "diagnosis": """subject_id,stay_id,seq_num,icd_code,icd_version,icd_title
7,31,2,R109,10,ABDOMINAL PAIN
7,31,1,78959,9,OTHER ASCITES
7,31,10,,9,UNKNOWN""",
}
NOTE = """Emergency department visit
Patient: female, white
Arrival: 2180-05-06 19:17, by ambulance

Triage
Chief complaint: Abd pain, N/V
Acuity: 2 (1 is most urgent, 5 is least)
Vital signs: temperature 98.6 °F, heart rate 70/min, respiratory rate 16/min, oxygen saturation 97.5%, blood pressure 106/63 mmHg, pain 0

Medicines taken before arrival
lactulose, Laxatives
albuterol

Vital signs
2180-05-06 20:00: temperature 99.1 °F, heart rate 75/min, oxygen saturation 98%, blood pressure 110/70 mmHg
2180-05-06 22:00: heart rate 80/min, rhythm sinus rhythm

Medicines given
2180-05-06 20:10: Morphine; Ondansetron

Diagnoses
OTHER ASCITES, ICD 9 code 789.59
ABDOMINAL PAIN, ICD 10 code R10.9
UNKNOWN

Disposition
Left: 2180-05-06 23:30, admitted"""


def write(folder: Path, tables: dict[str, str] = TABLES, suffix: str = ".csv.gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for table, content in tables.items():
        path = folder / f"{table}{suffix}"
        if suffix == ".parquet":
            pl.read_csv(io.BytesIO(content.encode()), try_parse_dates=True).write_parquet(path)
        else:
            path.write_bytes(gzip.compress(content.encode()) if suffix.endswith(".gz") else content.encode())
    return folder


def read(source: PseudoNotes) -> list[Any]:
    return [record for path in source.files() for record in source.read(path)]


def test_a_visit_is_told_with_units_in_order_of_time_and_without_missing_values(tmp_path: Path) -> None:
    write(tmp_path / "ed")
    notes = {record.id: record for record in read(PseudoNotes(tmp_path))}
    assert notes["mimic-ed:31"] == Document(
        "mimic-ed:31",
        NOTE,
        "mimic-ed",
        "credentialed",
        patient="7",
        metadata={
            "stay_id": "31",
            "hadm_id": "20",
            "time": "2180-05-06T19:17:00",
            "disposition": "ADMITTED",
            "codes": ["ICD-9-CM:789.59", "ICD-10-CM:R10.9"],
        },
    )
    assert notes["mimic-ed:32"].text.split("\n")[:6] == [
        *("Emergency department visit", "Patient: male", "Arrival: 2181-01-01 08:00, by walk in", "", "Triage", "Chief complaint: Cough"),
    ]
    assert "blood pressure" not in notes["mimic-ed:32"].text


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_file_format_tells_the_same_note(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "ed", suffix=suffix)
    first = next(record for record in read(PseudoNotes(tmp_path / "ed")) if record.id == "mimic-ed:31")
    assert first.text == NOTE


def test_left_out_sections_leave_no_trace_in_the_text_and_stay_known(tmp_path: Path) -> None:
    write(tmp_path)
    full, short = (
        {record.id: record for record in read(source)}["mimic-ed:31"]
        for source in (PseudoNotes(tmp_path), PseudoNotes(tmp_path, leave_out=("diagnosis", "disposition")))
    )
    for label in ("admitted", "ASCITES", "R10.9", "23:30"):
        assert label in full.text
        assert label not in short.text
    assert full.metadata == short.metadata


@pytest.mark.parametrize("parts", [1, 2, 100])
def test_the_number_of_parts_changes_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    write(tmp_path)
    expected = {record.id: record for record in read(PseudoNotes(tmp_path))}
    monkeypatch.setattr(stay_tables, "_PARTS", parts)
    assert {record.id: record for record in read(PseudoNotes(tmp_path))} == expected


def test_rows_of_no_stay_are_counted_and_broken_ones_rejected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stays = TABLES["edstays"] + "\n,,33,,,,,,\n7,20,31,2180-05-06 19:17:00,,F,,,\n"
    write(tmp_path, {**TABLES, "edstays": stays, "triage": TABLES["triage"] + "\n7,31\n,,,,,,,,,,\n"})
    rejected = [(record.where, record.reason) for record in read(PseudoNotes(tmp_path)) if isinstance(record, Rejection)]
    assert rejected == [
        ("edstays row 3", "no subject_id or stay_id"),
        ("triage row 3", "another number of fields than the header has"),
        ("stay_id 31", "this stay is in the table before"),
    ]
    assert "rows of no stay are left out: 1 of triage, 1 of vitalsign" in caplog.text


def test_a_missing_table_is_named_and_a_missing_key_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"edstays": TABLES["edstays"]})
    with caplog.at_level(logging.WARNING):
        assert len(read(PseudoNotes(tmp_path))) == 2
    assert "no triage table" in caplog.text
    write(tmp_path, {"triage": "subject_id,acuity\n7,2\n"})
    with pytest.raises(DataError, match="no 'stay_id' column"):
        read(PseudoNotes(tmp_path))


def test_a_folder_without_stays_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no edstays\.csv\.gz or admissions\.csv\.gz"):
        PseudoNotes(tmp_path).files()


def test_values_are_never_templates() -> None:
    rows = {"triage": [{"chiefcomplaint": "{acuity} {0} | a: b"}]}
    section = next(section for section in EMERGENCY if section.name == "triage")
    assert render([section], rows, ()) == "Triage\nChief complaint: {acuity} {0} | a: b"


HOSPITAL = {
    "admissions": """subject_id,hadm_id,admittime,dischtime,admission_type,admission_location,discharge_location,race
1,10,2150-03-15 08:00:00,2150-03-20 10:00:00,EW EMER.,EMERGENCY ROOM,DIED,WHITE""",
    "patients": "subject_id,gender,anchor_age,anchor_year\n1,M,45,2148",
    "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,2,E1065,10\n1,10,1,4019,9",
    "d_icd_diagnoses": 'icd_code,icd_version,long_title\n4019,9,"Hypertension, unspecified"',
    "labevents": """subject_id,hadm_id,itemid,charttime,value,valuenum,valueuom,flag
1,10,50931,2150-03-16 10:00:00,285,285,mg/dL,abnormal
1,10,50931,2150-03-15 10:00:00,90.0,90,mg/dL,
1,10,51000,2150-03-15 10:00:00,NEG,,,
1,,50931,2150-01-15 10:00:00,90,90,mg/dL,""",
    "d_labitems": "itemid,label,fluid\n50931,Glucose,Blood",
    "prescriptions": "subject_id,hadm_id,starttime,drug,dose_val_rx,dose_unit_rx,route\n1,10,2150-03-15 09:00:00,Insulin,20,UNIT,SC",
}


def test_an_admission_is_told_where_there_are_only_hospital_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "hosp", HOSPITAL)
    (note,) = read(PseudoNotes(tmp_path))
    assert note.text == (
        "Hospital admission\nPatient: 47 years old, male, white\nAdmission: 2150-03-15 08:00, ew emer., from emergency room\n\n"
        "Laboratory results\nGlucose (blood): 90.0 mg/dL; 285 mg/dL, abnormal\nItem 51000: NEG\n\n"
        "Medicines prescribed\n2150-03-15 09:00: Insulin, 20 UNIT, SC\n\n"
        "Diagnoses\nHypertension, unspecified, ICD 9 code 401.9\nICD 10 code E10.65\n\n"
        "Discharge\nLeft: 2150-03-20 10:00, died"
    )
    assert note.metadata["codes"] == ["ICD-9-CM:401.9", "ICD-10-CM:E10.65"]
    assert "rows of no stay are left out: 1 of labevents" in caplog.text


def test_every_admission_of_the_demo_is_told_with_its_own_diagnoses_and_results(shared_data: Path) -> None:
    folder = shared_data / "mimic-iv-demo-2.2"
    notes = {record.metadata["hadm_id"]: record for record in read(PseudoNotes(folder, access="open"))}
    assert len(notes) == 275
    with gzip.open(folder / "hosp/labevents.csv.gz", "rt", encoding="utf-8") as stream:
        labs = [row for row in csv.DictReader(stream) if row["hadm_id"] and row["value"] not in ("", "___")]
    assert all(" ".join((row["value"].strip(), row["valueuom"])).strip() in notes[row["hadm_id"]].text for row in labs)
    with gzip.open(folder / "hosp/diagnoses_icd.csv.gz", "rt", encoding="utf-8") as stream:
        counts: dict[str, int] = {}
        for row in csv.DictReader(stream):
            counts[row["hadm_id"]] = counts.get(row["hadm_id"], 0) + 1
    assert {admission: len(note.metadata["codes"]) for admission, note in notes.items()} == counts
    assert all(note.text.startswith("Hospital admission\nPatient: ") for note in notes.values())


def test_remote_tables_tell_the_same_notes(tmp_path: Path) -> None:
    write(tmp_path / "ed")
    fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
    assert read(PseudoNotes(f"memory://{tmp_path}")) == read(PseudoNotes(tmp_path))  # type: ignore[arg-type]
