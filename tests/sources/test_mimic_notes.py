import csv
import gzip
import io
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Document, MimicNotes, Rejection

HEADER = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")
NOTE = 'Name:  ___\n\nHistory: "fine",\r\n  stable\n'


def table(rows: list[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    return gzip.compress(stream.getvalue().encode())


def row(number: int, kind: str = "DS") -> tuple[str, ...]:
    return (f"1000003{number}-{kind}-1", f"1000003{number}", "", kind, "1", "2180-05-07 00:00:00", "", f"{NOTE}{number}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "note").mkdir()
    (tmp_path / "note/discharge.csv.gz").write_bytes(table([row(1), row(2)]))
    (tmp_path / "note/radiology.csv.gz").write_bytes(table([row(3, "RR"), ("", *row(4)[1:])]))
    return tmp_path


def test_a_note_keeps_its_lines_its_patient_and_its_access(folder: Path) -> None:
    source = MimicNotes(folder)
    first = next(iter(source.read(source.files()[0])))
    assert first == Document(
        id="mimic-notes:10000031-DS-1",
        text=NOTE + "1",
        source="mimic-notes",
        access="credentialed",
        patient="10000031",
        metadata={"note_type": "DS", "note_seq": "1", "charttime": "2180-05-07 00:00:00"},
    )


def test_the_note_folder_itself_and_plain_csv_are_accepted(folder: Path) -> None:
    packed = folder / "note/discharge.csv.gz"
    (folder / "note/discharge.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert [file.name for file in MimicNotes(folder / "note").files()] == ["discharge.csv", "radiology.csv.gz"]


def test_a_row_without_an_id_is_rejected_by_number(folder: Path) -> None:
    path = MimicNotes(folder).files()[1]
    assert list(MimicNotes(folder).read(path))[1] == Rejection(str(path), "row 2", "no note_id or subject_id")


def test_a_cut_off_table_yields_its_first_notes_then_one_error_without_text(tmp_path: Path) -> None:
    packed = table([row(number % 10) for number in range(50_000)])
    path = tmp_path / "discharge.csv.gz"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    seen = []
    with pytest.raises(DataError, match="cut off") as error:
        seen.extend(MimicNotes(tmp_path).read(path))
    assert seen
    assert "stable" not in str(error.value)


def test_another_table_or_folder_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Give the mimic-iv-note folder"):
        MimicNotes(tmp_path).files()
    (tmp_path / "discharge.csv.gz").write_bytes(table([("1", "2")], header=("note_id", "text")))
    with pytest.raises(DataError, match="no 'subject_id' column"):
        list(MimicNotes(tmp_path).read(tmp_path / "discharge.csv.gz"))


def test_the_official_layout_is_read_whole(shared_data: Path) -> None:
    source = MimicNotes(shared_data / "mimic-iv-note-layout", access="open")
    counts = {}
    for path in source.files():
        documents = [record for record in source.read(path) if isinstance(record, Document)]
        counts[path.name] = len(documents)
        assert {document.access for document in documents} == {"open"}
        assert all(document.id.startswith(f"mimic-notes:{document.patient}-") and "\n" in document.text for document in documents)
    assert counts == {"discharge.csv.gz": 1207, "radiology.csv.gz": 248}
