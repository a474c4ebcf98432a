"""In: the folder where a user has put a data set. Out: its files by their official names, whatever folders they were unpacked to.

Next: `loaders`.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from clinical_modernbert import atomic, formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.formats.text_files import files_below


class DataFolder:
    """The files of one data set; it remembers which were read, for `checksum`."""

    def __init__(self, path: Path, get: str) -> None:
        self.path = path
        self._get = get
        try:
            self._files = files_below(path)
        except DataError as error:
            raise DataError(f"{error} {get}") from None
        self._read: dict[str, str] = {}

    @property
    def checksum(self) -> str:
        """Sixteen hexadecimal digits over all files read so far, whatever their order."""
        return sha256(json.dumps(sorted(self._read.items())).encode()).hexdigest()[:16]

    def find(self, *names: str) -> Path:
        """The one file whose path ends in a name (`train.tsv`, `test/gold.txt`), itself or with `.gz`; of several names the first there.

        Raises:
            DataError: there is none, or more than one.
        """
        for name in names:
            found = [file for file in self._files if self._relative(file).endswith(("/" + name, f"/{name}.gz"))]
            if len(found) > 1:
                raise DataError(f"{name} is there {len(found)} times ({self.path}). Keep one of them.")
            if found:
                self._note(found[0])
                return found[0]
        raise DataError(f"no {' or '.join(names)} ({self.path}). {self._get}")

    def sha256(self, name: str) -> str:
        """Of the one file of this name."""
        return self._read[self._relative(self.find(name))]

    def below(self, folder: str, suffix: str) -> list[Path]:
        """The files below a folder of this name, wherever it lies, that end in `suffix`, in order of their paths.

        Raises:
            DataError: there is none.
        """
        found = [file for file in self._files if f"/{folder}/" in self._relative(file) and file.name.endswith(suffix)]
        if not found:
            raise DataError(f"no {suffix} files in a folder {folder} ({self.path}). {self._get}")
        for file in found:
            self._note(file)
        return found

    def lines(self, *names: str) -> Iterator[tuple[int, str]]:
        """The lines of the file that `find` finds, with their numbers from 1, without line ends.

        Raises:
            DataError: as `find`, or the file is damaged or not UTF-8.
        """
        path = self.find(*names)
        try:
            with gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig") as stream:
                for number, line in enumerate(stream, start=1):
                    yield number, line.rstrip("\r\n")
        except UnicodeDecodeError:
            raise self.damaged(path, "not UTF-8") from None
        except (OSError, EOFError) as error:
            raise self.damaged(path, f"cannot be read ({type(error).__name__})") from None

    def json_lines(self, *names: str, needed: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
        """The objects of a JSON Lines file with their line numbers; empty lines are nothing.

        Raises:
            DataError: as `lines`, or a line is no object or lacks a key of `needed`.
        """
        path = self.find(*names)
        for number, line in self.lines(*names):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except ValueError:
                item = None
            if not isinstance(item, dict) or any(key not in item for key in needed):
                raise self.damaged(path, f"no JSON object with {', '.join(needed) or 'keys'}", f"line {number}")
            yield number, item

    def json(self, *names: str) -> Any:
        """What a JSON file holds.

        Raises:
            DataError: as `lines`, or it is not JSON.
        """
        try:
            return json.loads("\n".join(line for _, line in self.lines(*names)))
        except ValueError:
            raise self.damaged(self.find(*names), "not JSON") from None

    def rows(self, *names: str, columns: int, delimiter: str = "\t") -> Iterator[tuple[int, list[str]]]:
        """The fields of each line with its number, in a file without quoting; empty lines are nothing.

        Raises:
            DataError: as `lines`, or a line has another number of fields.
        """
        path = self.find(*names)
        for number, line in self.lines(*names):
            if line.strip():
                fields = line.split(delimiter)
                if len(fields) != columns:
                    raise self.damaged(path, f"{len(fields)} fields where {columns} are expected", f"line {number}")
                yield number, fields

    def documents(self, *names: str, format: str) -> list[AnnotatedDocument]:
        """The annotated documents of a file, in one of `formats`.

        Raises:
            DataError: as `find`, or something in it cannot be read.
        """
        return list(formats.open(self.find(*names), format))

    def damaged(self, path: Path, reason: str, where: str = "") -> DataError:
        """The error that a file is not what it should be; `where` is a line or an id, never text."""
        return DataError(f"{reason} ({path}{', ' + where if where else ''}). {self._get}")

    def _relative(self, file: Path) -> str:
        return f"/{file.relative_to(self.path).as_posix()}"

    def _note(self, file: Path) -> None:
        name = self._relative(file)
        if name not in self._read:
            self._read[name] = atomic.sha256(file)
