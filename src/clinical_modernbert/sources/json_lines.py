"""In: JSON Lines, plain or gzip. Out: one object a line, or why a line is none. Next: `files`, `articles`."""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from clinical_modernbert.sources.document import Json, Rejection
from clinical_modernbert.sources.opening import Location, numbered_lines

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def numbered_objects(path: Location) -> Iterator[tuple[int, dict[str, Json]] | Rejection]:
    """Each object with its line number; a line that is no JSON object is a `Rejection`, an empty line is nothing.

    Raises:
        DataError: the file is damaged. What came before stays valid.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        except UnicodeDecodeError:
            yield Rejection(str(path), f"line {number}", "not UTF-8")
        except (ValueError, RecursionError):
            yield Rejection(str(path), f"line {number}", "not valid JSON")
        else:
            if not isinstance(value, dict):
                yield Rejection(str(path), f"line {number}", "not a JSON object")
            elif _SURROGATE.search(line) and not _encodable(value):
                yield Rejection(str(path), f"line {number}", "half of a surrogate pair")
            else:
                yield number, value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _encodable(value: Json) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
