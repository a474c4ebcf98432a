"""In: records of files of any size, and what to do with some texts. Out: one file or folder, in their order. Next: `cli`.

The work is cut into parts, each written whole beside the output, so that memory stays bounded and an interrupted run goes on.
"""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources.document import Document, Record, Rejection

_LOG = logging.getLogger(__name__)
FORMAT_VERSION = 1
MAX_TEXTS, MAX_CHARACTERS = 512, 2**22
"""Of a part."""

Work = Callable[[Sequence[Document], Path], Mapping[str, int]]
"""Writes what comes of some texts to a path that is not there yet; returns counts, such as how many spans were found."""
Join = Callable[[Sequence[Path], Path], None]
"""Makes one output of the parts."""


@dataclass
class Part:
    """Some texts, and the records among them that could not be read."""

    documents: list[Document] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)


def parts(records: Iterable[Record], limit: int | None = None) -> Iterator[Part]:
    """The records, cut after `MAX_TEXTS` texts or `MAX_CHARACTERS` characters."""
    part, size = Part(), 0
    for record in islice(records, limit):
        if isinstance(record, Document):
            part.documents.append(record)
            size += len(record.text)
        elif isinstance(record, Rejection):
            part.refused.append(record)
        if len(part.documents) == MAX_TEXTS or size >= MAX_CHARACTERS:
            yield part
            part, size = Part(), 0
    if part.documents or part.refused:
        yield part


def run(
    records: Iterable[Record],
    work: Work,
    join: Join,
    output: Path,
    key: Mapping[str, object],
    *,
    limit: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Counter[str]:
    """Do `work` for all texts and write `output`; counts of `texts`, `refused` and what `work` counts.

    `key` says what the output depends on: with `resume` a run goes on behind the last part of an earlier one of the same key.

    Raises:
        ConfigError: the output is there, or the earlier run was given something else.
        DataError: no text could be read.
    """
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} exists. Choose another --output, or pass --overwrite.")
    folder = _opened(output, key, resume)
    total: Counter[str] = Counter(texts=0, refused=0)
    made = []
    with progress("Reading and encoding", unit="texts") as advance:
        for number, part in enumerate(parts(records, limit)):
            for refused in part.refused:
                _LOG.warning("refused: %s (%s, %s)", refused.reason, refused.path, refused.where)
            done, path = folder / f"{number:06}.json", folder / f"{number:06}"
            if not done.exists():
                _remove(path)
                counts = dict(work(part.documents, path)) if part.documents else {}
                atomic.write_json(done, counts | {"texts": len(part.documents), "refused": len(part.refused)})
            total.update(json.loads(done.read_text(encoding="utf-8")))
            made += [path] if part.documents else []
            advance(len(part.documents))
    if not made:
        shutil.rmtree(folder)
        raise DataError(f"no text could be read ({total['refused']:,} records refused). Set --text-column, or correct the file.")
    join(made, folder / "joined")
    _remove(output)
    os.replace(folder / "joined", output)
    shutil.rmtree(folder)
    return total


def joined_bytes(made: Sequence[Path], output: Path) -> None:
    """Files of lines, one after the other."""
    with output.open("wb") as whole:
        for path in made:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole)


def joined_parquet(made: Sequence[Path], output: Path) -> None:
    """Tables of the same columns, one after the other."""
    pl.scan_parquet([*made], glob=False).sink_parquet(output)


def joined_folders(made: Sequence[Path], output: Path) -> None:
    """The files of all folders in one folder.

    Raises:
        DataError: two have a file of the same name, and so two texts the same id.
    """
    output.mkdir()
    for folder in made:
        for path in sorted(folder.iterdir()):
            if (output / path.name).exists():
                raise DataError(f"two texts have the id {path.stem!a}. Give each one of its own (--id-column).")
            os.replace(path, output / path.name)


def joined_files(made: Sequence[Path], output: Path) -> None:
    """One folder with one file, that of every folder one after the other."""
    output.mkdir()
    (name,) = (path.name for path in made[0].iterdir())
    joined_bytes([folder / name for folder in made], output / name)


def begun(output: Path) -> Mapping[str, object]:
    """The key of an interrupted run that was to write `output`; empty if there is none."""
    try:
        known: Mapping[str, object] = json.loads((_parts_of(output) / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _parts_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def _opened(output: Path, key: Mapping[str, object], resume: bool) -> Path:
    """Where the parts go; empty, or with those of an interrupted run."""
    folder = _parts_of(output)
    job = {"format_version": FORMAT_VERSION, **key}
    known = begun(output) if resume else {}
    if known and known != json.loads(json.dumps(job)):
        raise ConfigError(f"the interrupted run ({folder}) had other files, weights or options. Leave out --resume to start anew.")
    if not known:
        _remove(folder)
        folder.mkdir(parents=True)
        atomic.write_json(folder / "job.json", job)
    return folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
