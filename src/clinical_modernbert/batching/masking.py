"""Ids and a random generator -> masked ids. Pure functions (Devlin et al. 2019, section 3.1)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.settings import Settings
from clinical_modernbert.tokenization import Tokenizer

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
"""Of the chosen tokens, 80% become [MASK], 10% a random id, 10% stay as they are."""


class MaskingSettings(Settings):
    """How much of the text is to be predicted."""

    mlm_probability: float = Field(0.3, gt=0, lt=1)
    """Share of tokens chosen at the phase's start."""
    final_mlm_probability: float | None = Field(None, gt=0, lt=1)
    """Share at the phase's end, falling or rising linearly with tokens; none keeps it constant."""
    whole_word: bool = False
    """Choose words instead of tokens."""

    def probability(self, progress: float) -> float:
        """The share at `progress` (0 to 1) of the phase."""
        final = self.mlm_probability if self.final_mlm_probability is None else self.final_mlm_probability
        return self.mlm_probability + (final - self.mlm_probability) * progress


class Masked(NamedTuple):
    """Ids with some replaced, where, and what stood there."""

    input_ids: Ints
    positions: Ints
    labels: Ints


class Masker:
    """Masks ordinary tokens, never special ones; random replacements are drawn from all ordinary ids."""

    def __init__(self, tokenizer: Tokenizer, whole_word: bool) -> None:
        self._mask_id = tokenizer.mask_id
        self._ordinary_ids = tokenizer.ordinary_ids
        self._is_ordinary = np.zeros(len(tokenizer), dtype=bool)
        self._is_ordinary[tokenizer.ordinary_ids] = True
        self._joins = (tokenizer.joins_left, tokenizer.joins_right) if whole_word else None

    def __call__(self, ids: Ints, probability: float, rng: np.random.Generator) -> Masked:
        """Mask one document; a higher `probability` with the same `rng` masks a superset."""
        units = np.arange(len(ids)) if self._joins is None else self._words(ids)
        chosen = (rng.random(len(ids))[units] < probability) & self._is_ordinary[ids]
        positions = np.flatnonzero(chosen)
        labels = ids[positions]
        fate = rng.random(len(ids))[positions]
        random_ids = self._ordinary_ids[rng.integers(len(self._ordinary_ids), size=len(ids))][positions]
        replaced = np.where(fate < MASK_SHARE, self._mask_id, np.where(fate < MASK_SHARE + RANDOM_SHARE, random_ids, labels))
        input_ids = ids.copy()
        input_ids[positions] = replaced
        return Masked(input_ids, positions, labels)

    def _words(self, ids: Ints) -> npt.NDArray[np.int64]:
        """The number of the word that each token belongs to."""
        assert self._joins is not None
        joins_left, joins_right = self._joins
        begins = np.ones(len(ids), dtype=np.int64)
        begins[1:] = ~(joins_left[ids[1:]] & joins_right[ids[:-1]])
        return np.cumsum(begins) - 1
