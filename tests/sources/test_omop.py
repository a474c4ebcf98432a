import csv
import gzip
import io
from datetime import date, datetime
from pathlib import Path

import fsspec
import polars as pl
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.omop import OmopNotes

HEADER = ("NOTE_ID", "person_id", "Note_Date", "note_datetime", "note_title", "note_text", "language_concept_id", "visit_occurrence_id")
NOTE = 'Findings: "none",\n  as before\n'
ROWS = [
    ("1", "7", "2020-02-03", "2020-02-03 04:05:06", "Progress note", NOTE, "4180186", "70"),
    ("2", "7", "2020-02-04", "", "", "second", "0", "70.0"),
    ("3", "8", "", "", "", "third", "", ""),
]
CONDITIONS = [("70", "E119"), ("70", "i10"), ("70", "not a code"), ("", "I10"), ("71", "J18.9")]


def table(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]], dialect: str = "excel") -> Path:
    stream = io.StringIO()
    csv.writer(stream, dialect).writerows([header, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(stream.getvalue().encode()) if path.suffix == ".gz" else stream.getvalue().encode())
    return path


def read(source: OmopNotes) -> list[object]:
    return [record for path in source.files() for record in source.read(path)]


def test_a_note_keeps_its_lines_its_person_its_time_and_its_visit(tmp_path: Path) -> None:
    first, second, third = read(OmopNotes(table(tmp_path / "note.csv.gz", HEADER, ROWS)))
    assert first == Document(
        "omop:1",
        NOTE,
        "omop",
        "credentialed",
        patient="7",
        metadata={
            "visit_occurrence_id": "70",
            "note_title": "Progress note",
            "language_concept_id": "4180186",
            "time": "2020-02-03T04:05:06",
            "language": "eng",
        },
    )
    assert isinstance(second, Document)
    assert (second.metadata["time"], second.metadata["visit_occurrence_id"]) == ("2020-02-04", "70")
    assert isinstance(third, Document)
    assert third.metadata == {}


def test_parquet_with_numbers_and_moments_gives_the_same_documents(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "note_id": [1],
            "person_id": [7],
            "note_date": [date(2020, 2, 3)],
            "note_datetime": [datetime(2020, 2, 3, 4, 5, 6)],
            "note_title": ["Progress note"],
            "note_text": [NOTE],
            "language_concept_id": [4180186],
            "visit_occurrence_id": [70.0],
        }
    )
    frame.write_parquet(tmp_path / "NOTE.parquet")
    assert read(OmopNotes(tmp_path)) == read(OmopNotes(table(tmp_path / "other/note.csv", HEADER, ROWS[:1])))


@pytest.mark.parametrize("name", ["NOTE.csv", "note.csv.gz", "note/part-0.csv", "Note.csv/part-0.csv.gz", "note_01.csv", "parts/0.csv"])
def test_a_folder_of_exports_is_searched_for_the_note_table(tmp_path: Path, name: str) -> None:
    expected = table(tmp_path / name, HEADER, ROWS)
    if not name.startswith("parts"):
        table(tmp_path / "person.csv", ("person_id",), [("7",)])
        table(tmp_path / "note_nlp.csv", ("note_nlp_id",), [("1",)])
    assert OmopNotes(tmp_path).files() == [expected]


def test_two_exports_of_one_table_are_an_error_and_its_parts_are_not(tmp_path: Path) -> None:
    parts = [table(tmp_path / f"note_{number}.csv", HEADER, ROWS) for number in (1, 2)]
    assert OmopNotes(tmp_path).files() == parts
    table(tmp_path / "note.csv", HEADER, ROWS)
    with pytest.raises(DataError, match=r"both note\.csv and note_1\.csv"):
        OmopNotes(tmp_path).files()


