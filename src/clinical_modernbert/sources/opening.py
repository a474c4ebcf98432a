"""In: a path or URL of a user. Out: its input files in order, and byte streams whose damage is a `DataError`. Next: every source."""

import gzip
import io
import logging
import shutil
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, TypeAlias, cast

from pydantic import PlainSerializer, PlainValidator
from upath import UPath

from clinical_modernbert.errors import DataError

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 2**20
"""The longest line, text file or stretch of XML that is read; more of it would be damage or an attack on the memory."""

_open: list[BinaryIO] = []
"""Raw streams of `open_bytes`."""

Location: TypeAlias = Path | UPath
"""A file or folder here, or on anything that fsspec reaches."""


def locate(value: object) -> Location:
    """The path or URL that a string stands for.

    Raises:
        ValueError: it is neither, or nothing here reads this kind of address.
    """
    if isinstance(value, str):
        try:
            value = UPath(value) if "://" in value else Path(value)
        except ImportError as error:  # fsspec says which package reads this kind of address
            raise ValueError(str(error)) from None
    if isinstance(value, UPath):
        return Path(value.path) if value.protocol in ("", "file", "local") else value
    if isinstance(value, Path):
        return value
    raise ValueError("a path or URL is expected")


InputPath = Annotated[Location, PlainValidator(locate), PlainSerializer(str, return_type=str)]
"""A source's field for a path (`notes/`) or a URL (`s3://bucket/notes/`, `memory://notes`; `file://` is a path)."""


def list_files(path: Location, suffixes: Sequence[str]) -> list[Location]:
    """`path` itself if it is a file, else every file below it that ends in one of `suffixes`, sorted by file name.

    The name decides before the folder, so that numbered files in several folders (`baseline/`, `updatefiles/`) keep their order.
    Files and folders whose names start with a dot are left out. Links are followed, each folder is read once.

    Raises:
        DataError: no such path, a folder without such a file, or one that cannot be read.
    """
    files = _files(path)
    found = [file for file in files if file.name.endswith(tuple(suffixes))]
    if not found:
        raise DataError(f"not a {' or '.join(suffixes)} file, nor a folder with one ({path}). Check the path.")
    for file in found:
        if str(file) != str(file).encode(errors="ignore").decode():
            raise DataError(f"a file name that is not UTF-8 ({str(file)!a}). Rename the file.")
    others = Counter(file.suffix or "no ending" for file in files if not file.name.endswith((*suffixes, ".md5")))
    if others:
        logger.warning(
            "%s: left out, as their kind is not read here: %s", path, ", ".join(f"{n} {kind}" for kind, n in others.most_common())
        )
    return sorted(found, key=lambda file: (file.name, str(file)))


def _files(path: Location) -> list[Location]:
    try:
        if path.is_file():
            return [path]
        if path.is_dir():
            return list(_below(path))
    except OSError as error:
        raise _unreadable(path, error) from None
    raise DataError(f"no such file or folder ({path}). Check the path.")


def _below(folder: Location) -> Iterator[Location]:
    if isinstance(folder, Path):
        yield from _below_here(folder)
        return
    root = folder.path.rstrip("/") + "/"
    for name in folder.fs.find(folder.path):
        relative = name.removeprefix(root)
        if not any(part.startswith(".") for part in relative.split("/")):
            yield folder / relative


def _below_here(root: Path) -> Iterator[Path]:
    """Real folders come before those that links lead to, so that a file's path is the real one wherever it has one below `root`."""
    folders, links, seen = [root], deque[Path](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                (links if path.is_symlink() else folders).append(path)
            elif path.is_file():
                yield path
            elif path.is_symlink():
                logger.warning("%s: left out, as this link leads to no file", path)


@contextmanager
def open_bytes(path: Location) -> Iterator[BinaryIO]:
    """A stream of the file's bytes, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file cannot be opened or, at any later read, is damaged or cut off; or it changed before it was closed.
    """
    packed = path.suffix == ".gz"
    with _unchanged(path) as size:
        try:
            if packed and size == 0:
                raise EOFError
            with _raw(path) as raw:
                _open.append(raw)
                try:
                    yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
                finally:
                    _open.remove(raw)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DataError(f"damaged or cut-off gzip file ({path}). Fetch it again.") from None
        except OSError as error:
            raise _unreadable(path, error) from None


def bytes_read() -> int:
    """How far, in bytes as they lie on disk, the file is read that was opened here first and is still open; 0 where there is none."""
    return _open[0].tell() if _open else 0


@contextmanager
def local_file(path: Location) -> Iterator[Path | BinaryIO]:
    """The file itself, or for a remote one its bytes in an open temporary file that no name leads to.

    Raises:
        DataError: as `open_bytes`.
    """
    if isinstance(path, Path):
        with _unchanged(path):
            yield path
        return
    with tempfile.TemporaryFile() as copy:
        with open_bytes(path) as stream:
            shutil.copyfileobj(stream, copy, 2**20)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def numbered_lines(path: Location) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1, line ends and a leading byte order mark removed.

    Raises:
        DataError: as `open_bytes`, or a line is longer than `MAX_LINE_BYTES`.
    """
    with open_bytes(path) as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                raise DataError(f"line {number} is longer than {MAX_LINE_BYTES:,} bytes ({path}). Break it up.")
            yield number, (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).rstrip(b"\r\n")


class TooLongError(Exception):
    """Too many bytes went by without an end of what is read."""


class Bounded(io.BufferedIOBase):
    """A stream for a parser that holds all it has read till an element or a row ends: at each end `taken` is set to 0.

    Raises:
        TooLongError: at a read, when `taken` has passed the limit.
    """

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self.taken += len(data)
        if self.taken > self._limit:
            raise TooLongError
        return data

    read1 = read


def stamp(path: Location) -> dict[str, int | str | None]:
    """What changes when the file does; of a remote file whatever its file system knows, by fsspec's `ukey`.

    Raises:
        DataError: the file cannot be looked at.
    """
    try:
        if isinstance(path, Path):
            stat = path.stat()
            return {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        path.fs.invalidate_cache(path.path)
        return {"path": str(path), "size": path.fs.size(path.path), "ukey": str(path.fs.ukey(path.path))}
    except OSError as error:
        raise _unreadable(path, error) from None


@contextmanager
def _unchanged(path: Location) -> Iterator[int | str | None]:
    """The size of a file that must be the same file when the block ends well."""
    before = stamp(path)
    yield before["size"]
    if stamp(path) != before:
        raise DataError(f"changed while it was read ({path}). Read it again when nobody writes to it.")


def _raw(path: Location) -> BinaryIO:
    # fsspec's own files know no limit to a line
    return path.open("rb") if isinstance(path, Path) else io.BufferedReader(cast(io.RawIOBase, path.open("rb")), 2**20)


def _unreadable(path: Location, error: OSError) -> DataError:
    where = error.filename if isinstance(error.filename, str) else path
    return DataError(f"cannot be read: {error.strerror or type(error).__name__} ({where}). Check the file and its permissions.")
