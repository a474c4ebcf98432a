import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Document, Files, Rejection

ROWS = [{"text": "First\nnote", "id": "a", "mrn": "p1", "ward": "ICU"}, {"text": "Second — note", "id": "b", "mrn": "p2", "ward": "ED"}]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    if "jsonl" in name:
        content = "\n".join(json.dumps(row) for row in ROWS).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    elif "csv" in name:
        content = pl.DataFrame(ROWS).write_csv().encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    else:
        pl.DataFrame(ROWS).write_parquet(path)
    return path


def read(path: Path, **options: str) -> list[object]:
    return list(Files(path, **options).read(path))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["n.jsonl", "n.jsonl.gz", "n.csv", "n.csv.gz", "n.parquet"])
def test_every_format_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    first, second = read(write(tmp_path, name), id_column="id", patient_column="mrn", name="ward-notes")
    assert first == Document("ward-notes:a", "First\nnote", "ward-notes", "credentialed", "p1", {"columns": {"ward": "ICU"}})
    assert isinstance(second, Document)
    assert second.text == "Second — note"


def test_a_text_file_is_one_document_and_folders_keep_ids_apart(tmp_path: Path) -> None:
    for name in ("a/x.v1.txt", "a/x.v2.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes("\ufeffGrüße\r\nzwei".encode())
    source = Files(tmp_path)
    documents = [record for path in source.files() for record in source.read(path)]
    assert [(d.id, d.text) for d in documents if isinstance(d, Document)] == [
        ("files:a/x.v1", "Grüße\r\nzwei"),
        ("files:a/x.v2", "Grüße\r\nzwei"),
    ]


@pytest.mark.parametrize("name", ["n.csv", "n.parquet"])
def test_a_table_without_the_text_column_says_what_it_has_and_what_to_set(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    with pytest.raises(DataError) as error:
        read(path, text_column="note")
    assert str(error.value) == f"{path}: no 'note' column (found text, id, mrn, ward). Set text_column."


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "Secret', "not valid JSON"),
        (b'{"text": NaN}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b'["Secret"]', "not a JSON object"),
        (b'{"text": "Secret \\ud83d"}', "half of a surrogate pair"),
        (b'{"text": "Secret\\u0000"}', "NUL character in the text"),
        (b'{"text": 3}', "'text' holds int, not text"),
        (b'{"note": "Secret"}', "no 'text' column (found note). Set text_column."),
    ],
)
def test_a_broken_line_is_rejected_by_number_and_the_rest_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "n.jsonl"
    path.write_bytes(b'{"text": "one"}\n\n' + line + b'\n{"text": "smile \\ud83d\\ude00"}\n')
    first, rejection, last = read(path)
    assert rejection == Rejection(str(path), "line 3", reason)
    assert [d.id for d in (first, last) if isinstance(d, Document)] == ["files:n.jsonl-1", "files:n.jsonl-4"]


def test_long_text_of_other_columns_stays_out_of_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    path.write_text(json.dumps({"text": "t", "dialogue": "x" * 201, "n": 1, "ok": True, "none": None, "tags": ["a"]}))
    (document,) = read(path)
    assert isinstance(document, Document)
    assert document.metadata == {"columns": {"n": 1, "ok": True, "tags": ["a"]}}


def test_wrong_encodings_and_nul_are_said_in_one_line(tmp_path: Path) -> None:
    for name, content in (
        ("a.txt", "café".encode("latin-1")),
        ("b.csv", "id,text\n1,café\n".encode("latin-1")),
        ("c.txt", "x".encode("utf-16")),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="not UTF-8"):
            read(tmp_path / name)
    (tmp_path / "d.txt").write_bytes(b"a\0b")
    assert read(tmp_path / "d.txt") == [Rejection(str(tmp_path / "d.txt"), "the whole file", "NUL character in the text")]


@pytest.mark.parametrize("name", ["n.jsonl.gz", "n.csv.gz", "n.parquet"])
def test_a_cut_off_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"again\.$"):
        read(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=5),
    name=st.sampled_from(["n.jsonl", "n.jsonl.gz", "n.csv"]),
)
def test_damaged_bytes_give_records_or_one_data_error(tmp_path: Path, edits: list[tuple[int, bytes]], name: str) -> None:
    path = write(tmp_path, name)
    content = bytearray(path.read_bytes())
    for position, replacement in edits:
        content[position % len(content) : position % len(content) + 1] = replacement
    path.write_bytes(content)
    try:
        records = read(path)
    except DataError:
        return
    assert all(isinstance(record, Document | Rejection) for record in records)
    for record in records:
        if isinstance(record, Document):
            (record.id + record.text + record.metadata_json()).encode("utf-8")


def test_real_notes_are_read_whole(shared_data: Path) -> None:
    cases = Files(shared_data / "notes/e3c_cases.jsonl.gz", id_column="id", access="open")
    reports = Files(shared_data / "notes/mtsamples.csv.gz", text_column="transcription", id_column="note_id", access="open")
    for source, count in ((cases, 8178), (reports, 4999)):
        (path,) = source.files()
        assert sum(isinstance(record, Document) for record in source.read(path)) == count
