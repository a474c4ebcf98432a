import gzip
import logging
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from upath import UPath

from clinical_modernbert.errors import DataError
from clinical_modernbert.settings import Settings
from clinical_modernbert.sources.opening import InputPath, Location, list_files, local_file, numbered_lines, open_bytes, stamp


@pytest.fixture
def memory() -> Iterator[UPath]:
    root = UPath("memory://opening")
    yield root
    root.fs.rm(root.path, recursive=True)


def names(root: Location, *suffixes: str) -> list[str]:
    return [file.as_posix().removeprefix(f"{root.as_posix()}/") for file in list_files(root, suffixes or (".txt",))]


class OnePath(Settings):
    path: InputPath


def test_a_url_is_remote_and_everything_else_a_path_here(tmp_path: Path) -> None:
    read = TypeAdapter(InputPath).validate_python
    assert read("memory://notes/a.txt") == UPath("memory://notes/a.txt")
    assert read("notes/a.txt") == read(Path("notes/a.txt")) == Path("notes/a.txt")
    for spelt in (tmp_path.as_uri(), UPath(tmp_path.as_uri()), UPath(tmp_path)):
        assert type(read(spelt)) is type(tmp_path)
        assert read(spelt) == tmp_path


@pytest.mark.parametrize("spelt", ["notes/a.txt", "memory://notes/a.txt", "memory:///notes/a.txt"])
def test_a_path_survives_yaml(spelt: str) -> None:
    before = OnePath(path=spelt)  # type: ignore[arg-type]
    assert OnePath(**yaml.safe_load(before.to_yaml())) == before


@pytest.mark.parametrize("wrong", ["nowhere://a", 3, None])
def test_an_address_that_nothing_reads_is_a_mistake_of_the_settings(wrong: object) -> None:
    with pytest.raises(ValidationError):
        OnePath(path=wrong)  # type: ignore[arg-type]


def test_files_are_in_order_of_their_names_here_and_remote(tmp_path: Path, memory: UPath) -> None:
    written = ["b/1.txt", "a/2.txt", "a/1.txt", "3.txt", "c/.hidden.txt", ".d/4.txt", "a/5.csv"]
    for root in (tmp_path, memory):
        for name in written:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")
        assert names(root) == ["a/1.txt", "b/1.txt", "a/2.txt", "3.txt"]


def test_a_loop_of_links_is_not_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    (tmp_path / "z/1.txt").touch()
    (tmp_path / "z/up").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "self").symlink_to("self")
    assert names(tmp_path) == ["z/1.txt"]


def test_a_link_to_a_folder_or_file_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/1.txt").touch()
    (tmp_path / "disk/2.csv").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/more").symlink_to(tmp_path / "disk")
    (tmp_path / "notes/2.txt").symlink_to(tmp_path / "disk/2.csv")
    assert names(tmp_path / "notes") == ["more/1.txt", "2.txt"]


def test_a_link_to_nothing_is_told_by_its_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1.txt").touch()
    (tmp_path / "2.txt").symlink_to("gone")
    with caplog.at_level(logging.WARNING):
        assert names(tmp_path) == ["1.txt"]
    assert str(tmp_path / "2.txt") in caplog.text


def test_files_of_another_kind_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.txt", "2.pdf", "3.pdf", "README"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        names(tmp_path)
    assert "2 .pdf, 1 no ending" in caplog.text


def test_a_wrong_path_says_what_to_do(tmp_path: Path, memory: UPath) -> None:
    (tmp_path / "a.pdf").touch()
    (memory / "a.pdf").write_bytes(b"x")
    for root in (tmp_path, memory):
        for path in (root, root / "a.pdf", root / "gone"):
            with pytest.raises(DataError, match=r"(not a \.txt file|no such file).* \(.*\)\. Check the path\."):
                list_files(path, (".txt",))
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        list_files(tmp_path / ("x" * 300), (".txt",))


def test_a_file_name_that_is_not_utf8_is_one_clear_error(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).touch()
    with pytest.raises(DataError, match=r"not UTF-8.*Rename the file") as error:
        list_files(tmp_path, (".txt",))
    str(error.value).encode()


def test_all_members_of_a_gzip_file_are_read(tmp_path: Path, memory: UPath) -> None:
    for root in (tmp_path, memory):
        (root / "a.jsonl.gz").parent.mkdir(exist_ok=True)
        (root / "a.jsonl.gz").write_bytes(gzip.compress(b"one\ntw") + gzip.compress(b"o\r\n") + gzip.compress(b"three"))
        assert list(numbered_lines(root / "a.jsonl.gz")) == [(1, b"one"), (2, b"two"), (3, b"three")]


@pytest.mark.parametrize("keep", [0, 5, 30, -1])
def test_a_cut_off_gzip_file_is_one_clear_error(tmp_path: Path, memory: UPath, keep: int) -> None:
    for root in (tmp_path, memory):
        (root / "a.gz").parent.mkdir(exist_ok=True)
        (root / "a.gz").write_bytes(gzip.compress(os.urandom(100))[:keep])
        with pytest.raises(DataError, match=r"cut-off gzip file \(.*a\.gz\)\. Fetch it again\."), open_bytes(root / "a.gz") as stream:
            stream.read()


def test_a_stamp_changes_when_the_file_does(tmp_path: Path, memory: UPath) -> None:
    for root in (tmp_path, memory):
        path = root / "a.txt"
        stamps = []
        for content in (b"one", b"two", b"three"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            stamps.append(stamp(path))
        assert stamps[-1] == stamp(path)
        assert all(before != after for before, after in pairwise(stamps))


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.txt", UPath("memory://gone/a.txt"), UPath("memory://gone/a.gz")):
        for read in (stamp, lambda path: list(numbered_lines(path))):
            with pytest.raises(DataError, match=r"cannot be read: .*gone"):
                read(path)


def test_a_local_file_is_itself_and_a_remote_one_a_copy_without_a_name(
    tmp_path: Path, memory: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (memory / "a.parquet").write_bytes(b"bytes")
    with local_file(memory / "a.parquet") as copy:
        assert not isinstance(copy, Path)
        assert copy.read() == b"bytes"
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "b.parquet").touch()
    with local_file(tmp_path / "b.parquet") as same:
        assert same == tmp_path / "b.parquet"
