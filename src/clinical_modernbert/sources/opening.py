"""In: a path a user named. Out: its input files in order, and byte streams whose damage is a `DataError`. Next: every source."""

import gzip
import logging
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from clinical_modernbert.errors import DataError

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 2**20


def list_files(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """`path` itself if it is a file, else every file below it that ends in one of `suffixes`, sorted by file name.

    The name decides before the folder, so that numbered files in several folders (`baseline/`, `updatefiles/`) keep their order.
    Names that start with a dot are left out.

    Raises:
        DataError: no such path, or a folder without such a file.
    """
    if path.is_file():
        if not path.name.endswith(tuple(suffixes)):
            raise DataError(f"not a {' or '.join(suffixes)} file ({path}). Give a file or folder of this kind.")
        return [path]
    if not path.is_dir():
        raise DataError(f"no such file or folder ({path}). Check the path.")
    files = [file for file in path.rglob("*") if not file.name.startswith(".") and file.is_file()]
    found = [file for file in files if file.name.endswith(tuple(suffixes))]
    if not found:
        raise DataError(f"no {' or '.join(suffixes)} file in this folder ({path}). Check the path.")
    others = Counter(file.suffix or "no ending" for file in files if not file.name.endswith(tuple(suffixes)))
    if others:
        logger.warning(
            "%s: left out, as their kind is not read here: %s", path, ", ".join(f"{n} {kind}" for kind, n in others.most_common())
        )
    return sorted(found, key=lambda file: (file.name, file))


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """A stream of the file's bytes, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file cannot be opened or, at any later read, is damaged or cut off.
    """
    try:
        if path.suffix == ".gz" and path.stat().st_size == 0:
            raise EOFError
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast(BinaryIO, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"damaged or cut-off gzip file ({path}). Fetch it again.") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or type(error).__name__} ({path}). Check the file and its permissions.") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
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
