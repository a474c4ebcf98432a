import gzip
import json
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Document, Files, Rejection

ROWS = [{"text": "First\nnote", "id": "a", "mrn": "p1", "ward": "ICU"}, {"text": "Second — note", "id": "b", "mrn": "p2", "ward": "ED"}]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    if "jsonl" in name:
        content = "\n".join(json.dumps(row) for row in ROWS).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    elif "sv" in name:
        content = pl.DataFrame(ROWS).write_csv(separator="\t" if "tsv" in name else ",").encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    else:
        pl.DataFrame(ROWS).write_parquet(path)
    return path


def read(path: Path, **options: str) -> list[object]:
    return list(Files(path, **options).read(path))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["n.jsonl", "n.jsonl.gz", "n.csv", "n.csv.gz", "n.tsv", "n.tsv.gz", "n.parquet"])
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
@pytest.mark.parametrize("setting", ["text_column", "id_column", "patient_column", "time_column"])
def test_a_table_without_a_named_column_says_what_it_has_and_what_to_set(tmp_path: Path, name: str, setting: str) -> None:
    path = write(tmp_path, name)
    with pytest.raises(DataError) as error:
        read(path, **{setting: "note"})
    assert str(error.value) == f"no 'note' column (found text, id, mrn, ward) ({path}). Set {setting}."


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


@pytest.mark.parametrize(
    ("value", "metadata"),
    [
        ("2019-05-31", {"time": "2019-05-31"}),
        ("2019-05-31 07:08:09", {"time": "2019-05-31T07:08:09"}),
        ("2019-05-31T07:08:09+02:00", {"time": "2019-05-31T07:08:09+02:00"}),
        ("31.5.2019", {"columns": {"when": "31.5.2019"}}),
        (None, {}),
    ],
)
def test_a_time_is_metadata_where_it_is_one_and_the_row_stays_in_any_case(tmp_path: Path, value: str | None, metadata: object) -> None:
    (tmp_path / "n.csv").write_text(f"text,when\nt,{value or ''}\n")
    (tmp_path / "n.jsonl").write_text(json.dumps({"text": "t", "when": value}))
    for path in tmp_path.iterdir():
        (document,) = read(path, time_column="when")
        assert isinstance(document, Document)
        assert document.metadata == metadata


def test_times_of_parquet_and_lines_without_one_are_taken_as_they_are(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a"], "day": [date(2019, 5, 31)], "at": [datetime(2019, 5, 31, 7)]}).write_parquet(tmp_path / "n.parquet")
    (tmp_path / "n.jsonl").write_text('{"text": "t"}')
    found = [read(tmp_path / name, time_column=column) for name, column in (("n.parquet", "day"), ("n.parquet", "at"), ("n.jsonl", "at"))]
    times = [document.metadata.get("time") for (document,) in found if isinstance(document, Document)]
    assert times == ["2019-05-31", "2019-05-31T07:00:00", None]


def test_a_column_without_a_name_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text(",text\n2019,t\n")
    (document,) = read(tmp_path / "n.csv")
    assert isinstance(document, Document)
    assert document.metadata == {"columns": {"": "2019"}}


def test_real_notes_are_read_whole(shared_data: Path) -> None:
    cases = Files(shared_data / "notes/e3c_cases.jsonl.gz", id_column="id", access="open")
    reports = Files(shared_data / "notes/mtsamples.csv.gz", text_column="transcription", id_column="note_id", access="open")
    for source, count in ((cases, 8178), (reports, 4999)):
        (path,) = source.files()
        assert sum(isinstance(record, Document) for record in source.read(path)) == count
