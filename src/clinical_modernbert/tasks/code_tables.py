"""A code table -> concepts with their place in the hierarchy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from clinical_modernbert.corpus.split import hash_fraction
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Codes, Document
from clinical_modernbert.sources.codes.entry import concept_id

_SPELLED: Mapping[str, tuple[int, int]] = MappingProxyType({"ICD-10-PCS": (2, 3), "HCPCS": (3, 3)})
"""Systems whose codes spell their place without a dot -> characters of the first step below the chapter, characters of the family.

ICD-10-PCS: section (the chapter), body system, operation, body part, approach, device, qualifier, a character each. HCPCS and CPT have
no official steps below the chapter, but are numbered by subject: A4206 stands in A42, then A420.
"""


@dataclass(frozen=True)
class Concept:
    """One code. `path` leads from its chapter down to itself; `family` is the step of it that its siblings share.

    The family is ICD's category, ICD-10-PCS's section, body system and operation, HCPCS's first three characters, else the first parent.
    """

    concept: str
    code: str
    name: str
    synonyms: tuple[str, ...]
    path: tuple[str, ...]
    family: str
    held_out: bool
    definition: str = ""

    @property
    def chapter(self) -> str:
        """The uppermost step of its path; empty where the table knows none."""
        return self.path[0]


@dataclass(frozen=True)
class CodeTable:
    """The concepts of one code system, in the table's order."""

    system: str
    concepts: Sequence[Concept]


def read_tables(source: Codes, held_out_concepts: float = 0.05, seed: int = 0) -> list[CodeTable]:
    """The tables in a source, one for each code system in it; held-out concepts are those of a corpus with these settings.

    Raises:
        DataError: the source cannot be read or holds no code.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in source.files():
        for record in source.read(path):
            if isinstance(record, Document):
                metadata = record.metadata
                found.setdefault(str(metadata["system"]), {}).setdefault(str(metadata["concept"]), cast(Mapping[str, Any], metadata))
    if not found:
        raise DataError(f"no code could be read (system {source.system}). Check the path.")
    return [_table(system, entries, held_out_concepts, seed) for system, entries in found.items()]


def _table(system: str, entries: Mapping[str, Mapping[str, Any]], held_out_concepts: float, seed: int) -> CodeTable:
    concepts = []
    for concept, metadata in entries.items():
        steps, family = _place(concept, metadata, entries)
        concepts.append(
            Concept(
                concept=concept,
                code=metadata["code"],
                name=metadata["name"],
                synonyms=tuple(metadata["synonyms"]),
                path=(metadata["chapter"] or "", *steps),
                family=family,
                held_out=hash_fraction(concept, seed) < held_out_concepts,
                definition=metadata["definition"] or "",
            )
        )
    return CodeTable(system, concepts)


def _place(concept: str, metadata: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], str]:
    """The way from below the chapter down to a code, and its family."""
    system, code = metadata["system"], metadata["code"]
    if system in _SPELLED:
        first, family = _SPELLED[system]
        return tuple(code[:length] for length in (*range(first, len(code)), len(code))), code[:family]
    if system.startswith("ICD-"):
        steps = _dotted_path(code)
        return steps, steps[0]
    steps = _parent_path(concept, entries)
    return steps, steps[-2] if len(steps) > 1 else concept


def _dotted_path(code: str) -> tuple[str, ...]:
    """An ICD diagnosis spells its place: E11, E11.3, E11.31, E11.319."""
    category, _, detail = code.partition(".")
    return (category, *(f"{category}.{detail[:i]}" for i in range(1, len(detail) + 1)))


def _parent_path(concept: str, entries: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The way down along first parents."""
    path = [concept]
    while True:
        metadata = entries[path[-1]]
        parents = [parent for code in metadata["parents"] if (parent := concept_id(metadata["system"], code)) in entries]
        if not parents or parents[0] in path:
            return tuple(reversed(path))
        path.append(parents[0])
