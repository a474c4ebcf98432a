"""In: a path that a user named. Out: its files in order, their text in UTF-8, files to write. Next: the modules of the formats."""

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from clinical_modernbert.atomic import write_file
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats.document import encodable
from clinical_modernbert.formats.refusal import Refused

logger = logging.getLogger(__name__)

MAX_BYTES = 16 * 2**20
"""The longest line, or file of one document, that is read; more would be damage or an attack on the memory."""


def files_below(path: Path) -> list[Path]:
    """`path` itself if it is a file, else every file below it, sorted by its path; names that start with a dot are left out.

    Raises:
        DataError: no such path, a folder that cannot be read, or a name that is not UTF-8.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise DataError(f"no such file or folder ({path}). Check the path.")
        files = sorted((file for file in path.rglob("*") if file.is_file() and not _hidden(file, path)), key=Path.as_posix)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror} ({path}). Check its permissions.") from None
    for file in files:
        if not encodable(str(file)):
            raise DataError(f"a file name that is not UTF-8 ({str(file)!a}). Rename the file.")
    return files


def files_of(path: Path, *choices: Sequence[str]) -> list[Path]:
    """The files below `path` whose names end in one of the suffixes of the first of `choices` that any file has.

    Letters' case does not count; a path of a single file counts whatever its name. What is left out is logged by kind.

    Raises:
        DataError: no such path, or no such file below it.
    """
    files = files_below(path)
    if files == [path]:
        return files
    for suffixes in choices:
        found = [file for file in files if file.name.lower().endswith(tuple(suffixes))]
        if found:
            log_left_out(path, (file for file in files if not file.name.lower().endswith(tuple(suffixes))))
            return found
    kinds = " or ".join(suffix for suffixes in choices for suffix in suffixes)
    raise DataError(f"no {kinds} file in this folder ({path}). Check the path.")


def files_beside(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """Of a file those that differ from it by their ending alone, itself too; of a folder all with one of the suffixes.

    Raises:
        DataError: no such path, no such file below it, or a file of another kind.
    """
    if not path.is_file():
        return files_of(path, suffixes)
    files = [file for suffix in suffixes if (file := path.with_suffix(suffix)).is_file()]
    if path not in files:
        raise DataError(f"not a {' or '.join(suffixes)} file ({path}). Give a file of this kind, or a folder.")
    return files


def log_left_out(path: Path, files: Iterable[Path]) -> None:
    """Say in the log how many files of which kind are not read."""
    kinds = Counter(file.suffix or "no ending" for file in files)
    if kinds:
        logger.warning("%s: left out, as no part of this format: %s", path, ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))


def document_id(file: Path, path: Path) -> str:
    """The file's path below `path`, without its last ending."""
    relative = file.relative_to(path).as_posix() if path.is_dir() else file.name
    return relative.removesuffix(file.suffix)


def read_text(path: Path) -> str:
    """The whole file, line ends as they are, so that offsets count the file's own characters.

    Raises:
        Refused: it cannot be read, is longer than `MAX_BYTES`, is not UTF-8 or holds a NUL.
    """
    with _opened(path) as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Refused(f"longer than {MAX_BYTES:,} bytes")
    return _decoded(content, "the whole file")


def numbered_lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """The file's lines with their numbers from 1, without a byte order mark and line ends.

    Raises:
        Refused: as `read_text`; lines before that are valid.
    """
    with _opened(path) as stream:
        for number in count(1):
            line = stream.readline(MAX_BYTES)
            if len(line) == MAX_BYTES:
                raise Refused(f"longer than {MAX_BYTES:,} bytes", f"line {number} and all behind it")
            if not line:
                return
            text = _decoded(line, f"line {number} and all behind it").removesuffix("\n").removesuffix("\r")
            yield number, text.removeprefix("\ufeff") if number == 1 else text


def write_document(folder: Path, id: str, suffix: str, text: str) -> None:
    """Write a file below `folder` that is named by the document.

    Raises:
        Refused: the id is no relative path of plain names.
    """
    parts = id.split("/")
    if any(not part or part.startswith(".") or not part.isprintable() or "\\" in part for part in parts):
        raise Refused("an id that cannot name a file")
    write_file(folder.joinpath(*parts[:-1], parts[-1] + suffix), lambda aside: aside.write_bytes(text.encode()))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None


def _decoded(content: bytes, where: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}", where) from None
    if "\0" in text:
        raise Refused("a NUL character", where)
    return text


def _hidden(file: Path, path: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(path).parts)
