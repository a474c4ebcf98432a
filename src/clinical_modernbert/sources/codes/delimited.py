"""In: code tables of MIMIC, CMS and anybody, as CSV, TSV or fixed width. Out: `Entry`s. Next: `Codes`."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.codes.entry import Entry
from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.opening import numbered_lines, open_bytes

Entries = Iterator[Entry | Rejection]


def mimic_icd_diagnoses(path: Path) -> Entries:
    """MIMIC's `d_icd_diagnoses`: ICD-9-CM and ICD-10-CM in one table."""
    for number, (code, version, title) in _columns(path, "icd_code", "icd_version", "long_title"):
        if version not in ("9", "10"):
            yield Rejection(str(path), f"row {number}", "icd_version is neither 9 nor 10")
            continue
        yield _checked(path, number, _diagnosis(code, title, int(version), key=f"{version}-{code}"))


def mimic_icd_procedures(path: Path) -> Entries:
    """MIMIC's `d_icd_procedures`: ICD-9-CM procedures (volume 3) and ICD-10-PCS in one table."""
    for number, (code, version, title) in _columns(path, "icd_code", "icd_version", "long_title"):
        if version not in ("9", "10"):
            yield Rejection(str(path), f"row {number}", "icd_version is neither 9 nor 10")
            continue
        system, dotted = ("ICD-9-CM", icd.with_dot(code, 2)) if version == "9" else ("ICD-10-PCS", code)
        yield _checked(path, number, Entry(system, dotted, title, key=f"{version}-{code}"))


def mimic_hcpcs(path: Path) -> Entries:
    """MIMIC's `d_hcpcs`; where the long description is empty the short one is the name."""
    for number, (code, long, short) in _columns(path, "code", "long_description", "short_description"):
        yield _checked(path, number, Entry("HCPCS", code, long or short, synonyms=(short,) if long and short and short != long else ()))


def disease_ontology(path: Path) -> Entries:
    """The Disease Ontology's table `id, label, subClassOf`, a row for each parent; a parent that is not listed itself has no code."""
    rows = list(_columns(path, "id", "label", "subClassOf"))
    codes = {label: code for _, (code, label, _) in rows}
    parents: dict[str, dict[str, str]] = {}
    for _, (code, _, parent) in rows:
        parents.setdefault(code, {}).update({codes[parent]: parent} if parent in codes else {})
    for number, (code, label, _) in rows:
        if code in parents:
            yield _checked(path, number, Entry("DOID", code, label, parents=tuple(parents.pop(code).items())))


def any_csv(path: Path, code_column: str, description_column: str, label: str) -> Entries:
    """Any table with a header, separated by tabs where its name says `.tsv`, else by commas."""
    for number, (code, description) in _columns(path, code_column, description_column):
        yield _checked(path, number, Entry(label, code, description))


def cms_icd9(path: Path) -> Entries:
    """CMS's list of ICD-9-CM diagnoses, fixed width, latin-1."""
    for number, code, title in _code_titles(path, width=6):
        yield _checked(path, number, _diagnosis(code, title, 9))


def cms_icd10cm(path: Path) -> Entries:
    """CMS's list of ICD-10-CM codes, as CSV without a header or fixed width."""
    for number, code, title in _code_titles(path, width=8):
        yield _checked(path, number, _diagnosis(code, title, 10))


def cms_icd10pcs(path: Path) -> Entries:
    """CMS's list of ICD-10-PCS codes, as CSV without a header or fixed width, latin-1."""
    for number, code, title in _code_titles(path, width=8):
        yield _checked(path, number, Entry("ICD-10-PCS", code, title))


def cms_hcpcs(path: Path) -> Entries:
    """CMS's HCPCS level II file, fixed width: codes (record 3), their further lines (4); modifiers (7, 8) are no codes."""
    code, short, lines, first = "", "", [""], 0
    for number, raw in numbered_lines(path):
        line = raw.decode("latin-1")
        if line[10:11] == "4" and line[:5] == code:
            lines.append(line[11:91].strip())
        elif line[10:11] == "3" and line[5:10].isdecimal():
            if code:
                yield _checked(path, first, _hcpcs(code, lines, short))
            code, short, lines, first = line[:5], line[91:119].strip(), [line[11:91].strip()], number
    if code:
        yield _checked(path, first, _hcpcs(code, lines, short))


def _hcpcs(code: str, lines: Sequence[str], short: str) -> Entry:
    name = " ".join(lines).replace("/ ", "/")
    return Entry("HCPCS", code, name, synonyms=(short,) if short and short != name else ())


def _diagnosis(code: str, title: str, version: int, key: str = "") -> Entry:
    dotted = icd.diagnosis(code, version)
    return Entry(f"ICD-{version}-CM", dotted, title, key=key, chapter=icd.chapter(dotted, version))


def _checked(path: Path, number: int, entry: Entry) -> Entry | Rejection:
    return entry if entry.code and entry.name else Rejection(str(path), f"row {number}", "no code or no description")


def _columns(path: Path, *names: str) -> Iterator[tuple[int, list[str]]]:
    """The named columns of each row, numbered from 1 after the header; a missing cell is empty."""
    rows = _csv(path, "utf-8-sig")
    header = next(rows, [])
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(f"{path}: no {missing[0]!r} column (found {', '.join(header[:12])}). Check the file and the settings.")
    positions = [header.index(name) for name in names]
    for number, row in enumerate(rows, start=1):
        yield number, [row[position].strip() if position < len(row) else "" for position in positions]


def _code_titles(path: Path, width: int) -> Iterator[tuple[int, str, str]]:
    """Code and title, from CSV without a header, or from lines whose first `width` characters hold the code."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        for number, row in enumerate(_csv(path, "latin-1"), start=1):
            yield number, row[0].strip() if row else "", row[1].strip() if len(row) > 1 else ""
    else:
        for number, raw in numbered_lines(path):
            line = raw.decode("latin-1")
            yield number, line[:width].strip(), line[width:].strip()


def _csv(path: Path, encoding: str) -> Iterator[list[str]]:
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
        try:
            yield from csv.reader(text, delimiter=delimiter)
        except csv.Error:
            raise DataError(f"not a valid CSV table ({path}). Export the file again.") from None
        except UnicodeDecodeError:
            raise DataError(f"not UTF-8 ({path}). Convert the file to UTF-8.") from None
