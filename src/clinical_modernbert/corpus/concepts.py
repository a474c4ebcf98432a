"""In: the entries of code tables. Out: what concepts are called, which are held out, and their words. Next: `cleaning`, `pairs`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from clinical_modernbert import atomic
from clinical_modernbert.corpus.split import PhraseSet, hash_fraction


@dataclass(frozen=True)
class Concepts:
    """Concept -> name, the held-out ones, and all that these are called."""

    names: dict[str, str] = field(default_factory=dict)
    held_out: frozenset[str] = frozenset()
    held_out_synonyms: tuple[str, ...] = ()

    @cached_property
    def synonyms(self) -> PhraseSet:
        """What no training document may contain."""
        return PhraseSet(self.held_out_synonyms)

    @classmethod
    def of(cls, entries: Iterable[dict[str, Any]], share: float, seed: int) -> "Concepts":
        """From the metadata of code tables' documents; about `share` of the concepts are held out, chosen by a hash of their ids."""
        names: dict[str, str] = {}
        held_out: dict[str, None] = {}
        synonyms: list[str] = []
        for entry in entries:
            concept = entry["concept"]
            names.setdefault(concept, entry["name"])
            if hash_fraction(concept, seed) < share:
                held_out[concept] = None
                synonyms.extend(entry.get("synonyms") or ())
        return cls(names, frozenset(held_out), tuple(synonyms))

    def write(self, path: Path) -> None:
        """Keep them as JSON."""
        plain = {"names": self.names, "held_out": sorted(self.held_out), "held_out_synonyms": self.held_out_synonyms}
        atomic.write_json(path, plain)

    @classmethod
    @lru_cache(maxsize=1)
    def read(cls, path: Path, sha256: str) -> "Concepts":
        """What `write` kept; `sha256` tells one state of the file from another."""
        plain = json.loads(path.read_text(encoding="utf-8"))
        return cls(plain["names"], frozenset(plain["held_out"]), tuple(plain["held_out_synonyms"]))
