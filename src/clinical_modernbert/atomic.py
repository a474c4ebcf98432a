"""Files and folders that appear whole or not at all: written aside, flushed to disk, then renamed."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary neighbour of `path`, flush it to disk and give it its name."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        write(aside)
        _settle(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see `write_file`."""
    write_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with keys in their order; see `write_file`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(path: Path, tag: str = "") -> Iterator[Path]:
    """A folder to fill that takes the name `path` when the block ends well, in place of what stood there before.

    Two who fill the same one at the same time need a `tag` each.
    """
    aside = path.with_name(f".{path.name}{tag}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        for folder, _, names in os.walk(aside):
            for name in names:
                _settle(Path(folder, name))
            _flush(Path(folder))
        old = path.with_name(f".{path.name}.old")
        if path.exists():
            os.replace(path, old)
        os.replace(aside, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _flush(path.parent)


def replace_link(link: Path, target: str) -> None:
    """Point the symbolic link `link` at the relative path `target` in one step."""
    aside = link.with_name(f".{link.name}.part")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    os.replace(aside, link)
    _flush(link.parent)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settle(path: Path) -> None:
    """Flush a file and give it the permissions of any new file; safetensors makes its files for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
    _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
