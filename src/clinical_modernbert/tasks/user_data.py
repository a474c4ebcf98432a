"""In: a user's files, annotated or as a table. Out: examples in three parts. Next: `finetune`."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clinical_modernbert import formats
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.settings import Settings
from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.json_lines import numbered_objects
from clinical_modernbert.sources.opening import list_files
from clinical_modernbert.sources.tables import numbered_rows, shown
from clinical_modernbert.tasks.card import Kind
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.splitting import own_parts, set_aside

Format = Literal["brat", "conll", "i2b2", "pubtator", "csv", "jsonl"]
_PARTS = {"train": ("train", "training"), "dev": ("dev", "devel", "development", "validation", "val"), "test": ("test", "testing")}
_ONE_FILE = ("csv", "jsonl", "conll", "pubtator")
"""Formats of many documents in a file."""
_LONGEST_LABEL = 100
_TABLES: Mapping[str, Sequence[str]] = {"csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"), "jsonl": (".jsonl", ".jsonl.gz")}


class Columns(Settings):
    """What the columns of a table are called."""

    text: str = "text"
    """The text, or the first one of a pair."""
    second: str = "second"
    """The second text of a pair."""
    label: str = "label"
    """The label; of several labels a list in JSON, and in CSV with `separator` between them; of a regression the number."""
    separator: str = Field(default=";", min_length=1)
    """Between the labels in a cell of a CSV."""
    id: str = "id"
    """The id, where there is such a column; else the row's number."""
    group: str = "patient"
    """Whose the text is, where there is such a column: rows of one patient come into one part."""


@dataclass(frozen=True)
class UserData:
    """A user's examples, and whether they came divided into parts."""

    splits: Splits[Any]
    came_divided: bool


def read(path: Path, kind: Kind, format: Format | None, columns: Columns) -> UserData:
    """The examples below `path`; its `train`, `dev` and `test` (folders, or files of these names) where there are, else 80, 10 and 10%.

    A missing `dev` is set aside from `train`. Without `format` annotated files are recognised, and tables by their endings.

    Raises:
        ConfigError: the format does not go with the kind.
        DataError: nothing can be read, or a row or an annotation is not what it should be.
    """
    if kind == "retrieval":
        raise ConfigError("there is no fine-tuning for retrieval on files of one's own. Give another --task.")
    name = format or _recognise(path, kind)
    if (name in _TABLES) is (kind == "ner"):
        wanted = "annotated files (brat, conll, i2b2, pubtator)" if kind == "ner" else "a table (csv, jsonl)"
        raise ConfigError(f"task {kind} is learnt from {wanted}, not from {name}. Give another --task or --format.")
    counted: Counter[str] = Counter()

    def examples(place: Path) -> list[Any]:
        found = _annotated(place, name, counted) if kind == "ner" else list(_rows(place, name, kind, columns))
        if not found:
            raise DataError(f"no examples ({place}). Check the path and the format.")
        return found

    places = {part: place for part, names in _PARTS.items() if (place := _place(path, names, name))}
    if places and not {"train", "test"} <= places.keys():
        raise DataError(f"there is {' and '.join(places)}, and not both train and test ({path}). Add what is missing, or give one folder.")
    if places:
        train = examples(places["train"])
        train, dev = (train, examples(places["dev"])) if "dev" in places else set_aside(train)
        parts, came_divided = (train, dev, examples(places["test"])), True
        others = (place for place in path.iterdir() if place not in places.values() and not place.name.startswith("."))
        counted["file or folder beside the parts, not read"] = sum(1 for _ in others)
    else:
        parts, came_divided = own_parts(examples(path)), False
    if not all(parts):
        sizes = ", ".join(f"{len(part)}" for part in parts)
        raise DataError(f"too few documents to hold some out ({sizes} in train, dev and test; {path}). Give more, or parts as folders.")
    counted.update(_known_already((*parts[0], *parts[1]), parts[2]))
    return UserData(Splits(*parts, counted), came_divided)


def _known_already(others: Sequence[Any], test: Sequence[Any]) -> dict[str, int]:
    """How many examples of the test part a model may have seen, by what they have in common with those of the `others`."""
    texts, groups = {_content(example) for example in others}, {example.group for example in others} - {""}
    return {
        "text of the test part that another part has, too": sum(_content(example) in texts for example in test),
        "text of the test part whose patient is in another part, too": sum(example.group in groups for example in test),
    }


def _content(example: TaggedText | LabelledText) -> tuple[str, str | None]:
    return example.text, example.second if isinstance(example, LabelledText) else None


