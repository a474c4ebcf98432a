"""In: one row or node of a code table. Out: the values that a template fills in, its metadata. Next: `Codes.read`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clinical_modernbert.sources.codes.template import PLACEHOLDERS, load_template
from clinical_modernbert.sources.document import Json

_JOINT = re.compile(r"(?<=[.:]); ")
_CALLED = {
    "ICD-9-CM": "ICD 9 code",
    "ICD-10-CM": "ICD 10 code",
    "ICD-10-PCS": "ICD 10 procedure code",
    "HPO": "HPO term",
    "DOID": "Disease Ontology term",
}


def concept_id(system: str, code: str) -> str:
    """The same for the same concept in any table; a code that names its own system (`HP:0000107`) is its own concept."""
    return code if ":" in code else f"{system}:{code}"


def sentence(system: str, code: str, name: str) -> str:
    """The paper's sentence: `ICD 9 code for 250.00: Diabetes mellitus without mention of complication, ...`."""
    return load_template("sentence").fill(Entry(system, code, name).values())


@dataclass(frozen=True, slots=True)
class Entry:
    """One concept of a code system. `obsolete` entries have no text of their own: their publisher withdrew them.

    `notes` are the values of further placeholders of a template.
    """

    system: str
    code: str
    name: str
    key: str = ""
    synonyms: tuple[str, ...] = ()
    definition: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    chapter: str = ""
    notes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    obsolete: bool = False

    @property
    def concept(self) -> str:
        """See `concept_id`."""
        return concept_id(self.system, self.code)

    def values(self) -> dict[str, str]:
        """The value of every placeholder; empty where the table knows none."""
        return {
            **dict.fromkeys(PLACEHOLDERS, ""),
            "kind": _CALLED.get(self.system, f"{self.system} code"),
            "system": self.system,
            "concept": self.concept,
            "code": self.code,
            "name": self.name,
            "chapter": _joined([self.chapter]),
            "parents": _joined(f"{name} ({code})" if name else code for code, name in self.parents),
            "synonyms": _joined(self.synonyms),
            "definition": _joined([self.definition]),
            **{placeholder: _joined(values) for placeholder, values in self.notes},
        }

    def metadata(self) -> dict[str, Json]:
        """The contract with alignment and analysis; the same keys for every system."""
        return {
            "concept": self.concept,
            "code": self.code,
            "system": self.system,
            "name": self.name,
            "synonyms": list(self.synonyms),
            "definition": self.definition or None,
            "parents": [code for code, _ in self.parents],
            "chapter": self.chapter or None,
        }


def _joined(values: Iterable[str]) -> str:
    """Values behind each other; one that ends in a full stop or a colon needs no semicolon."""
    return _JOINT.sub(" ", "; ".join(values))
