"""Single-token words, clinical and common -> how far their embeddings moved."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clinical_modernbert.analysis.common_words import common_words
from clinical_modernbert.analysis.statistics import Estimate, draw, weighted_mean
from clinical_modernbert.inference import Encoder
from clinical_modernbert.tasks.synonym_questions import content_words

Floats = npt.NDArray[np.float64]

FEWEST_LETTERS = 4
"""Of a clinical word; shorter ones are mostly abbreviations."""
FEWEST_WORDS = 20
"""Of each kind; with fewer an interval would say nothing."""


def clinical_words(descriptions: Iterable[str]) -> list[str]:
    """The content words of descriptions of codes, those of most descriptions first; no common words, no abbreviations."""
    counts = Counter(word for text in descriptions for word in content_words(text))
    common = set(common_words())
    kept = [word for word in counts if word.isascii() and word.isalpha() and len(word) >= FEWEST_LETTERS and word not in common]
    return sorted(kept, key=lambda word: (-counts[word], word))


def single_tokens(encoder: Encoder, words: Sequence[str]) -> dict[str, int]:
    """Those of the words that are one token after a space, and its id."""
    alone, *after = encoder.tokenizer.encode_batch(["a", *(f"a {word}" for word in words)])
    return {word: int(ids[-1]) for word, ids in zip(words, after, strict=True) if len(ids) == len(alone) + 1}


@dataclass(frozen=True)
class Words:
    """Ids of clinical words, most frequent in descriptions first, and of common ones."""

    clinical: Sequence[int]
    common: Sequence[int]

    @classmethod
    def of(cls, encoder: Encoder, descriptions: Iterable[str]) -> "Words":
        """The words of each kind that this tokenizer has as single tokens."""
        clinical, common = (single_tokens(encoder, words) for words in (clinical_words(descriptions), common_words()))
        return cls(list(clinical.values()), list(common.values()))


@dataclass(frozen=True)
class Drift:
    """How far each word's embedding is from where it began, over its length there; means by kind, clinical ones weighed by 1 / rank."""

    of_clinical: Floats
    of_common: Floats
    clinical: Estimate
    common: Estimate

    @property
    def difference(self) -> Estimate:
        """Clinical less common."""
        return self.clinical.minus(self.common)


def drift(embeddings: Tensor, start: Tensor, words: Words, seed: int) -> Drift:
    """The drift between two tables of embeddings (V, D)."""
    now, then = (table.detach().float().cpu() for table in (embeddings, start))
    moved = ((now - then).norm(dim=1) / then.norm(dim=1).clamp(min=1e-12)).double().numpy()
    clinical, common = moved[list(words.clinical)], moved[list(words.common)]
    return Drift(
        clinical,
        common,
        weighted_mean(clinical, 1 / np.arange(1, len(clinical) + 1), draw(len(clinical), seed)),
        weighted_mean(common, np.ones(len(common)), draw(len(common), seed + 1)),
    )