def test_a_note_gets_the_codes_of_its_visit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table(tmp_path / "note.csv", HEADER, ROWS)
    table(tmp_path / "condition_occurrence.csv", ("visit_occurrence_id", "CONDITION_SOURCE_VALUE"), CONDITIONS)
    first, second, third = read(OmopNotes(tmp_path, conditions=tmp_path))
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert isinstance(third, Document)
    assert first.metadata["codes"] == second.metadata["codes"] == ["ICD-10-CM:E11.9", "ICD-10-CM:I10"]
    assert "codes" not in third.metadata
    assert "2 diagnoses are left out" in caplog.text


def test_the_vocabulary_says_what_a_source_value_is(tmp_path: Path) -> None:
    table(tmp_path / "note.csv", HEADER, ROWS[:1])
    conditions = table(tmp_path / "c.csv", ("visit_occurrence_id", "condition_source_value"), [("70", "250.00"), ("70", "E8500")])
    (note,) = read(OmopNotes(tmp_path, conditions=conditions, vocabulary="icd9cm"))
    assert isinstance(note, Document)
    assert note.metadata["codes"] == ["ICD-9-CM:250.00", "ICD-9-CM:E850.0"]


def test_a_changed_conditions_table_is_read_again(tmp_path: Path) -> None:
    table(tmp_path / "note.csv", HEADER, ROWS[:1])
    for code in ("E11.9", "J18.90"):
        conditions = table(tmp_path / "c.csv", ("visit_occurrence_id", "condition_source_value"), [("70", code)])
        (note,) = read(OmopNotes(tmp_path, conditions=conditions))
        assert isinstance(note, Document)
        assert note.metadata["codes"] == [f"ICD-10-CM:{code}"]


def test_rows_without_ids_or_with_another_number_of_fields_are_rejected_by_number(tmp_path: Path) -> None:
    rows = [("", *ROWS[0][1:]), ("1", "", *ROWS[0][2:]), ("1", "7"), ROWS[1]]
    *rejected, kept = read(OmopNotes(table(tmp_path / "note.csv", HEADER, rows)))
    assert [(item.where, item.reason[:6]) for item in rejected if isinstance(item, Rejection)] == [
        ("row 1", "no not"),
        ("row 2", "no not"),
        ("row 3", "anothe"),
    ]
    assert isinstance(kept, Document)


def test_text_of_another_type_is_rejected(tmp_path: Path) -> None:
    pl.DataFrame({"note_id": [1], "person_id": [7], "note_text": [b"raw"]}).write_parquet(tmp_path / "note.parquet")
    (rejected,) = read(OmopNotes(tmp_path))
    assert rejected == Rejection(str(tmp_path / "note.parquet"), "row 1", "'note_text' holds bytes, not text")


def test_a_nul_in_parquet_is_rejected(tmp_path: Path) -> None:
    pl.DataFrame({"note_id": [1], "person_id": [7], "note_text": ["a\0b"]}).write_parquet(tmp_path / "note.parquet")
    (rejected,) = read(OmopNotes(tmp_path))
    assert isinstance(rejected, Rejection)
    assert rejected.reason == "NUL character in the text"


def test_a_missing_column_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 'note_text' column"):
        read(OmopNotes(table(tmp_path / "note.csv", ("note_id", "person_id"), [("1", "7")])))


def test_tabs_between_the_columns_change_nothing(tmp_path: Path) -> None:
    commas, tabs = tmp_path / "commas", tmp_path / "tabs"
    commas.mkdir()
    tabs.mkdir()
    with_commas = read(OmopNotes(table(commas / "note.csv", HEADER, ROWS)))
    with_tabs = read(OmopNotes(table(tabs / "note.csv", HEADER, ROWS, dialect="excel-tab")))
    assert with_tabs == with_commas


def test_remote_tables_give_the_same_documents(tmp_path: Path) -> None:
    table(tmp_path / "note.csv", HEADER, ROWS)
    table(tmp_path / "condition_occurrence.csv.gz", ("visit_occurrence_id", "condition_source_value"), CONDITIONS)
    fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
    remote = f"memory://{tmp_path}"
    assert read(OmopNotes(remote, conditions=remote)) == read(OmopNotes(tmp_path, conditions=tmp_path))  # type: ignore[arg-type]
