"""Which chapters of ICD-10-CM hold what a chapter of ICD-9-CM holds, by their titles."""

from collections.abc import Mapping
from types import MappingProxyType

from clinical_modernbert.sources.codes.chapters import chapter

_FIRST_CODES = (
    ("001", ("A00",)),
    ("140", ("C00",)),
    ("240", ("E00", "D50")),  # its immunity disorders went to the chapter of the blood
    ("280", ("D50",)),
    ("290", ("F01",)),
    ("320", ("G00", "H00", "H60")),  # sense organs have chapters of their own
    ("390", ("I00",)),
    ("460", ("J00",)),
    ("520", ("K00",)),
    ("580", ("N00",)),
    ("630", ("O00",)),
    ("680", ("L00",)),
    ("710", ("M00",)),
    ("740", ("Q00",)),
    ("760", ("P00",)),
    ("780", ("R00",)),
    ("800", ("S00",)),
    ("E000", ("V00",)),
    ("V01", ("Z00",)),
)
CHAPTERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {chapter("ICD-9-CM", nine): tuple(chapter("ICD-10-CM", ten) for ten in tens) for nine, tens in _FIRST_CODES}
)
"""Title of a chapter of ICD-9-CM's diagnoses -> titles of the chapters of ICD-10-CM that correspond to it."""
