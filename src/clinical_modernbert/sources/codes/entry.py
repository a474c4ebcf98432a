"""In: one row or node of a code table. Out: its text by a template, its metadata. Next: `Codes.read`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
    return f"{_CALLED.get(system, f'{system} code')} for {code}: {name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One concept of a code system. `obsolete` entries have no text of their own: their publisher withdrew them."""

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

    def sentence(self) -> str:
        """See the function of this name."""
        return sentence(self.system, self.code, self.name)

    def full(self) -> str:
        """The sentence, then what else the table knows, one kind on a line."""
        return "\n".join((self.sentence(), *(f"{label}: {_JOINT.sub(' ', '; '.join(values))}" for label, values in self._lines())))

    def _lines(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        parents = tuple(f"{name} ({code})" if name else code for code, name in self.parents)
        known = (("Chapter", (self.chapter,)), ("Part of", parents), ("Also called", self.synonyms), ("Definition", (self.definition,)))
        for label, values in (*known, *self.notes):
            if any(values):
                yield label, values

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
