"""In: what tables say of one stay, as rows of text. Out: a note that a person can read. Next: `pseudo_notes`.

A line of a section is a label, a colon, and phrases between bars; `{column}` is a value. A phrase that misses one of its values is left
out, and so are a line without phrases and a section without lines. Each row of the section's table gives its lines; neighbours with the
same label share one.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal

SectionName = Literal["arrival", "triage", "home_medicines", "vital_signs", "laboratory", "medicines", "diagnosis", "disposition"]
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a note: its name in settings, the table whose rows it tells, its title, its lines."""

    name: SectionName
    table: str
    title: str
    lines: tuple[str, ...]


_SIGNS = (
    "temperature {temperature} °F | heart rate {heartrate}/min | respiratory rate {resprate}/min | oxygen saturation {o2sat}% | "
    "blood pressure {sbp}/{dbp} mmHg"
)
_PATIENT = "Patient: {age} years old | {gender} | {race}"

EMERGENCY = (
    Section("arrival", "edstays", "Emergency department visit", (_PATIENT, "Arrival: {intime} | by {arrival_transport}")),
    Section(
        "triage",
        "triage",
        "Triage",
        (
            "Chief complaint: {chiefcomplaint}",
            "Acuity: {acuity} (1 is most urgent, 5 is least)",
            f"Vital signs: {_SIGNS} | pain {{pain}}",
        ),
    ),
    Section("home_medicines", "medrecon", "Medicines taken before arrival", ("{name} | {etcdescription}",)),
    Section("vital_signs", "vitalsign", "Vital signs", (f"{{charttime}}: {_SIGNS} | rhythm {{rhythm}} | pain {{pain}}",)),
    Section("medicines", "pyxis", "Medicines given", ("{charttime}: {name}",)),
    Section("diagnosis", "diagnosis", "Diagnoses", ("{icd_title} | ICD {icd_version} code {icd_code}",)),
    Section("disposition", "edstays", "Disposition", ("Left: {outtime} | {disposition}",)),
)
"""A visit as MIMIC-IV-ED has it."""

HOSPITAL = (
    Section(
        "arrival", "admissions", "Hospital admission", (_PATIENT, "Admission: {admittime} | {admission_type} | from {admission_location}")
    ),
    Section("laboratory", "labevents", "Laboratory results", ("{label}: {result} | {flag}",)),
    Section("medicines", "prescriptions", "Medicines prescribed", ("{starttime}: {drug} | {dose_val_rx} {dose_unit_rx} | {route}",)),
    Section("diagnosis", "diagnoses_icd", "Diagnoses", ("{icd_title} | ICD {icd_version} code {icd_code}",)),
    Section("disposition", "admissions", "Discharge", ("Left: {dischtime} | {discharge_location}",)),
)
"""An admission as the `hosp` tables of MIMIC-IV have it."""

_TIMES = frozenset(("intime", "outtime", "charttime", "admittime", "dischtime", "starttime"))
_MEASURES = frozenset(("temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "acuity"))
_IN_CAPITALS = frozenset(
    ("race", "arrival_transport", "disposition", "admission_type", "admission_location", "discharge_location", "rhythm")
)
_GENDERS = {"F": "female", "M": "male"}
_TRAILING_ZEROS = re.compile(r"(?<=\d)\.0+$|(?<=\.)(\d*?)0+$")


def readable(column: str, value: str) -> str:
    """A value as a note spells it: times without seconds, measures without trailing zeros, words not in capitals.

    Example:
        >>> readable("temperature", "98.6000"), readable("disposition", "LEFT WITHOUT BEING SEEN"), readable("gender", "F")
        ('98.6', 'left without being seen', 'female')
    """
    if column in _TIMES:
        return value[: len("2180-05-06 19:17")]
    if column in _MEASURES:
        return _TRAILING_ZEROS.sub(r"\1", value)
    if column in _IN_CAPITALS:
        return value.lower()
    return _GENDERS.get(value, value) if column == "gender" else value


def render(sections: Sequence[Section], rows: Mapping[str, Sequence[Row]], leave_out: Collection[SectionName]) -> str:
    """The note; `rows` by table, in order, each without its missing values."""
    blocks = []
    for section in sections:
        lines = [] if section.name in leave_out else list(_lines(section, rows.get(section.table, ())))
        if lines:
            blocks.append("\n".join((section.title, *lines)))
    return "\n\n".join(blocks)


def _lines(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    filled = [_fill(line, row) for row in rows for line in section.lines]
    for label, group in groupby(filter(itemgetter(1), filled), key=itemgetter(0)):
        texts = [text for _, text in group]
        if label:
            yield f"{label}: {'; '.join(texts)}"
        else:
            yield from texts


def _fill(line: str, row: Row) -> tuple[str, str]:
    label, _, phrases = line.rpartition(": ")
    return _phrase(label, row), ", ".join(text for phrase in phrases.split(" | ") if (text := _phrase(phrase, row)))


def _phrase(template: str, row: Row) -> str:
    try:
        return template.format_map(row)
    except KeyError:
        return ""
