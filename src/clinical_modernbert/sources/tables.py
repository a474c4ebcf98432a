"""In: CSV (plain or gzip) and Parquet. Out: rows as mappings, in bounded memory. Next: `mimic_notes`, `files`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_modernbert.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_BATCH_ROWS = 1000
SUFFIXES = (".csv", ".csv.gz", ".parquet")


def column_names(path: Path) -> list[str]:
    """Names of the columns, in order; cheap.

    Raises:
        DataError: the file holds no table.
    """
    import polars as pl

    try:
        return _scan(path).collect_schema().names()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _damaged(path, error) from None


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Each row with its number from 1 and its values by column; every value of a CSV is text or None.

    Raises:
        DataError: the file is cut off, damaged, or not UTF-8. What came before stays valid.
    """
    import polars as pl

    number = 0
    try:
        for batch in _scan(path).collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
            for row in batch.iter_rows(named=True):
                number += 1
                yield number, row
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _damaged(path, error, after=number) from None


def _scan(path: Path) -> "pl.LazyFrame":
    import polars as pl

    return pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path, infer_schema=False)


def _damaged(path: Path, error: BaseException, after: int = 0) -> DataError:
    """The library's own message is left out but for its kind: it may quote the row."""
    where = f"{path}, after row {after}" if after else str(path)
    if "utf-8" in str(error).lower():
        return DataError(f"not UTF-8 ({where}). Convert the file to UTF-8.")
    if isinstance(error, OSError):
        return DataError(f"damaged, cut off or unreadable ({where}). Fetch or export the file again.")
    return DataError(f"not a valid {'Parquet' if path.suffix == '.parquet' else 'CSV'} table ({where}). Export the file again.")
