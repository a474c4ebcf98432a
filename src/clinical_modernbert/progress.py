"""In: long work in any room. Out: the signature by which it reports how far it is. Next: `cli/progress.py` draws it.

Rooms take `progress: Progress = silent` as an argument and never import the command line.

    with progress("Reading", total=len(files), unit="files") as advance:
        for file in files:
            ...
            advance(1)
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Opens one line of progress; the value it yields is called with how many more units are done."""

    def __call__(
        self, description: str, total: int | None = None, unit: str = "", before: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Begin `description`; `total` is None where it is not known beforehand; `before` units were done by an earlier run."""


@contextmanager
def silent(description: str, total: int | None = None, unit: str = "", before: int = 0) -> Iterator[Callable[[int], None]]:
    """Progress that nobody watches."""
    yield lambda done: None


def titled(progress: Progress, name: str) -> Progress:
    """The same progress, whose lines say whose work it is as well."""
    return lambda description, total=None, unit="", before=0: progress(f"{description} ({name})", total, unit, before)
