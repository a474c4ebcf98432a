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


def read(folder: Path, name: str, **options: Path) -> list[Document]:
    source = MimicNotes(folder, **options)
    return [record for record in source.read(folder / "note" / name) if isinstance(record, Document)]


def test_a_note_keeps_its_lines_its_patient_and_its_access(folder: Path) -> None:
    assert read(folder, "discharge.csv.gz")[0] == Document(
        id="mimic-notes:10000031-DS-1",
        text=NOTE + "1",
        source="mimic-notes",
        access="credentialed",
        patient="10000031",
        metadata={"note_type": "DS", "note_seq": "1", "time": "2180-05-07T00:00:00"},
    )


def test_the_note_folder_itself_and_plain_csv_are_accepted(folder: Path) -> None:
    packed = folder / "note/discharge.csv.gz"
    (folder / "note/discharge.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert [file.name for file in MimicNotes(folder / "note").files()] == ["discharge.csv", "radiology.csv.gz"]


def test_a_row_without_an_id_is_rejected_by_number(folder: Path) -> None:
    path = MimicNotes(folder).files()[1]
    assert list(MimicNotes(folder).read(path))[1] == Rejection(str(path), "row 2", "no note_id or subject_id")


def test_details_of_a_note_are_in_their_order_and_without_authors(folder: Path) -> None:
    header = ("note_id", "subject_id", "field_name", "field_value", "field_ordinal")
    exams = [("9", "x", "exam_name", "OTHER", "1"), ("10000033-RR-1", "10000033", "exam_name", "CT HEAD", "2")]
    exams += [("10000033-RR-1", "10000033", name, value, "1") for name, value in (("exam_name", "CHEST, PA"), ("exam_code", "C11"))]
    (folder / "note/radiology_detail.csv.gz").write_bytes(table(exams, header))
    (folder / "note/discharge_detail.csv.gz").write_bytes(table([("10000031-DS-1", "10000031", "author", "K. Nobody", "1")], header))
    assert read(folder, "radiology.csv.gz")[0].metadata["details"] == {"exam_name": ["CHEST, PA", "CT HEAD"], "exam_code": ["C11"]}
    assert "details" not in read(folder, "discharge.csv.gz")[0].metadata


def test_a_damaged_table_of_details_is_an_error_before_any_note(folder: Path) -> None:
    detail = folder / "note/radiology_detail.csv"
    detail.write_text("note_id,subject_id,field_name,field_value,field_ordinal\n1,2,exam_name\n")
    with pytest.raises(DataError, match=r"row 1 cannot be read: .*radiology_detail\.csv"):
        read(folder, "radiology.csv.gz")


def test_a_discharge_summary_has_the_codes_of_its_admission(folder: Path) -> None:
    rows = [(*row(1)[:2], "77", *row(1)[3:]), (*row(2)[:2], "78", *row(2)[3:])]
    (folder / "note/discharge.csv.gz").write_bytes(table(rows))
    codes = [("77", "10", "E119", "10"), ("77", "2", "4019", "9"), ("77", "1", "I10", "10"), ("79", "1", "V707", "9")]
    (folder / "diagnoses_icd.csv.gz").write_bytes(table(codes, ("hadm_id", "seq_num", "icd_code", "icd_version")))
    first, second = read(folder, "discharge.csv.gz", diagnoses=folder / "diagnoses_icd.csv.gz")
    assert first.metadata["codes"] == ["ICD-10-CM:I10", "ICD-9-CM:401.9", "ICD-10-CM:E11.9"]
    assert "codes" not in second.metadata


def test_another_table_in_place_of_the_diagnoses_is_an_error_that_says_what_to_give(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no 'seq_num' column .*Give MIMIC's diagnoses_icd table"):
        read(folder, "discharge.csv.gz", diagnoses=folder / "note/radiology.csv.gz")
    with pytest.raises(DataError, match=r"cannot be read: .*gone\.csv"):
        read(folder, "discharge.csv.gz", diagnoses=folder / "gone.csv")


def test_a_cut_off_table_yields_its_first_notes_then_one_error_without_text(tmp_path: Path) -> None:
    packed = table([row(number % 10) for number in range(50_000)])
    path = tmp_path / "discharge.csv.gz"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    seen = []
    with pytest.raises(DataError, match="cut-off") as error:
        seen.extend(MimicNotes(tmp_path).read(path))
    assert len(seen) > 30_000
    assert "stable" not in str(error.value)


def test_another_table_or_folder_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Give the mimic-iv-note folder"):
        MimicNotes(tmp_path).files()
    (tmp_path / "discharge.csv.gz").write_bytes(table([("1", "2")], header=("note_id", "text")))
    with pytest.raises(DataError, match=r"no 'subject_id' column .*Give a table of MIMIC-IV-Note"):
        list(MimicNotes(tmp_path).read(tmp_path / "discharge.csv.gz"))


def test_the_official_layout_is_read_whole(shared_data: Path) -> None:
    diagnoses = shared_data / "mimic-iv-demo-2.2/hosp/diagnoses_icd.csv.gz"
    source = MimicNotes(shared_data / "mimic-iv-note-layout", access="open", diagnoses=diagnoses)
    counts, coded = {}, 0
    for path in source.files():
        documents = [record for record in source.read(path) if isinstance(record, Document)]
        counts[path.name] = len(documents)
        coded += sum("codes" in document.metadata for document in documents)
        assert {document.access for document in documents} == {"open"}
        assert all(document.id.startswith(f"mimic-notes:{document.patient}-") and "\n" in document.text for document in documents)
    assert counts == {"discharge.csv.gz": 1207, "radiology.csv.gz": 248}
    assert coded == 1207
