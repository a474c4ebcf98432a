"""In: CSV, TSV, Parquet. Out: rows as mappings, in bounded memory, or why a row is none. Next: sources made of tables."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.opening import MAX_LINE_BYTES, Bounded, Location, TooLongError, local_file, open_bytes

if TYPE_CHECKING:
    import polars as pl

MAX_ROW_BYTES = 32 * 2**20
"""The longest row of a CSV that is read; the library `csv` takes four bytes of memory for each of it."""
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")

Row: TypeAlias = dict[str, object]

_BATCH_ROWS = 1000
_SLICE_ROWS = 50_000
_QUOTED = re.compile('"[^"]*"')
_SEPARATORS = ",;\t|"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_NAME = re.compile(r"([^\W\d][\w .:/()#-]{0,39})?")
_SHOWN_NAMES = 12


def column_names(path: Location) -> list[str]:
    """Names of the columns, in order; cheap.

    Raises:
        DataError: the file holds no table, or two columns of one name.
    """
    if path.suffix == ".parquet":
        return list(_schema(path))
    with open_bytes(path) as stream:
        return _header(_records(stream, path), path)


def require(path: Location, columns: Sequence[str], what_to_give: str, text: Sequence[str] = ()) -> list[str]:
    """Names of the columns, among which are all of `columns`; those of `text` hold nothing but text.

    Raises:
        DataError: a column is missing or of another type, or as `column_names`.
    """
    found = column_names(path)
    _demand(columns, found, path, what_to_give)
    if text and path.suffix == ".parquet":
        schema = _schema(path)
        for column in text:
            if schema[column].to_python() not in (str, type(None)):
                raise DataError(f"column {column!r} holds {schema[column].base_type()}, not text ({path}). {what_to_give}")
    return found


def shown(names: Collection[str]) -> str:
    """Names of columns for a message; none where one looks like a value, as in a table without a header, whose first row is a record."""
    if not all(_NAME.fullmatch(name) for name in names):
        return f"found {len(names)} columns, whose names look like values"
    return f"found {', '.join(islice(names, _SHOWN_NAMES))}"


def numbered_rows(path: Location, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Row] | Rejection]:
    """Each row with its number from 1 and its values by column, all of them or those of `columns`.

    Every value of a CSV is text, or None where it is empty. A row of a CSV that has another number of fields, is not UTF-8 or holds a NUL
    is a `Rejection`; an empty line is nothing.

    Raises:
        DataError: the file is damaged, or nobody can tell where a row ends: a quote that nothing closes, a row of more than
            `MAX_ROW_BYTES`. What came before stays valid.
    """
    return _parquet_rows(path, columns) if path.suffix == ".parquet" else _csv_rows(path, columns)


def named_rows(path: Location, needed: Sequence[str], wanted: Sequence[str], what_to_give: str) -> Iterator[tuple[int, Row] | Rejection]:
    """As `numbered_rows`, by names in small letters whatever the file's: the columns of `needed`, and those of `wanted` that there are.

    Raises:
        DataError: as `numbered_rows`, or a column of `needed` is missing.
    """
    spelled = {name.lower(): name for name in column_names(path)}
    _demand(needed, spelled, path, what_to_give)
    names = {spelled[name]: name for name in (*needed, *wanted) if name in spelled}
    for item in numbered_rows(path, list(names)):
        if isinstance(item, Rejection):
            yield item
        else:
            number, row = item
            yield number, {names[column]: value for column, value in row.items()}


def _demand(columns: Iterable[str], found: Collection[str], path: Location, what_to_give: str) -> None:
    for column in columns:
        if column not in found:
            raise DataError(f"no {column!r} column ({shown(found)}) ({path}). {what_to_give}")


def _csv_rows(path: Location, columns: Sequence[str] | None) -> Iterator[tuple[int, Row] | Rejection]:
    with open_bytes(path) as stream:
        records = _records(stream, path)
        header = _header(records, path)
        wanted = [(name, header.index(name)) for name in columns or header]
        for number, fields in enumerate(records, start=1):
            fault = "another number of fields than the header has" if len(fields) != len(header) else _fault(fields)
            if fault:
                yield Rejection(str(path), f"row {number}", fault)
            else:
                yield number, {name: fields[position] or None for name, position in wanted}


def _records(stream: BinaryIO, path: Location) -> Iterator[list[str]]:
    """The header, then the rows; bytes that are not UTF-8 become lone surrogates. The header says what separates fields."""
    csv.field_size_limit(max(MAX_ROW_BYTES, csv.field_size_limit()))  # of the whole process, therefore only ever raised
    bounded = Bounded(stream, MAX_ROW_BYTES)
    text = io.TextIOWrapper(cast(BinaryIO, bounded), encoding="utf-8-sig", errors="surrogateescape", newline="")
    number = 0
    try:
        first = text.readline()
        for fields in csv.reader(chain([first], text), delimiter=_separator(first), strict=True):
            bounded.taken = 0
            if fields:
                yield fields
                number += 1
    except TooLongError:
        raise DataError(f"row {number} has more than {MAX_ROW_BYTES:,} bytes, or an open quote ({path}). Export it again.") from None
    except csv.Error:
        raise DataError(f"an open quote, or one not doubled inside of quotes, in row {number} ({path}). Export the table again.") from None


def _separator(header: str) -> str:
    """What the header has most of outside of quotes: a comma, or what spreadsheets and databases write instead."""
    return max(_SEPARATORS, key=_QUOTED.sub("", header).count)


def _header(records: Iterator[list[str]], path: Location) -> list[str]:
    names = next(records, [])
    if not names:
        raise DataError(f"an empty file ({path}). Give a table with a header.")
    fault = _fault(names)
    if fault:
        raise DataError(f"{fault} in the header ({path}). Convert the file to UTF-8.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"the header repeats a name ({shown(repeated)}) ({path}). Rename the column.")
    return names


def _fault(fields: Sequence[str]) -> str | None:
    for field in fields:
        if "\0" in field:
            return "NUL character in the text"
        if not field.isascii() and _NOT_UTF8.search(field):
            return "not UTF-8"
    return None


def _parquet_rows(path: Location, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
    import polars as pl

    number = 0
    with local_file(path) as file:
        try:
            scan = pl.scan_parquet(file, glob=False)
            for batch in sliced(scan.select(columns) if columns else scan):
                for row in batch.iter_rows(named=True):
                    number += 1
                    yield number, row
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise _damaged(path, after=number) from None


def sliced(scan: "pl.LazyFrame", *conditions: "pl.Expr") -> "Iterator[pl.DataFrame]":
    """The rows of a scan for which all conditions hold, in their order, in frames of bounded size.

    The library reads far ahead, whole row groups of a million rows; therefore it is only ever asked for some rows.
    """
    import polars as pl

    for start in range(0, scan.select(pl.len()).collect().item(), _SLICE_ROWS):
        some = scan.slice(start, _SLICE_ROWS)
        yield from (some.filter(*conditions) if conditions else some).collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True)


def _schema(path: Location) -> "dict[str, pl.DataType]":
    """Column -> its type, read from the end of the file alone, so that a remote one is not fetched for it."""
    import polars as pl

    with open_bytes(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(size - 8, 0))
        length = int.from_bytes(stream.read(4), "little")
        if length > min(size - 8, MAX_LINE_BYTES):
            raise _damaged(path)
        stream.seek(size - 8 - length)
        footer = stream.read()
    try:
        return pl.read_parquet_schema(io.BytesIO(b"PAR1" + footer))
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise _damaged(path) from None


def _damaged(path: Location, after: int = 0) -> DataError:
    """The library's own message is left out: it may quote the row."""
    where = f"{path}, after row {after}" if after else str(path)
    return DataError(f"a damaged or cut-off Parquet file, or none ({where}). Fetch or export it again.")
