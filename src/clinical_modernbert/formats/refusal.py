"""In: a part of a file that cannot be read, or of a document that cannot be written. Out: an error, or an entry in a list.

Next: every module of this room. Readers and writers take `on_refusal: OnRefusal = stop`; `on_refusal=refusals.append` goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeAlias

from clinical_modernbert.errors import DataError
from clinical_modernbert.formats.document import AnnotatedDocument, Annotation


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part that was left out; `where` names a line, document or annotation, never text."""

    path: str
    where: str
    reason: str


OnRefusal: TypeAlias = Callable[[Refusal], object]
"""Takes each refusal; what it returns is not looked at."""


def stop(refusal: Refusal) -> NoReturn:
    """Refuse the whole work at the first part that cannot be read or written.

    Raises:
        DataError: always.
    """
    raise DataError(f"{refusal.reason} ({refusal.path}, {refusal.where}). Correct it, or pass on_refusal to list such parts and go on.")


class Refused(Exception):  # noqa: N818 - it never reaches a user
    """Inside this room: what is being read or written has to be left out."""

    def __init__(self, reason: str, where: str = "the whole file") -> None:
        super().__init__(reason)
        self.reason = reason
        self.where = where

    def at(self, path: object) -> Refusal:
        """The refusal for users to see."""
        return Refusal(str(path), self.where, self.reason)


def part_of(folder: object, document: AnnotatedDocument, item: Annotation | None = None) -> Callable[[str], Refusal]:
    """From a reason to the refusal of one annotation of a document that is being written, or of all of it."""
    part = f", {type(item).__name__.lower()} {item.id!a}" if item else ""
    return partial(Refusal, str(folder), f"document {document.id!a}{part}")
