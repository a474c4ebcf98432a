"""In: NLM's folder of PubMed files, or a mirror of it. Out: the wanted files, whole, each with its MD5 beside it. Next: `pubmed`.

pubmed26n0001.xml.gz                    there only when its MD5 is the published one
pubmed26n0001.xml.gz.md5                the marker of a finished file; such a one is never asked for again
pubmed26n0001.xml.gz.<MD5>.part         what came so far of a file that is to have this MD5; a later run goes on with it
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources.web import Web, checked

NLM = "https://ftp.ncbi.nlm.nih.gov/pubmed/"
"""Where NLM keeps both folders."""
Part = Literal["baseline", "updatefiles"]
"""The yearly baseline, or what came since; the numbers of the second go on where those of the first end."""

_NAME = re.compile(r"pubmed\d\dn(\d{4,})\.xml\.gz")
_MD5 = re.compile(rb"\b[0-9a-fA-F]{32}\b")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be had, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Download:
    """What became of the wanted files; `bytes` counts those of the fetched ones."""

    fetched: list[str]
    present: list[str]
    failed: list[Failure]
    bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download would cost: `bytes` of the files to fetch, but for those `of_unknown_size`."""

    to_fetch: list[str]
    present: list[str]
    failed: list[Failure]
    bytes: int
    of_unknown_size: int
    bytes_per_second: float

    @property
    def seconds(self) -> float:
        """How long it would take at that rate."""
        return self.bytes / self.bytes_per_second if self.bytes_per_second else 0.0


def parse_numbers(text: str) -> list[range]:
    """The numbers that a user wants.

    Raises:
        ConfigError: not of this form.

    Example:
        >>> parse_numbers("1-50,1335")
        [range(1, 51), range(1335, 1336)]
    """
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ConfigError(f"not a range of file numbers (--files {text}). Write it as 1-50, or 1-50,60.")
        found.append(range(first, last + 1))
    return found


def choose(index: str, wanted: Sequence[range] | None) -> tuple[list[str], list[str]]:
    """The files that an index page lists and a user wants (None: all), in order; and the wanted numbers that it does not list."""
    listed = {match[0]: int(match[1]) for match in _NAME.finditer(index)}
    if wanted is None:
        return sorted(listed), []
    numbers = set(listed.values())
    chosen = sorted(name for name, number in listed.items() if any(number in asked for asked in wanted))
    return chosen, [gap for asked in wanted for gap in _gaps(asked, numbers)]


def download(
    part: Part, output: Path, wanted: Sequence[range] | None = None, *, url: str = NLM, web: Web | None = None, progress: Progress = silent
) -> Download:
    """Fetch the wanted files of `url`/`part` into `output`, one after the other; one that fails is listed and does not hold up the others.

    Raises:
        ConfigError: `url` is no http or https address.
        DataError: the folder's index cannot be read, or lists no PubMed file.
    """
    web = web or Web()
    folder = _folder(url, part)
    names, failed = _listed(folder, wanted, web)
    fetched: list[str] = []
    present: list[str] = []
    size = 0
    output.mkdir(parents=True, exist_ok=True)
    with progress("Downloading", total=len(names), unit="files") as advance:
        for name in names:
            try:
                new = 0 if _is_whole(output / name) else _fetch(folder + name, output / name, web)
            except DataError as error:
                failed.append(Failure(name, str(error)))
            else:
                (fetched if new else present).append(name)
                size += new
            advance(1)
    return Download(fetched, present, failed, size)


def plan(
    part: Part,
    output: Path,
    wanted: Sequence[range] | None = None,
    *,
    url: str = NLM,
    bytes_per_second: float | None = None,
    web: Web | None = None,
    progress: Progress = silent,
) -> Plan:
    """What `download` would do, asking only for sizes and, where no rate is given, for the beginning of one file.

    Raises:
        ConfigError: as `download`.
        DataError: as `download`, or the beginning of the file cannot be had.
    """
    web = web or Web()
    folder = _folder(url, part)
    names, failed = _listed(folder, wanted, web)
    present = [name for name in names if _is_whole(output / name)]
    to_fetch = [name for name in names if name not in set(present)]
    sizes: dict[str, int | None] = {}
    with progress("Asking for sizes", total=len(to_fetch), unit="files") as advance:
        for name in to_fetch:
            try:
                sizes[name] = web.size(folder + name)
            except DataError as error:
                failed.append(Failure(name, str(error)))
            advance(1)
    rate = bytes_per_second or (web.rate(folder + next(iter(sizes))) if sizes else 0.0)
    return Plan(to_fetch, present, failed, sum(size or 0 for size in sizes.values()), list(sizes.values()).count(None), rate)


def _folder(url: str, part: Part) -> str:
    return f"{checked(url).rstrip('/')}/{part}/"


def _listed(folder: str, wanted: Sequence[range] | None, web: Web) -> tuple[list[str], list[Failure]]:
    names, absent = choose(web.page(folder).decode("utf-8", "replace"), wanted)
    if not names:
        raise DataError(f"lists none of the wanted files ({folder}). Check --files, and that the address holds baseline/ and updatefiles/.")
    return names, [Failure(gap, f"no file of this number is listed ({folder}). Check --files.") for gap in absent]


def _gaps(asked: range, numbers: set[int]) -> Iterator[str]:
    start = asked.start
    for number in (*sorted(number for number in numbers if number in asked), asked.stop):
        if start < number:
            yield str(start) if start == number - 1 else f"{start}-{number - 1}"
        start = number + 1


def _fetch(url: str, path: Path, web: Web) -> int:
    """Bring a file and its marker into being; a wrong MD5 is given a second chance, from the first byte on. Returns its bytes."""
    for _ in range(2):
        md5 = _published_md5(url, web)
        part = path.with_name(f"{path.name}.{md5}.part")
        for other in set(path.parent.glob(f"{path.name}.*.part")) - {part}:
            other.unlink()
        if path.exists() and _md5(path) == md5:
            _mark(path, md5)
            return 0
        web.fetch(url, part)
        if _md5(part) == md5:
            atomic.write_file(path, partial(os.replace, part))
            _mark(path, md5)
            return path.stat().st_size
        part.unlink()
    raise DataError(f"its MD5 is not the published one, twice ({url}). Try again later, or another --url.")


def _published_md5(url: str, web: Web) -> str:
    found = _MD5.search(web.page(f"{url}.md5"))
    if found is None:
        raise DataError(f"no MD5 in it ({url}.md5). Try again later, or another --url.")
    return found[0].decode().lower()


def _is_whole(path: Path) -> bool:
    """Whether the file is there, finished and unharmed."""
    marker = _marker(path)
    if not path.is_file() or not marker.is_file():
        return False
    found = _MD5.search(marker.read_bytes())
    return found is not None and _md5(path) == found[0].decode().lower()


def _mark(path: Path, md5: str) -> None:
    atomic.write_text(_marker(path), f"MD5({path.name})= {md5}\n")


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.md5")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
