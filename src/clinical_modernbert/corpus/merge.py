"""In: staged documents in the order of reading. Out: each kept document with its split, and counted reasons for the others.

Two passes: the first looks at ids, versions and concepts alone; the second streams the text.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.split import PhraseSet, hash_fraction
from clinical_modernbert.corpus.staging import Staged

Split = Literal["train", "validation"]
SPLITS: tuple[Split, Split] = ("train", "validation")
Row = dict[str, Any]

SUPERSEDED = "superseded"
"""A later file or version of the same record took its place."""
WITHDRAWN = "withdrawn"
"""Its publisher deleted the record."""
DUPLICATE = "exact_duplicate"
HELD_OUT = "held_out_synonym"
"""It contains a synonym of a held-out concept and would be training text."""


@dataclass
class Plan:
    """What the first pass found: which row of an id is current, what concepts are called, which are held out, and their synonyms."""

    current: dict[str, int] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    held_out: set[str] = field(default_factory=set)
    synonyms: PhraseSet = field(default_factory=lambda: PhraseSet(()))


def plan(units: Sequence[Staged], settings: CorpusSettings) -> Plan:
    """First pass: read everything but the text."""
    found = Plan()
    versions: dict[str, int] = {}
    languages: dict[str, list[str]] = {}
    synonyms: list[str] = []
    for number, row in enumerate(row for unit in units for row in unit.rows(["id", "metadata", "deleted"])):
        identity = row["id"]
        if row["deleted"]:
            for sibling in languages.get(identity, ()):
                if sibling in found.current:
                    found.withdrawn.add(found.current.pop(sibling))
            continue
        metadata = json.loads(row["metadata"])
        version = metadata.get("version") or 0
        if identity not in found.current or version >= versions.get(identity, 0):
            if identity in found.current and identity in languages:  # a new version brings its other languages along
                for sibling in languages.pop(identity):
                    found.current.pop(sibling, None)
            found.current[identity] = number
            versions[identity] = version
        languages.setdefault(identity.split("#")[0], []).append(identity)
        concept = metadata.get("concept")
        if concept:
            found.names.setdefault(concept, metadata["name"])
        if concept and hash_fraction(concept, settings.seed) < settings.held_out_concepts:
            found.held_out.add(concept)
            synonyms.extend(metadata.get("synonyms") or ())
    found.synonyms = PhraseSet(synonyms)
    return found


def merge(
    units: Sequence[Staged], found: Plan, settings: CorpusSettings, dropped: Counter[tuple[str, str]], advance: Callable[[int], None]
) -> Iterator[tuple[Split, Row]]:
    """Second pass: the kept rows in order, each with its split; `dropped[source, reason]` counts the others."""
    seen: set[bytes] = set()
    for number, row in enumerate(row for unit in units for row in unit.rows()):
        if row.pop("deleted"):
            continue
        advance(1)
        digest = row.pop("hash")
        split, reason = _judge(number, row, found, settings)
        if reason is None and digest in seen:
            reason = DUPLICATE
        if reason is not None:
            dropped[row["source"], reason] += 1
            continue
        seen.add(digest)
        yield split, row


def _judge(number: int, row: Row, found: Plan, settings: CorpusSettings) -> tuple[Split, str | None]:
    if found.current.get(row["id"]) != number:
        return "train", WITHDRAWN if number in found.withdrawn else SUPERSEDED
    concept = json.loads(row["metadata"]).get("concept")
    if concept:
        held_out = concept in found.held_out
    else:
        held_out = hash_fraction(row["patient"] or row["id"].split("#")[0], settings.seed) < settings.validation_fraction
    if held_out:
        return "validation", None
    return "train", HELD_OUT if found.synonyms.occur_in(row["text"]) else None