def _place(path: Path, names: Sequence[str], format: str) -> Path | None:
    """The folder or file of one part below `path`; where a document has files of its own, the folder."""
    called = [place for place in path.iterdir() if place.name.partition(".")[0].lower() in names] if path.is_dir() else []
    found = [place for place in called if place.is_dir() or format in _ONE_FILE]
    if len(found) > 1:
        raise DataError(f"both {found[0].name} and {found[1].name} ({path}). Keep one of them.")
    return found[0] if found else None


def _recognise(path: Path, kind: Kind) -> str:
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    tables = {name for name, endings in _TABLES.items() if any(file.name.endswith(tuple(endings)) for file in files)}
    if len(tables) == 1 and (kind != "ner" or (path.is_file() and ".tsv" not in path.suffixes)):  # which may be of CoNLL's layout
        return tables.pop()
    if kind == "ner" or not path.exists():
        return formats.detect(path)
    raise DataError(f"{'both .csv and .jsonl' if tables else 'no .csv and no .jsonl'} ({path}). Give the path of one kind, or --format.")


def _annotated(place: Path, format: str, counted: Counter[str]) -> list[TaggedText]:
    refusals: list[formats.Refusal] = []
    name = formats.detect(place) if format == "i2b2" else format
    if not name.startswith(format):
        raise ConfigError(f"files of {name} and not of {format} ({place}). Give another --format, or none.")
    found = tagged(formats.open(place, name, refusals.append), counted)
    if refusals and not any(example.spans for example in found):
        first = refusals[0]
        raise DataError(f"no annotation can be read, the first as {first.reason} ({first.path}, {first.where}). Correct them.")
    counted.update(f"not read: {refusal.reason}" for refusal in refusals)
    return [replace(example, words=None) for example in found]  # the words that the tagger will cut new texts into


def _rows(place: Path, format: str, kind: Kind, columns: Columns) -> Iterator[LabelledText]:
    for name, where, row in table_rows(place, _TABLES[format]):
        yield _example(row, name, where, kind, columns)


def table_rows(place: Path, endings: Sequence[str] = (*_TABLES["csv"], *_TABLES["jsonl"])) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every row of the tables at a place: a name for it, where it stands, and its values by column.

    Raises:
        DataError: there is no table, or a row cannot be read.
    """
    for file in list_files(place, endings):
        for item in numbered_rows(file) if file.name.endswith(tuple(_TABLES["csv"])) else numbered_objects(file):
            if isinstance(item, Rejection):
                raise DataError(f"{item.reason} ({item.path}, {item.where}). Correct the file.")
            number, row = item
            yield f"{file.name}-{number}", f"{file}, row {number}", row


def _example(row: Mapping[str, Any], name: str, where: str, kind: Kind, columns: Columns) -> LabelledText:
    needed = (columns.text, *((columns.second,) if kind == "pairs" else ()), *(() if kind == "multilabel" else (columns.label,)))
    absent = [column for column in dict.fromkeys((*needed, columns.label)) if column not in row]
    if absent:
        raise DataError(f"no column {' and '.join(absent)} ({shown(row.keys())}; {where}). Set columns.text, columns.label and the like.")
    empty = [column for column in needed if not _cell(row, column).strip()]
    if empty:
        raise DataError(f"nothing in {' and '.join(empty)} ({where}). Correct the file.")
    for setting, usual in (("group", Columns().group), ("id", Columns().id)):
        if (column := getattr(columns, setting)) != usual and column not in row:
            raise DataError(f"no column {column} ({where}). Correct --set columns.{setting}.")
    label = row[columns.label]
    parts = label if kind == "multilabel" and isinstance(label, list) else [label]
    values = {**{column: [row[column]] for column in needed}, columns.label: parts}
    if nested := [column for column, some in values.items() if any(isinstance(one, (dict, list)) for one in some)]:
        raise DataError(f"several values in {' and '.join(nested)} ({where}). Give one, or another --task.")
    labels: tuple[str, ...] = (str(label).strip(),)
    value = None
    if kind == "regression":
        labels, value = (), _number(label, columns.label, where)
    elif kind == "multilabel":
        parts = parts if isinstance(label, list) else _cell(row, columns.label).split(columns.separator)
        labels = tuple(str(part).strip() for part in parts if part is not None and str(part).strip())
    if any(len(one) > _LONGEST_LABEL for one in labels):
        raise DataError(f"a label of more than {_LONGEST_LABEL} characters in {columns.label} ({where}). Is it the column of the labels?")
    second = str(row[columns.second]) if kind == "pairs" else None
    return LabelledText(_cell(row, columns.id) or name, str(row[columns.text]), labels, second, value, _cell(row, columns.group))


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value)


def _number(label: object, column: str, where: str) -> float:
    try:
        number = float(str(label))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"no number in {column} ({where}). Correct the file.")
    return number
