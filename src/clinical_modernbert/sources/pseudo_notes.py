"""In: tables of emergency visits or of admissions. Out: one `Document` for each stay, its rows told as a note. Next: `corpus`."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.admissions import ordinal
from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location
from clinical_modernbert.sources.stay_tables import SUBJECT, Stay, Table, cell, read_stays
from clinical_modernbert.sources.stay_text import EMERGENCY, HOSPITAL, Row, Section, SectionName, readable, render
from clinical_modernbert.sources.tables import SUFFIXES, named_rows
from clinical_modernbert.sources.visits import concept, iso_time

logger = logging.getLogger(__name__)

_AS_PUBLISHED = "Give the tables of MIMIC-IV-ED 2.2 or MIMIC-IV 2.2 as PhysioNet has them."
_SIGNS = ("temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "pain")
_PATIENTS = "patients"
_PATIENT = ("gender", "anchor_age", "anchor_year")


@plain_dataclass(frozen=True, slots=True)
class _Module:
    """What is read of a module of MIMIC-IV, the table of stays first; `begins` and `outcome` are columns of it."""

    key: str
    begins: str
    outcome: str
    diagnoses: str
    columns: Mapping[str, Sequence[str]]
    sections: Sequence[Section]
    dictionaries: Sequence[str] = ()
    """Tables of names."""

    @property
    def stays(self) -> str:
        return next(iter(self.columns))


_EMERGENCY = _Module(
    key="stay_id",
    begins="intime",
    outcome="disposition",
    diagnoses="diagnosis",
    columns={
        "edstays": ("intime", "outtime", "hadm_id", "gender", "race", "arrival_transport", "disposition"),
        _PATIENTS: _PATIENT,
        "triage": ("acuity", "chiefcomplaint", *_SIGNS),
        "medrecon": ("charttime", "etc_rn", "name", "etcdescription"),
        "vitalsign": ("charttime", "rhythm", *_SIGNS),
        "pyxis": ("charttime", "med_rn", "gsn_rn", "name"),
        "diagnosis": ("seq_num", "icd_code", "icd_version", "icd_title"),
    },
    sections=EMERGENCY,
)
_HOSPITAL = _Module(
    key="hadm_id",
    begins="admittime",
    outcome="discharge_location",
    diagnoses="diagnoses_icd",
    columns={
        "admissions": ("admittime", "dischtime", "race", "admission_type", "admission_location", "discharge_location"),
        _PATIENTS: _PATIENT,
        "labevents": ("itemid", "charttime", "value", "valuenum", "valueuom", "flag"),
        "prescriptions": ("starttime", "drug", "dose_val_rx", "dose_unit_rx", "route"),
        "diagnoses_icd": ("seq_num", "icd_code", "icd_version"),
    },
    sections=HOSPITAL,
    dictionaries=("d_icd_diagnoses", "d_labitems"),
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class PseudoNotes:
    """Visits of MIMIC-IV-ED 2.2 told as notes, or, where there are only `hosp` tables (MIMIC-IV 2.2, 3.1), admissions.

    `stay_text` holds the templates. Memory holds a 128th of the rows at a time, see `stay_tables`, and the names of diagnoses and
    laboratory items. The metadata keep the codes and the outcome, also where the text leaves them out.
    """

    path: InputPath
    """The `mimic-iv-ed` folder or `ed` in it, `mimic-iv` or `hosp` in it; tables are `.csv` or `.tsv` (plain or `.gz`), or `.parquet`."""
    type: Literal["mimic-ed"] = field(default="mimic-ed", kw_only=True)
    """Kind of source."""
    leave_out: tuple[SectionName, ...] = field(default=(), kw_only=True)
    """Sections that the text must not have, such as `[diagnosis, disposition]` where a model is to predict them."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for the demo and for synthetic patients."""
    licence: str = field(default="PhysioNet Credentialed Health Data License 1.5.0", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "mimic-ed"

    def files(self) -> list[Location]:
        for module in (_EMERGENCY, _HOSPITAL):
            if stays := self._file(module.stays):
                return [stays]
        raise DataError(f"no edstays.csv.gz or admissions.csv.gz ({self.path}). Give the mimic-iv-ed or the mimic-iv folder.")

    def beside(self) -> list[Location]:
        (stays,) = self.files()
        module = _module_of(stays)
        others = [*module.columns, *module.dictionaries]
        return [file for table in others if (file := self._file(table)) and file != stays]

    def read(self, path: Location) -> Iterator[Record]:
        module = _module_of(path)
        tables = []
        for table, columns in module.columns.items():
            if file := self._file(table):
                tables.append(Table(table, file, SUBJECT if table == _PATIENTS else module.key, columns))
            else:
                logger.warning("%s: no %s table; the notes will be without it", self.path, table)
        names = self._names() if module.dictionaries else _Names({}, {})
        for stay in read_stays(tables, _AS_PUBLISHED):
            yield stay if isinstance(stay, Rejection) else self._note(stay, module, names)

    def _note(self, stay: Stay, module: _Module, names: "_Names") -> Document:
        (own,) = stay.rows[module.stays]
        patient = next(iter(stay.rows.get(_PATIENTS, [])), {})
        rows = stay.rows | {module.stays: [{**patient, "age": _age(patient, own.get(module.begins, "")), **own}]}
        codes = [known for row in stay.rows.get(module.diagnoses, []) if (known := _concept(row))]
        metadata: dict[str, Json] = {
            module.key: stay.id,
            "hadm_id": own.get("hadm_id", stay.id if module is _HOSPITAL else None),
            "time": iso_time(own.get(module.begins)),
            "disposition": own.get(module.outcome),
            "codes": list(dict.fromkeys(codes)),
        }
        return Document(
            f"mimic-ed:{stay.id}",
            render(module.sections, {table: names.told(found) for table, found in rows.items()}, self.leave_out),
            self.name,
            self.access,
            patient=stay.subject,
            metadata={key: value for key, value in metadata.items() if value},
        )

    def _names(self) -> "_Names":
        diagnoses = self._dictionary("d_icd_diagnoses", "icd_code", "icd_version", "long_title")
        items = self._dictionary("d_labitems", "itemid", "label", "fluid")
        return _Names(
            {(code, version): title for code, version, title in diagnoses},
            {item: f"{label} ({fluid.lower()})" if fluid else label for item, label, fluid in items},
        )

    def _dictionary(self, table: str, *columns: str) -> Iterator[list[str]]:
        file = self._file(table)
        if file is None:
            logger.warning("%s: no %s table; the notes will be without its names", self.path, table)
            return
        for item in named_rows(file, columns, (), _AS_PUBLISHED):
            if isinstance(item, Rejection):
                logger.warning("%s, %s: %s", item.path, item.where, item.reason)
            else:
                yield [cell(value) for value in item[1].values()]

    def _file(self, table: str) -> Location | None:
        folders = (self.path / "ed", self.path / "hosp", self.path)
        candidates = (folder / f"{table}{suffix}" for folder in folders for suffix in SUFFIXES)
        return next((file for file in candidates if file.is_file()), None)


@plain_dataclass(frozen=True, slots=True)
class _Names:
    """Titles of diagnoses by code and version, names of laboratory items by number."""

    titles: Mapping[tuple[str, str], str]
    items: Mapping[str, str]

    def told(self, rows: Iterable[Row]) -> list[Row]:
        """The rows as notes spell them; a medicine that is there once more for each of its generic numbers (`gsn`) is told once."""
        explained = (self._explained(row) for row in rows if ordinal(row.get("gsn_rn")) < 2)
        return [{column: readable(column, value) for column, value in row.items() if value} for row in explained]

    def _explained(self, row: Row) -> Row:
        if "icd_code" in row:
            code, version = row["icd_code"], row.get("icd_version", "")
            title = row.get("icd_title") or self.titles.get((code, version), "")
            return {**row, "icd_title": title, "icd_code": icd.diagnosis(code, ordinal(version))}
        if "itemid" in row:
            value = row.get("value") or row.get("valuenum", "")
            result = f"{value} {row.get('valueuom', '')}".strip() if value else ""
            return {**row, "label": self.items.get(row["itemid"], f"Item {row['itemid']}"), "result": result}
        return row


def _module_of(stays: Location) -> _Module:
    return _EMERGENCY if stays.name.startswith(_EMERGENCY.stays) else _HOSPITAL


def _age(patient: Row, begins: str) -> str:
    """At the stay, from the age in the patient's anchor year; empty where it is not known."""
    age, anchor, year = (ordinal(text) for text in (patient.get("anchor_age"), patient.get("anchor_year"), begins[:4]))
    return str(age + year - anchor) if age and anchor and year >= anchor else ""


def _concept(row: Row) -> str | None:
    version = ordinal(row.get("icd_version"))
    return concept(row["icd_code"], 10 if version == 10 else 9) if version in (9, 10) and "icd_code" in row else None
