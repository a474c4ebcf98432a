"""In: the cards of this package. Out: tasks by name, and their data. Next: `evaluate`, `cli`."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.settings import parse
from clinical_modernbert.tasks.card import Card
from clinical_modernbert.tasks.examples import Retrieval, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder


@dataclass(frozen=True)
class TaskData:
    """A task's parts, and a checksum of the files that they were read from."""

    card: Card
    splits: Splits[Any]
    checksum: str

    @property
    def counts(self) -> dict[str, int]:
        """Examples, or questions, of each part."""
        return {part: _size(getattr(self.splits, part)) for part in ("train", "dev", "test")}


@cache
def cards() -> dict[str, Card]:
    """Every task's card by its name, in order."""
    found = (file for file in (files(__package__) / "cards").iterdir() if file.name.endswith(".yaml"))
    listed = (parse(Card, yaml.safe_load(file.read_text(encoding="utf-8")), where=file.name) for file in found)
    return {card.name: card for card in sorted(listed, key=lambda card: card.name)}


def card(name: str) -> Card:
    """The card of one task.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    known = cards()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "cmbert tasks list names them all."
        raise ConfigError(f"no task {name!a}. {hint}")
    return known[name]


def loader(card: Card) -> Callable[..., Splits[Any]]:
    """The function that reads a task's files from a `DataFolder`, or, without an argument, what an installed package holds."""
    module, _, function = card.loader.partition(".")
    found: Callable[..., Splits[Any]] = getattr(import_module(f"clinical_modernbert.tasks.loaders.{module}"), function)
    return found


def load(name: str, data: Path) -> TaskData:
    """The parts of a task, from its folder below `data`, or from an installed package.

    Raises:
        ConfigError: no such task.
        DataError: files are missing or damaged, or are not those of the distribution that the card describes.
    """
    known = card(name)
    if known.package:
        return TaskData(known, loader(known)(), f"{known.package} {version(known.package)}")
    folder = DataFolder(data / known.folder, known.get)
    for file, checksum in known.checksums.items():
        if folder.sha256(file) != checksum:
            raise folder.damaged(folder.find(file), "another or a damaged copy (its SHA-256 is not the card's)")
    found = TaskData(known, loader(known)(folder), folder.checksum)
    for part, expected in known.counts.items():
        if (count := found.counts[part]) != expected:
            raise DataError(f"{part} has {count:,} examples, not {expected:,}: another or a partial copy ({folder.path}). {known.get}")
    return found


def load_each(names: Iterable[str], data: Path) -> Iterator[TaskData]:
    """Each task when its turn comes, as it may be large; that all have a folder is seen to before.

    Raises:
        ConfigError, DataError: as `load`, and at once where there is no such task or folder.
    """
    known = [card(name) for name in names]
    absent = [one for one in known if not one.package and not (data / one.folder).exists()]
    if absent:
        folders = ", ".join(dict.fromkeys(one.folder for one in absent))
        get = absent[0].get if len(absent) == 1 else "cmbert tasks show TASK says how to get each."
        raise DataError(f"no folder {folders} for {', '.join(one.name for one in absent)} ({data}). {get}")
    return (load(one.name, data) for one in known)


def _size(part: Sequence[object] | Retrieval) -> int:
    return len(part.questions) if isinstance(part, Retrieval) else len(part)
