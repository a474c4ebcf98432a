from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import tables
from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.meds import MedsNotes

NOTE = "Seen today, well. " * 10
AT = datetime(2020, 1, 2, 3, 4)
SCHEMA = {"subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float32, "text_value": pl.String}
EVENTS: list[dict[str, Any]] = [
    {"subject_id": 1, "time": None, "code": "GENDER//F"},
    {"subject_id": 1, "time": AT, "code": "LAB//50931", "numeric_value": 5.0, "text_value": "POSITIVE"},
    {"subject_id": 1, "time": AT, "code": "NOTE//discharge", "text_value": NOTE},
    {"subject_id": 1, "time": AT, "code": "ICD10CM//E11.9"},
    {"subject_id": 2, "time": None, "code": "NOTE//radiology", "text_value": NOTE + "again"},
    {"subject_id": 2, "time": AT, "code": "DIAGNOSIS//ICD//9//25000"},
    {"subject_id": 2, "time": AT, "code": "PROCEDURE//ICD//9//3893"},
    {"subject_id": 2, "time": AT, "code": "ICD9CM/E8500"},
]


def shard(folder: Path, events: list[dict[str, Any]], name: str = "data/train/0.parquet", **more: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(events, schema={**SCHEMA, **more}).write_parquet(path)
    return path


def read(source: MedsNotes) -> list[Any]:
    return [record for path in source.files() for record in source.read(path)]


def test_long_text_values_are_notes_with_their_subjects_codes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard(tmp_path, EVENTS)
    first, second = read(MedsNotes(tmp_path))
    assert first == Document(
        "meds:train/0-3",
        NOTE,
        "meds",
        "credentialed",
        patient="1",
        metadata={"code": "NOTE//discharge", "time": "2020-01-02T03:04:00", "codes": ["ICD-10-CM:E11.9"]},
    )
    assert second.metadata == {"code": "NOTE//radiology", "codes": ["ICD-9-CM:250.00", "ICD-9-CM:E850.0"]}
    assert "1 events with text are left out" in caplog.text


def test_only_data_is_read_of_a_dataset(tmp_path: Path) -> None:
    expected = [shard(tmp_path, EVENTS, f"data/{split}/0.parquet") for split in ("held_out", "train")]
    shard(tmp_path, EVENTS, "metadata/codes.parquet")
    assert MedsNotes(tmp_path).files() == expected
    assert len({record.id for record in read(MedsNotes(tmp_path))}) == 4


@pytest.mark.parametrize("path", ["", "data", "data/train/0.parquet"])
def test_an_id_is_unique_however_the_dataset_is_given(tmp_path: Path, path: str) -> None:
    shard(tmp_path, EVENTS)
    first, _ = read(MedsNotes(tmp_path / path))
    assert first.id == ("meds:0-3" if path.endswith(".parquet") else "meds:train/0-3")


def test_codes_choose_the_events_and_min_characters_their_length(tmp_path: Path) -> None:
    shard(tmp_path, EVENTS)
    assert [record.patient for record in read(MedsNotes(tmp_path, codes=("NOTE//rad", "LAB//")))] == ["2"]
    assert [record.text for record in read(MedsNotes(tmp_path, codes=("LAB//",), min_characters=1))] == ["POSITIVE"]


def test_an_admission_gives_its_own_codes_only(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"subject_id": 1, "hadm_id": 10, "code": "N", "text_value": NOTE},
        {"subject_id": 1, "hadm_id": 11, "code": "N", "text_value": NOTE + "b"},
        {"subject_id": 1, "hadm_id": None, "code": "N", "text_value": NOTE + "c"},
        {"subject_id": 1, "hadm_id": 10, "code": "ICD10CM//I10"},
        {"subject_id": 1, "hadm_id": 11, "code": "DIAGNOSIS//ICD//10//J189"},
        {"subject_id": 1, "hadm_id": None, "code": "ICD10CM//E11.9"},
    ]
    shard(tmp_path, events, hadm_id=pl.Int64)
    found = [(record.metadata.get("hadm_id"), record.metadata.get("codes")) for record in read(MedsNotes(tmp_path))]
    assert found == [("10", ["ICD-10-CM:I10"]), ("11", ["ICD-10-CM:J18.9"]), (None, None)]


def test_categories_are_read_as_text(tmp_path: Path) -> None:
    path = shard(tmp_path, EVENTS)
    before = read(MedsNotes(tmp_path))
    pl.read_parquet(path).with_columns(pl.col("code").cast(pl.Categorical)).write_parquet(path)
    assert read(MedsNotes(tmp_path)) == before


def test_a_null_subject_or_a_nul_is_rejected_by_row(tmp_path: Path) -> None:
    shard(tmp_path, [{"subject_id": None, "code": "N", "text_value": NOTE}, {"subject_id": 1, "code": "N", "text_value": NOTE + "\0"}])
    rejected = read(MedsNotes(tmp_path))
    assert [(record.where, record.reason) for record in rejected if isinstance(record, Rejection)] == [
        ("row 1", "no subject_id"),
        ("row 2", "NUL character in the text"),
    ]


def test_a_dataset_without_text_values_is_an_error(tmp_path: Path) -> None:
    path = shard(tmp_path, EVENTS)
    pl.read_parquet(path).drop("text_value").write_parquet(path)
    with pytest.raises(DataError, match="no 'text_value' column"):
        read(MedsNotes(tmp_path))


@pytest.mark.parametrize("kind", [pl.List(pl.String), pl.Binary])
def test_a_text_value_of_another_type_is_an_error_without_text(tmp_path: Path, kind: Any) -> None:
    value = [NOTE] if kind == pl.List(pl.String) else b"\xff" * 200
    path = tmp_path / "0.parquet"
    columns = {"subject_id": [1], "time": [AT], "code": ["N"], "text_value": [value]}
    pl.DataFrame(columns, schema_overrides={"text_value": kind}).write_parquet(path)
    with pytest.raises(DataError, match=r"text_value|MEDS") as error:
        read(MedsNotes(path))
    assert "Seen" not in str(error.value)


def test_the_size_of_a_slice_changes_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path, EVENTS)
    before = read(MedsNotes(tmp_path))
    monkeypatch.setattr(tables, "_SLICE_ROWS", 3)
    assert read(MedsNotes(tmp_path)) == before


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.9])
def test_a_cut_off_file_is_one_clear_error(tmp_path: Path, keep: float) -> None:
    path = shard(tmp_path, EVENTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError):
        read(MedsNotes(tmp_path))


def test_a_remote_dataset_gives_the_same_documents(tmp_path: Path) -> None:
    shard(tmp_path, EVENTS)
    fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
    assert read(MedsNotes(f"memory://{tmp_path}")) == read(MedsNotes(tmp_path))  # type: ignore[arg-type]
