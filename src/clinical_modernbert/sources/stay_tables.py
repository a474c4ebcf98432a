"""In: tables that name a patient and a stay in every row. Out: one stay after another with its rows. Next: `pseudo_notes`."""

import json
import logging
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.opening import Location
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import identifier

logger = logging.getLogger(__name__)

SUBJECT = "subject_id"
_PARTS = 128


@dataclass(frozen=True, slots=True)
class Table:
    """A file, its column of stays (`SUBJECT` where a row is a patient's), and the columns to read; the first two order a stay's rows."""

    name: str
    file: Location
    key: str
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Stay:
    """A stay, its patient, and its rows by table, without their missing values."""

    id: str
    subject: str
    rows: dict[str, list[dict[str, str]]]


def read_stays(tables: Sequence[Table], what_to_give: str) -> Iterator[Stay | Rejection]:
    """Every stay of the first table with its rows of all of them; further rows of no stay are counted in the log.

    Each table is read once and dealt into 128 parts by patient, in temporary files that no name leads to and that take about the room of
    the unpacked columns. One part at a time is in memory.

    Raises:
        DataError: a table is damaged or lacks the column of the patient or of the stay.
    """
    strays: Counter[str] = Counter()
    with ExitStack() as stack:
        parts: list[BinaryIO] = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_PARTS)]
        for table in tables:
            yield from _deal(table, parts, what_to_give, None if table is tables[0] else strays)
        for part in parts:
            yield from _stays(part, tables, strays)
    if strays:
        counts = ", ".join(f"{n:,} of {name}" for name, n in strays.items())
        logger.warning("%s: rows of no stay are left out: %s", tables[0].file, counts)


def cell(value: object) -> str:
    """A value as text, empty where it is missing; three underscores are what MIMIC puts for what it took out."""
    text = "" if value is None else str(value).strip()
    return "" if text in ("___", "nan") else text


def _deal(table: Table, parts: Sequence[BinaryIO], what_to_give: str, strays: Counter[str] | None) -> Iterator[Rejection]:
    """Write each row into the part of its patient; one of no stay is counted in `strays`, or rejected where there are none to be."""
    for item in named_rows(table.file, list(dict.fromkeys((SUBJECT, table.key))), table.columns, what_to_give):
        if isinstance(item, Rejection):
            yield Rejection(item.path, f"{table.name} {item.where}", item.reason)
            continue
        number, row = item
        subject, stay = identifier(row[SUBJECT]), identifier(row[table.key])
        if subject and stay:
            cells = [subject, *(cell(row.get(column)) for column in table.columns)]
            part = parts[zlib.crc32(subject.encode()) % len(parts)]
            part.write(json.dumps([table.name, stay, cells]).encode() + b"\n")
        elif strays is None:
            yield Rejection(str(table.file), f"{table.name} row {number}", f"no {SUBJECT} or {table.key}")
        else:
            strays[table.name] += 1


def _stays(part: BinaryIO, tables: Sequence[Table], strays: Counter[str]) -> Iterator[Stay | Rejection]:
    rows: defaultdict[tuple[str, str], list[list[str]]] = defaultdict(list)
    part.seek(0)
    for line in part:
        name, stay, cells = json.loads(line)
        rows[name, stay].append(cells)
    first = tables[0]
    for key in [key for key in rows if key[0] == first.name]:
        _, stay = key
        own, *again = rows.pop(key)
        for _ in again:
            yield Rejection(str(first.file), f"{first.key} {stay}", "this stay is in the table before")
        found = {first.name: [_named(first, own)]}
        for table in tables[1:]:
            of_patient = table.key == SUBJECT
            taken = rows.get((table.name, own[0]), []) if of_patient else rows.pop((table.name, stay), [])
            found[table.name] = [_named(table, cells) for cells in sorted(taken, key=_order)]
        yield Stay(stay, own[0], found)
    patients = {table.name for table in tables if table.key == SUBJECT}
    for (name, _), left in rows.items():
        if name not in patients:
            strays[name] += len(left)


def _order(cells: Sequence[str]) -> list[tuple[int, str]]:
    """Whole numbers, and times of one precision, are in order as text by length."""
    return [(len(text), text) for text in cells[1:3]]


def _named(table: Table, cells: Sequence[str]) -> dict[str, str]:
    return {column: text for column, text in zip(table.columns, cells[1:], strict=True) if text}
