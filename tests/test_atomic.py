import os
import stat

import pytest

from clinical_modernbert import atomic


def fail(path):
    path.write_text("half")
    raise RuntimeError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "sub" / "file.txt"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError):
        atomic.write_file(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic.new_folder(tmp_path / "folder") as aside:
        (aside / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic.new_folder(tmp_path / "folder") as aside:
        fail(aside / "a")
    assert (tmp_path / "folder" / "a").read_text() == "old"
    with atomic.new_folder(tmp_path / "folder") as aside:
        (aside / "b").write_text("new")
    assert os.listdir(tmp_path / "folder") == ["b"]
    assert os.listdir(tmp_path) == ["folder"]


def test_files_have_the_permissions_that_the_user_asked_for(tmp_path):
    mask = os.umask(0o027)
    try:
        atomic.write_file(tmp_path / "one", lambda path: os.close(os.open(path, os.O_CREAT, 0o600)))
        with atomic.new_folder(tmp_path / "two") as aside:
            os.close(os.open(aside / "file", os.O_CREAT, 0o600))
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "one", tmp_path / "two" / "file")] == [0o640, 0o640]


def test_a_link_is_moved_in_one_step(tmp_path):
    atomic.replace_link(tmp_path / "latest", "one")
    atomic.replace_link(tmp_path / "latest", "two")
    assert os.readlink(tmp_path / "latest") == "two"


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError):
        atomic.write_text(tmp_path, "text")
