"""Work in parts: the order of the input, bounded memory, and an interrupted run that goes on."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference import bulk
from clinical_modernbert.sources.document import Document, Record, Rejection

KEY = {"model": "abc", "limit": None}


def records(count: int) -> Iterator[Record]:
    """Every fifth cannot be read."""
    for number in range(count):
        if number % 5 == 4:
            yield Rejection("notes.jsonl", f"line {number}", "no text")
        else:
            yield Document(f"files:{number}", f"note {number}", "files", "credentialed")


def write_ids(documents: Sequence[Document], path: Path) -> dict[str, int]:
    path.write_text("".join(f"{document.id}\n" for document in documents))
    return {"letters": sum(len(document.text) for document in documents)}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_TEXTS", 3)


def test_the_output_has_the_order_of_the_input_and_refusals_are_counted(tmp_path: Path) -> None:
    total = bulk.run(records(20), write_ids, bulk.joined_bytes, tmp_path / "out", KEY)
    assert (tmp_path / "out").read_text().split() == [f"files:{number}" for number in range(20) if number % 5 != 4]
    assert (total["texts"], total["refused"]) == (16, 4)
    assert total["letters"] == sum(len(f"note {number}") for number in range(20) if number % 5 != 4)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_more_than_a_part_is_held_at_once() -> None:
    taken = 0

    def counted() -> Iterator[Record]:
        nonlocal taken
        for record in records(1000):
            taken += 1
            yield record

    next(bulk.parts(counted()))
    assert taken <= 4
    long = (Document(str(number), "x" * 2**21, "files", "open") for number in range(10))
    assert len(next(bulk.parts(long)).documents) == 2


@pytest.mark.parametrize("broken", [0, 2])
def test_an_interrupted_run_goes_on_and_does_nothing_twice(tmp_path: Path, broken: int) -> None:
    called: list[str] = []

    def fails(documents: Sequence[Document], path: Path) -> dict[str, int]:
        called.append(documents[0].id)
        if len(called) == broken + 1:
            path.write_text("half")
            raise KeyboardInterrupt
        return write_ids(documents, path)

    with pytest.raises(KeyboardInterrupt):
        bulk.run(records(20), fails, bulk.joined_bytes, tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()
    total = bulk.run(records(20), fails, bulk.joined_bytes, tmp_path / "out", KEY, resume=True)
    bulk.run(records(20), write_ids, bulk.joined_bytes, tmp_path / "whole", KEY)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
    assert total["texts"] == 16
    assert len(called) == len(set(called)) + 1


def test_a_run_with_other_options_does_not_go_on_with_the_parts_of_another(tmp_path: Path) -> None:
    def fails(documents: Sequence[Document], path: Path) -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bulk.run(records(20), fails, bulk.joined_bytes, tmp_path / "out", KEY)
    with pytest.raises(ConfigError, match="Leave out --resume"):
        bulk.run(records(20), write_ids, bulk.joined_bytes, tmp_path / "out", {**KEY, "model": "def"}, resume=True)
    bulk.run(records(20), write_ids, bulk.joined_bytes, tmp_path / "out", {**KEY, "model": "def"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_there_is_kept_and_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        bulk.run(records(20), write_ids, bulk.joined_bytes, tmp_path / "out", KEY)
    with pytest.raises(DataError, match="no text could be read"):
        bulk.run(iter([Rejection("a", "line 1", "no text")]), write_ids, bulk.joined_bytes, tmp_path / "out", KEY, overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"
    bulk.run(records(3), write_ids, bulk.joined_bytes, tmp_path / "out", KEY, overwrite=True)
    assert (tmp_path / "out").read_text() == "files:0\nfiles:1\nfiles:2\n"


def test_tables_and_folders_are_joined_in_order(tmp_path: Path) -> None:
    def table(documents: Sequence[Document], path: Path) -> dict[str, int]:
        pl.DataFrame({"id": [document.id for document in documents]}).write_parquet(path)
        return {}

    def folder(documents: Sequence[Document], path: Path) -> dict[str, int]:
        path.mkdir()
        for document in documents:
            (path / f"{document.id.removeprefix('files:')}.txt").write_text(document.text)
        return {}

    def one_file(documents: Sequence[Document], path: Path) -> dict[str, int]:
        path.mkdir()
        write_ids(documents, path / "documents.conll")
        return {}

    wanted = [f"files:{number}" for number in range(14) if number % 5 != 4]
    bulk.run(records(14), table, bulk.joined_parquet, tmp_path / "table.parquet", KEY)
    assert pl.read_parquet(tmp_path / "table.parquet")["id"].to_list() == wanted
    bulk.run(records(14), folder, bulk.joined_folders, tmp_path / "folder", KEY)
    assert len(list((tmp_path / "folder").iterdir())) == len(wanted)
    bulk.run(records(14), one_file, bulk.joined_files, tmp_path / "files", KEY)
    assert (tmp_path / "files" / "documents.conll").read_text().split() == wanted
    twice = [Document("files:1", "a", "files", "open") for _ in range(6)]
    with pytest.raises(DataError, match="two texts have the id '1'"):
        bulk.run(iter(twice), folder, bulk.joined_folders, tmp_path / "twice", KEY)
    assert not (tmp_path / "twice").exists()


def test_a_damaged_note_of_the_parts_begins_anew(tmp_path: Path) -> None:
    aside = tmp_path / ".out.parts"
    aside.mkdir()
    (aside / "job.json").write_text("{half")
    (aside / "000000.json").write_text(json.dumps({"texts": 99}))
    assert bulk.run(records(5), write_ids, bulk.joined_bytes, tmp_path / "out", KEY, resume=True)["texts"] == 4
