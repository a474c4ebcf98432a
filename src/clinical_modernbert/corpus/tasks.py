"""In: a piece of work on one file or shard. Out: a folder with its results and `done.json`, whole or not there at all. Next: `executor`.

`done.json` holds a key of all that the results depend on and the hash of every file. A task whose `done.json` fits is not run again; one
whose key or files have changed since is.
"""

import hashlib
import json
import mmap
import os
import socket
import struct
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from clinical_modernbert import __version__, atomic

_DONE = "done.json"


class Result(NamedTuple):
    """What a task says of its results, and name -> SHA-256 of the files in its folder.

    Each kind of task declares its summary; `done` in it is how much was done, in the task's `unit`.
    """

    summary: dict[str, Any]
    files: dict[str, str]


class Journal:
    """Eight bytes on disk that say how far a task is: for the progress bar, and for whoever finds its process dead."""

    def __init__(self, path: Path | None = None) -> None:
        self._map: mmap.mmap | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(8))
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 8)

    def at(self, place: int) -> None:
        """Note that `place`, from 1, is being worked on."""
        if self._map is not None:
            self._map[:] = struct.pack("<q", place)

    @staticmethod
    def read(path: Path) -> int:
        """The place noted last; 0 where none was."""
        try:
            return int(struct.unpack("<q", path.read_bytes())[0])
        except (OSError, struct.error):
            return 0


class Task(BaseModel):
    """One piece of work. Its fields are plain data, so that another process or machine can be asked to do it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    """Where its results go; on a cluster, on a disk that all machines see."""

    unit: ClassVar[str] = "documents"
    """What its journal counts."""
    not_in_key: ClassVar[frozenset[str]] = frozenset({"folder"})
    """Fields that the results do not depend on."""

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits of all that the results depend on."""
        plain = {"kind": type(self).__name__, "version": __version__, **self.model_dump(mode="json", exclude=set(self.not_in_key))}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def journal(self) -> Path:
        """Where it notes how far it is while it runs."""
        return self.folder.with_name(f".{self.folder.name}.journal")

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """Do the work: write files to `folder`, say what came of it."""
        raise NotImplementedError

    def finished(self) -> Result | None:
        """What an earlier run left; None if it left nothing, or was given something else, or a file is missing or changed."""
        try:
            done = json.loads((self.folder / _DONE).read_text(encoding="utf-8"))
            fits = done["key"] == self.key and done["files"] == _hashes(self.folder)
            return Result(done["summary"], done["files"]) if fits else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def perform(self) -> Result:
        """`run`, with its results on disk when this returns."""
        with atomic.new_folder(self.folder, f".{socket.gethostname()}-{os.getpid()}") as folder:
            result = Result(self.run(folder, Journal(self.journal)), _hashes(folder))
            atomic.write_json(folder / _DONE, {"key": self.key, **result._asdict()})
        self.journal.unlink(missing_ok=True)
        return result


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: atomic.sha256(path) for path in sorted(folder.iterdir()) if path.name != _DONE}
