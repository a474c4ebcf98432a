"""In: MIMIC's table of diagnoses. Out: the concepts of each admission. Next: `mimic_notes`, `mimic3_notes`."""

from collections.abc import Iterator

from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.opening import Location
from clinical_modernbert.sources.tables import column_names, named_rows
from clinical_modernbert.sources.visits import Diagnosis, VisitCodes, identifier


def codes_of_admissions(path: Location) -> VisitCodes:
    """The concepts of each `hadm_id` in order of `seq_num`, from `diagnoses_icd` of MIMIC-IV or `DIAGNOSES_ICD` of MIMIC-III.

    Raises:
        DataError: the file is missing, damaged or another table.
    """
    return VisitCodes(_diagnoses(path), what=str(path))


def ordinal(value: object) -> int:
    """The number in a cell that orders a table's rows, 0 where there is none."""
    digits = identifier(value)
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def _diagnoses(path: Location) -> Iterator[Diagnosis | Rejection]:
    old = any(name.lower() == "icd9_code" for name in column_names(path))
    columns = ("hadm_id", "seq_num", *(("icd9_code",) if old else ("icd_code", "icd_version")))
    for item in named_rows(path, columns, (), "Give MIMIC's diagnoses_icd table."):
        if isinstance(item, Rejection):
            yield item
            continue
        number, row = item
        admission, rank, code, version = (*row.values(), "9")[:4]
        if version in ("9", "10"):
            yield Diagnosis(identifier(admission), str(code or ""), 10 if version == "10" else 9, ordinal(rank))
        else:
            yield Rejection(str(path), f"row {number}", "icd_version is neither 9 nor 10")
