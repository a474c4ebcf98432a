"""Held-out documents -> ids of long ones, and running text of a wanted length that says nothing of what is asked."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clinical_modernbert.analysis.cloze import Ints
from clinical_modernbert.tokenization import Tokenizer

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[a-z0-9]+")


def long_documents(texts: Sequence[str], tokenizer: Tokenizer, at_least: int, at_most: int) -> list[Ints]:
    """The ids of those that have `at_least` tokens, cut after `at_most`."""
    return [ids[:at_most] for ids in tokenizer.encode_batch(texts) if len(ids) >= at_least]


@dataclass(frozen=True)
class Filler:
    """Running text of documents, sentence by sentence, without those that hold a forbidden word."""

    texts: Sequence[str]
    tokenizer: Tokenizer

    @cached_property
    def _sentences(self) -> list[tuple[frozenset[str], Ints]]:
        """Of all documents, one after the other: the words of each sentence and its ids with the space before it."""
        sentences = [sentence for text in self.texts for sentence in _SENTENCE.split(text) if sentence.strip()]
        encoded = self.tokenizer.encode_batch([f" {sentence.strip()}" for sentence in sentences])
        return [(words(sentence), ids) for sentence, ids in zip(sentences, encoded, strict=True)]

    def take(self, length: int, forbidden: Collection[str], rng: np.random.Generator) -> Ints:
        """`length` tokens of sentences that follow each other from a random one on, around the end; those with a forbidden word left out.

        The texts are repeated where they are not long enough.
        """
        banned, found, total = frozenset(forbidden), list[Ints](), 0
        at = int(rng.integers(len(self._sentences)))
        for step in range(len(self._sentences) * (1 + length)):
            if total >= length:
                break
            said, ids = self._sentences[(at + step) % len(self._sentences)]
            if not said & banned:
                found.append(ids)
                total += len(ids)
        return np.concatenate([np.zeros(0, np.int64), *found])[:length]


def words(text: str) -> frozenset[str]:
    """The words and numbers of a text, in small letters."""
    return frozenset(_WORD.findall(text.lower()))
