"""In: a training document that stays. Out: the same with its group terms swapped, beside it or in its place. Next: `writing`.

It happens after duplicates are gone, of which a copy would be one, and never to validation. What held a document out of the training text
holds its swapped form out too: a synonym of a held-out concept, words shared with a benchmark.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from clinical_modernbert.corpus import decontamination
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.records import CONTAMINATED, HELD_OUT, Row
from clinical_modernbert.corpus.settings import CounterfactualSettings
from clinical_modernbert.corpus.shingles import hash_words
from clinical_modernbert.corpus.split import hash_fraction
from clinical_modernbert.corpus.text.sections import sections
from clinical_modernbert.corpus.text.swapping import dictionary, is_left_alone, swap

MARK = "#swapped"
"""Ends the id of a swapped document."""
SWAPPED = "swapped"
NO_TERM = "no_term"
"""Nothing in it names a group."""
LEFT_ALONE = "makes_no_sense_swapped"
"""It speaks of pregnancy, of organs that one sex has, and the like."""


class Counterfactuals:
    """Swaps documents of training text as `settings` say; `counts` has source -> what became of those that were chosen -> documents."""

    def __init__(
        self, settings: CounterfactualSettings, seed: int, concepts: Concepts, known: Sequence[decontamination.Known] = ()
    ) -> None:
        self._settings, self._seed, self._concepts, self._known = settings, seed, concepts, known
        self._swaps = [dictionary().of(dimension) for dimension in settings.dimensions]
        self.counts: dict[str, Counter[str]] = {}

    def of(self, row: Row, metadata: dict[str, Any]) -> Row | None:
        """The swapped form of one document; None where it was not chosen or stays as it is."""
        if row["source"] not in self._settings.sources or "concept" in metadata:
            return None
        if hash_fraction(f"{row['id']}{MARK}", self._seed) >= self._settings.share:
            return None
        text, outcome = self._swapped(row["text"])
        self.counts.setdefault(row["source"], Counter())[outcome] += 1
        if outcome != SWAPPED:
            return None
        if "sections" in metadata:
            metadata = metadata | {"sections": [[section.title, section.start] for section in sections(text)]}
        written = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
        return {**row, "id": f"{row['id']}{MARK}", "text": text, "metadata": written}

    def _swapped(self, text: str) -> tuple[str, str]:
        """The text with all dimensions swapped that it speaks of, and what became of it."""
        if any(is_left_alone(text, swaps) for swaps in self._swaps):
            return text, LEFT_ALONE
        before = text
        for swaps in self._swaps:
            text = swap(text, swaps).text
        if text == before:
            return text, NO_TERM
        if self._concepts.synonyms.occur_in(text):
            return text, HELD_OUT
        if self._known and decontamination.contaminated(self._known, hash_words([text])):
            return text, CONTAMINATED
        return text, SWAPPED
