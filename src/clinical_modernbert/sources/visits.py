"""In: ids, times and diagnoses as exports of hospitals spell them. Out: one spelling of each; the concepts of a visit.

Next: `omop`, `fhir`, `meds`, `pseudo_notes`.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Literal, NamedTuple

from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.codes.entry import concept_id
from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.lookup import Lookup

logger = logging.getLogger(__name__)

IcdVersion = Literal[9, 10]
_CODES = {9: re.compile(r"(?:\d{3}|V\d{2}|E\d{3})(?:\.?\d{1,2})?"), 10: re.compile(r"[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?")}


def identifier(value: object) -> str:
    """An id as text, empty for none: 42, `42` and `42.0`, which tables with gaps make of it, are the same."""
    text = "" if value is None else str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].isdecimal() else "" if text.lower() == "nan" else text


def iso_time(value: object) -> str | None:
    """A moment, a day, a month or a year as ISO 8601 text; None for anything else."""
    if isinstance(value, date):
        return value.isoformat()
    text = str(value or "").strip()
    try:
        return (date if len(text) <= len("2019-05-31") else datetime).fromisoformat(text).isoformat()
    except ValueError:
        return text if re.fullmatch(r"\d{4}(-(0[1-9]|1[0-2]))?", text, re.ASCII) else None


def concept(code: str, version: IcdVersion) -> str | None:
    """`E119`, ` e11.9` -> `ICD-10-CM:E11.9`; None for what is no diagnosis code of this version."""
    code = code.strip().upper()
    return concept_id(f"ICD-{version}-CM", icd.diagnosis(code, version)) if _CODES[version].fullmatch(code) else None


class Diagnosis(NamedTuple):
    """An ICD code of a visit; `rank` is its place among the diagnoses of the visit, as far as the export knows it."""

    visit: str
    code: str
    version: IcdVersion
    rank: int = 0


class VisitCodes:
    """Concepts by visit, in memory, see `Lookup`.

    A diagnosis that cannot be read, has no visit or no code of its version is left out; the log counts them as those of `what`.
    """

    def __init__(self, diagnoses: Iterable[Diagnosis | Rejection], what: str) -> None:
        left_out = 0

        def entries() -> Iterator[tuple[str, int, str]]:
            nonlocal left_out
            for item in diagnoses:
                known = None if isinstance(item, Rejection) or not item.visit else concept(item.code, item.version)
                if isinstance(item, Rejection) or known is None:
                    left_out += 1
                else:
                    yield item.visit, item.rank, known

        self._concepts = Lookup(entries())
        if left_out:
            logger.warning("%s: %s diagnoses are left out: unreadable, of no visit, or without a code of ICD-CM", what, f"{left_out:,}")

    def of(self, *visits: str) -> list[str]:
        """The concepts of these visits, each once, by rank and then as they came."""
        return list(dict.fromkeys(known for visit in visits for known in self._concepts[visit]))
