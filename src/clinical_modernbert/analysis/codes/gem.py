"""In: a file of CMS's General Equivalence Mappings. Out: ICD-10-CM codes of each ICD-9-CM code. Next: `alignment`."""

import re
from collections.abc import Mapping
from pathlib import Path

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.opening import numbered_lines

_LINE = re.compile(r"([0-9EV][0-9]{2,4})\s+(\S{3,7})\s+([01])([01])([01])([0-9])([0-9])\s*")


def read_gem(path: Path) -> Mapping[str, tuple[str, ...]]:
    """ICD-9-CM code -> its ICD-10-CM codes, with their dots, from a file such as `2018_I9gem.txt`.

    A line is `0010  A000  00000`: source, target, and the flags approximate, no map, combination, scenario and choice list. Lines
    without a map, and targets that only mean the source in combination with another code, are left out.

    Raises:
        DataError: a line of another form, or no line.
    """
    found: dict[str, list[str]] = {}
    number = 0
    for number, raw in numbered_lines(path):
        line = _LINE.fullmatch(raw.decode("latin-1").rstrip("\r\n"))
        if not line:
            raise DataError(f"no mapping `icd9 icd10 flags` ({path}, line {number}). Give CMS's file of ICD-9-CM to ICD-10-CM.")
        source, target, _, no_map, combination, *_ = line.groups()
        if "1" not in (no_map, combination):
            found.setdefault(icd.diagnosis(source, 9), []).append(icd.diagnosis(target, 10))
    if not number:
        raise DataError(f"an empty file ({path}). Give CMS's file of ICD-9-CM to ICD-10-CM.")
    return {source: tuple(targets) for source, targets in found.items()}
