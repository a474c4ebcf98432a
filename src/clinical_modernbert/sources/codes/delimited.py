"""In: code tables of MIMIC, CMS and anybody, as CSV, TSV or fixed width. Out: `Entry`s. Next: `Codes`."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.codes.chapters import SYSTEMS, chapter
from clinical_modernbert.sources.codes.entry import Entry
from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.opening import Location, numbered_lines, open_bytes

Entries = Iterator[Entry | Rejection]


def mimic_icd_diagnoses(path: Location) -> Entries:
    """MIMIC's `d_icd_diagnoses`: ICD-9-CM and ICD-10-CM in one table."""
    return _placed(path, _versioned(path, procedures=False))


def mimic_icd_procedures(path: Location) -> Entries:
    """MIMIC's `d_icd_procedures`: ICD-9-CM procedures (volume 3) and ICD-10-PCS in one table."""
    return _placed(path, _versioned(path, procedures=True))


def mimic_hcpcs(path: Location) -> Entries:
    """MIMIC's `d_hcpcs`; where the long description is empty the short one is the name."""
    rows = _columns(path, "code", "long_description", "short_description")
    return _placed(path, (_checked(path, number, _hcpcs(code, long or short, short)) for number, (code, long, short) in rows))


def disease_ontology(path: Location) -> Entries:
    """The Disease Ontology's table `id, label, subClassOf`, a row for each parent; a parent that is not listed itself has no code."""
    rows = list(_columns(path, "id", "label", "subClassOf"))
    codes = {label: code for _, (code, label, _) in rows}
    parents: dict[str, dict[str, str]] = {}
    for _, (code, _, parent) in rows:
        parents.setdefault(code, {}).update({codes[parent]: parent} if parent in codes else {})
    for number, (code, label, _) in rows:
        if code in parents:
            yield _checked(path, number, Entry("DOID", code, label, parents=tuple(parents.pop(code).items())))


def any_csv(path: Location, code_column: str, description_column: str, label: str) -> Entries:
    """Any table with a header, separated by tabs where its name says `.tsv`, else by commas; in memory only if `label` has chapters."""
    rows = _columns(path, code_column, description_column)
    entries = (_checked(path, number, Entry(label, code, description)) for number, (code, description) in rows)
    return _placed(path, entries) if label in SYSTEMS else entries


def cms_icd9(path: Location) -> Entries:
    """CMS's list of ICD-9-CM diagnoses, fixed width, latin-1."""
    rows = _code_titles(path, width=6)
    return _placed(path, (_checked(path, number, Entry("ICD-9-CM", icd.diagnosis(code, 9), title)) for number, code, title in rows))


def cms_icd10cm(path: Location) -> Entries:
    """CMS's list of ICD-10-CM codes, as CSV without a header or fixed width."""
    rows = _code_titles(path, width=8)
    return _placed(path, (_checked(path, number, Entry("ICD-10-CM", icd.diagnosis(code, 10), title)) for number, code, title in rows))


def cms_icd10pcs(path: Location) -> Entries:
    """CMS's list of ICD-10-PCS codes, as CSV without a header or fixed width, latin-1."""
    rows = _code_titles(path, width=8)
    return _placed(path, (_checked(path, number, Entry("ICD-10-PCS", code, title)) for number, code, title in rows))


def cms_hcpcs(path: Location) -> Entries:
    """CMS's HCPCS level II file, fixed width: codes (record 3), their further lines (4); modifiers (7, 8) are no codes."""
    return _placed(path, _hcpcs_lines(path))


def _hcpcs_lines(path: Location) -> Entries:
    code, short, lines, first = "", "", [""], 0
    for number, raw in numbered_lines(path):
        line = raw.decode("latin-1")
        if line[10:11] == "4" and line[:5] == code:
            lines.append(line[11:91].strip())
        elif line[10:11] == "3" and line[5:10].isdecimal():
            if code:
                yield _checked(path, first, _hcpcs(code, _sentence(lines), short))
            code, short, lines, first = line[:5], line[91:119].strip(), [line[11:91].strip()], number
    if code:
        yield _checked(path, first, _hcpcs(code, _sentence(lines), short))


def _sentence(lines: Sequence[str]) -> str:
    return " ".join(lines).replace("/ ", "/")


def _hcpcs(code: str, name: str, short: str) -> Entry:
    return Entry("HCPCS", code, name, synonyms=(short,) if short and short != name else ())


def _versioned(path: Location, procedures: bool) -> Entries:
    for number, (code, version, title) in _columns(path, "icd_code", "icd_version", "long_title"):
        if version not in ("9", "10"):
            yield Rejection(str(path), f"row {number}", "icd_version is neither 9 nor 10")
            continue
        system, dotted = f"ICD-{version}-CM", icd.diagnosis(code, int(version))
        if procedures:
            system, dotted = ("ICD-9-CM", icd.with_dot(code, 2)) if version == "9" else ("ICD-10-PCS", code)
        yield _checked(path, number, Entry(system, dotted, title, key=f"{version}-{code}"))


def _checked(path: Location, number: int, entry: Entry) -> Entry | Rejection:
    return entry if entry.code and entry.name else Rejection(str(path), f"row {number}", "no code or no description")


def _placed(path: Location, entries: Iterable[Entry | Rejection]) -> Entries:
    """The entries, each with its chapter and with the nearest code above it; parents may stand behind their children.

    Holds the table in memory. Where it is damaged, what came before is placed and passed on first.
    """
    found: list[Entry | Rejection] = []
    damage = None
    try:
        found.extend(entries)
    except DataError as error:
        damage = error
    names = {(entry.system, entry.code): entry.name for entry in found if isinstance(entry, Entry)}
    for entry in found:
        if isinstance(entry, Entry):
            system, code = entry.system, entry.code
            yield replace(entry, chapter=chapter(system, code), parents=icd.parents(system, code, names))
        else:
            yield entry
    if damage:
        raise damage


def _columns(path: Location, *names: str) -> Iterator[tuple[int, list[str]]]:
    """The named columns of each row, numbered from 1 after the header; a missing cell is empty."""
    rows = _csv(path, "utf-8-sig")
    header = next(rows, [])
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(f"{path}: no {missing[0]!r} column (found {', '.join(header[:12])}). Check the file and the settings.")
    positions = [header.index(name) for name in names]
    for number, row in enumerate(rows, start=1):
        yield number, [row[position].strip() if position < len(row) else "" for position in positions]


def _code_titles(path: Location, width: int) -> Iterator[tuple[int, str, str]]:
    """Code and title, from CSV without a header, or from lines whose first `width` characters hold the code."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        for number, row in enumerate(_csv(path, "latin-1"), start=1):
            yield number, row[0].strip() if row else "", row[1].strip() if len(row) > 1 else ""
    else:
        for number, raw in numbered_lines(path):
            line = raw.decode("latin-1")
            yield number, line[:width].strip(), line[width:].strip()


def _csv(path: Location, encoding: str) -> Iterator[list[str]]:
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
        try:
            yield from csv.reader(text, delimiter=delimiter)
        except csv.Error:
            raise DataError(f"not a valid CSV table ({path}). Export the file again.") from None
        except UnicodeDecodeError:
            raise DataError(f"not UTF-8 ({path}). Convert the file to UTF-8.") from None
