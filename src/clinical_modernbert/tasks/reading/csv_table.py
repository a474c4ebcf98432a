"""In: a table whose first line names its columns, fields quoted where need be. Out: its rows by column. Next: `loaders`."""

import csv
from collections.abc import Iterator, Sequence

from clinical_modernbert.tasks.reading.data_folder import DataFolder


def csv_table(folder: DataFolder, *names: str, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of the file that `folder.find(*names)` finds, each with the number of its last line.

    Raises:
        DataError: as `DataFolder.lines`, a column of `columns` is not there, or a row has more or fewer fields than there are columns.
    """
    path = folder.find(*names)
    reader = csv.DictReader((f"{line}\n" for _, line in folder.lines(*names)), delimiter=delimiter, strict=True)
    try:
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise folder.damaged(path, f"no column {', '.join(absent)}", "line 1")
        for row in reader:
            if None in row or None in row.values():
                raise folder.damaged(path, "not as many fields as columns", f"line {reader.line_num}")
            yield reader.line_num, row
    except csv.Error:
        raise folder.damaged(path, "quotes that do not close, or too long a field", f"line {reader.line_num}") from None
