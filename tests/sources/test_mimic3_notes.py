import csv
import gzip
import io
import logging
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Document, Mimic3Notes, Rejection

HEADER = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY", "DESCRIPTION", "CGID", "ISERROR", "TEXT"]
NOTE = 'Admission Date:  [**2151-7-16**]\n\nHistory: "fine",\n  stable\n'
ROWS = [
    ("174", "22532", "167853", "2151-08-04", "", "", "Discharge summary", "Report", "", "", NOTE),
    ("175", "22532", "167853", "2151-08-04", "2151-08-04 09:30:00", "", "Physician ", "Attending", "14010", "", "Seen."),
    ("176", "13702", "", "2118-06-14", "", "", "Radiology", "CHEST", "", "1", "wrong patient"),
    ("177", "", "", "2118-06-14", "", "", "Radiology", "CHEST", "", "", "whose?"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([HEADER, *ROWS])
    (tmp_path / "NOTEEVENTS.csv.gz").write_bytes(gzip.compress(stream.getvalue().encode()))
    (tmp_path / "DIAGNOSES_ICD.csv").write_text(
        '"ROW_ID","SUBJECT_ID","HADM_ID","SEQ_NUM","ICD9_CODE"\n1,22532,167853,2,"E8497"\n2,22532,167853,1,"01193"\n3,22532,167853,,\n'
    )
    return tmp_path


def read(source: Mimic3Notes) -> list[object]:
    return [record for path in source.files() for record in source.read(path)]


def test_notes_errors_and_damaged_rows_come_in_their_order(folder: Path) -> None:
    path = folder / "NOTEEVENTS.csv.gz"
    summary, visit, error, unknown = read(Mimic3Notes(folder, diagnoses=folder / "DIAGNOSES_ICD.csv"))
    assert summary == Document(
        "mimic3-notes:174",
        NOTE,
        "mimic3-notes",
        "credentialed",
        "mimic3:22532",
        {
            "category": "Discharge summary",
            "description": "Report",
            "hadm_id": "167853",
            "time": "2151-08-04",
            "codes": ["ICD-9-CM:011.93", "ICD-9-CM:E849.7"],
        },
    )
    assert isinstance(visit, Document)
    assert (visit.metadata["category"], visit.metadata["time"]) == ("Physician", "2151-08-04T09:30:00")
    assert "codes" not in visit.metadata
    assert error == Rejection(str(path), "row 3", "marked as an error by its authors")
    assert unknown == Rejection(str(path), "row 4", "no row_id or subject_id")


def test_chosen_categories_come_alone_and_the_others_are_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (note,) = read(Mimic3Notes(folder, categories=("physician", "Ecko")))
    assert isinstance(note, Document)
    assert note.id == "mimic3-notes:175"
    assert "3 notes left out" in caplog.text
    assert "no note of category 'ecko'" in caplog.text


def test_small_letters_and_the_file_itself_are_accepted(folder: Path) -> None:
    before = read(Mimic3Notes(folder))
    content = gzip.decompress((folder / "NOTEEVENTS.csv.gz").read_bytes()).decode()
    (folder / "NOTEEVENTS.csv.gz").unlink()
    header, _, rows = content.partition("\n")
    (folder / "noteevents.csv").write_text(f"{header.lower()}\n{rows}", newline="")
    assert read(Mimic3Notes(folder))[:2] == read(Mimic3Notes(folder / "noteevents.csv"))[:2] == before[:2]


def test_another_folder_or_table_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Give the folder of MIMIC-III"):
        Mimic3Notes(tmp_path).files()
    (tmp_path / "NOTEEVENTS.csv").write_text("ROW_ID,TEXT\n1,x\n")
    with pytest.raises(DataError, match=r"no 'subject_id' column .*Give NOTEEVENTS of MIMIC-III"):
        read(Mimic3Notes(tmp_path))


def test_a_real_table_of_diagnoses_gives_each_summary_its_codes(shared_data: Path, folder: Path) -> None:
    table = shared_data / "pyhealth_test_resources/test-resources/core/mimic3demo/DIAGNOSES_ICD.csv.gz"
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(table.read_bytes()).decode())))
    first = rows[0]["hadm_id"]
    content = gzip.decompress((folder / "NOTEEVENTS.csv.gz").read_bytes()).decode().replace("167853", first)
    (folder / "NOTEEVENTS.csv.gz").write_bytes(gzip.compress(content.encode()))
    summary = read(Mimic3Notes(folder, diagnoses=table))[0]
    assert isinstance(summary, Document)
    in_order = sorted((int(row["seq_num"]), row["icd9_code"]) for row in rows if row["hadm_id"] == first)
    assert [str(code).replace(".", "") for code in summary.metadata["codes"]] == [f"ICD-9-CM:{code}" for _, code in in_order]  # type: ignore[union-attr]
