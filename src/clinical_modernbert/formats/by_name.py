"""In: a path or documents, and the name of a format. Out: documents or files. Next: `tasks`, people who import `formats`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Protocol

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.formats import brat, conll, i2b2_2006, i2b2_2010, i2b2_xml, pubtator
from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.formats.refusal import OnRefusal, Refused, part_of, stop
from clinical_modernbert.formats.tags import is_tag
from clinical_modernbert.formats.text_files import files_below, numbered_lines


class Format(Protocol):
    """What each module of a format offers."""

    def read(self, path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
        """The documents of a file, or of those below a folder, always in the same order."""

    def write(self, documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
        """Write sound documents."""


FORMATS: Mapping[str, Format] = {
    "brat": brat,
    "conll": conll,
    "i2b2-2006": i2b2_2006,
    "i2b2-2010": i2b2_2010,
    "i2b2-xml": i2b2_xml,
    "pubtator": pubtator,
}
"""Every format by its name; `i2b2-xml` is that of 2012 and 2014."""

_LINES_LOOKED_AT = 50


def open(path: Path | str, format: str | None = None, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The documents below `path`, always in the same order; without `format`, in the one that `detect` finds.

    What cannot be read stops the work, or goes to `on_refusal` and the rest is read.

    Raises:
        ConfigError: no format of this name.
        DataError: no such files, or the first part of one that cannot be read.
    """
    return _module(format or detect(path)).read(Path(path), on_refusal)


def write(documents: Iterable[AnnotatedDocument], folder: Path | str, format: str, on_refusal: OnRefusal = stop) -> None:
    """Write documents below `folder`: a file or some for each, or one file (`pubtator`, `conll`, `i2b2-2006`).

    A document that contradicts itself or repeats an id, and what the format cannot hold, stops the work, or goes to `on_refusal` and the
    rest is written. Tokens are written by `conll` alone, as they are a way to cut the text and no annotation of it.

    Raises:
        ConfigError: no format of this name.
        DataError: the first part of a document that cannot be written.
    """
    module, folder = _module(format), Path(folder)
    module.write(_sound(documents, folder, on_refusal), folder, on_refusal)


def detect(path: Path | str) -> str:
    """The name of the format of the files below `path`, by their endings and the first lines of some.

    Raises:
        DataError: none of the formats, or more than one; the message lists what was found.
    """
    path = Path(path)
    files = files_below(path)
    if files == [path]:
        files += [other for suffix in (brat.JOINED, i2b2_2010.CONCEPTS) if (other := path.with_suffix(suffix)).is_file() and other != path]
    found: dict[str, Path] = {}
    for file in files:
        suffix = file.suffix.lower()
        name = "brat" if suffix in brat.SUFFIXES[1:-1] else "i2b2-2010" if suffix == i2b2_2010.CONCEPTS else None
        if name:
            found.setdefault(name, file)
    looked_at = (".xml", ".pubtator", *conll.SUFFIXES, *(() if found else (".txt",)))
    for file in files:
        if file.suffix.lower() in looked_at and (name := _looks_like(file)):
            found.setdefault(name, file)
    if len(found) == 1:
        return next(iter(found))
    if found:
        names = ", ".join(f"{name} in {file.name!a}" for name, file in sorted(found.items()))
        raise DataError(f"files of several formats ({path}: {names}). Give the path of one kind, or name the format.")
    kinds = ", ".join(f"{number} {suffix or 'without ending'}" for suffix, number in sorted(Counter(file.suffix for file in files).items()))
    raise DataError(f"no annotations of a format that is read here ({path}: {kinds or 'no files'}). Read are {', '.join(FORMATS)}.")


def _looks_like(file: Path) -> str | None:
    """The format that a file's first lines are of."""
    try:
        with closing(numbered_lines(file)) as numbered:
            lines = [line for _, line in islice(numbered, _LINES_LOOKED_AT) if line.strip()]
    except Refused:
        return None
    if file.suffix.lower() == ".xml":
        head = "\n".join(lines)
        return "i2b2-2006" if "<RECORD" in head else "i2b2-xml" if "<TEXT" in head else None
    if lines and pubtator.TITLE.fullmatch(lines[0]):
        return "pubtator"
    rows = [conll.columns(line) for line in lines if not conll.DOCUMENT.fullmatch(line)]
    return "conll" if rows and all(len(row) > 1 and is_tag(row[-1]) for row in rows) else None


def _module(format: str) -> Format:
    if format not in FORMATS:
        raise ConfigError(f"no annotation format {format!a}. Give one of {', '.join(FORMATS)}.")
    return FORMATS[format]


def _sound(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal) -> Iterator[AnnotatedDocument]:
    """The documents without faults, each id once."""
    seen: set[str] = set()
    for document in documents:
        fault = next(document.faults(), "a document of this id came before" if document.id in seen else None)
        if fault:
            on_refusal(part_of(folder, document)(fault))
        else:
            seen.add(document.id)
            yield document
