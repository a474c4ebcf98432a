"""Ids and a random generator -> masked ids. Pure functions (Devlin et al. 2019, section 3.1)."""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.settings import Settings
from clinical_modernbert.tokenization import Tokenizer

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
"""Of the chosen tokens, 80% become [MASK], 10% a random id, 10% stay as they are."""
SPAN_END, LONGEST_SPAN = 0.2, 10
"""Spans end after each word with this probability, at the latest after so many words (Joshi et al. 2020: SpanBERT)."""

Unit = Literal["token", "word", "span"]


class MaskingSettings(Settings):
    """How much of the text is to be predicted."""

    mlm_probability: float = Field(0.3, gt=0, lt=1)
    """Share of tokens chosen at the phase's start."""
    final_mlm_probability: float | None = Field(None, gt=0, lt=1)
    """Share at the phase's end, falling or rising linearly with tokens; none keeps it constant."""
    unit: Unit = "token"
    """What is chosen as a whole: tokens, words, or spans of one to ten words."""
    code_aware: float = Field(0.0, ge=0, le=1)
    """Share of code entries of which the whole code or the whole description is hidden, and nothing else of their first line."""

    def probability(self, progress: float) -> float:
        """The share at `progress` (0 to 1) of the phase."""
        final = self.mlm_probability if self.final_mlm_probability is None else self.final_mlm_probability
        return self.mlm_probability + (final - self.mlm_probability) * progress

    @model_validator(mode="before")
    @classmethod
    def _as_first_written(cls, data: Any) -> Any:
        """Runs of format 1 say `whole_word`."""
        if not isinstance(data, dict) or "whole_word" not in data:
            return data
        return {"unit": "word" if data["whole_word"] else "token", **{key: value for key, value in data.items() if key != "whole_word"}}


class Masked(NamedTuple):
    """Ids with some replaced, where, and what stood there."""

    input_ids: Ints
    positions: Ints
    labels: Ints


class Masker:
    """Masks ordinary tokens, never special ones; random replacements are drawn from all ordinary ids."""

    def __init__(self, tokenizer: Tokenizer, unit: Unit = "token") -> None:
        self._mask_id = tokenizer.mask_id
        self._ordinary_ids = tokenizer.ordinary_ids
        self._is_ordinary = np.zeros(len(tokenizer), dtype=bool)
        self._is_ordinary[tokenizer.ordinary_ids] = True
        self._unit = unit
        self._joins = (tokenizer.joins_left, tokenizer.joins_right) if unit != "token" else None

    def __call__(self, ids: Ints, probability: float, rng: np.random.Generator) -> Masked:
        """Mask one document; a higher `probability` with the same `rng` masks a superset."""
        chosen = (rng.random(len(ids))[self._units(ids, rng)] < probability) & self._is_ordinary[ids]
        positions = np.flatnonzero(chosen)
        labels = ids[positions]
        fate = rng.random(len(ids))[positions]
        random_ids = self._ordinary_ids[rng.integers(len(self._ordinary_ids), size=len(ids))][positions]
        replaced = np.where(fate < MASK_SHARE, self._mask_id, np.where(fate < MASK_SHARE + RANDOM_SHARE, random_ids, labels))
        return Masked(_with(ids, positions, replaced), positions, labels)

    def hide(self, ids: Ints, part: slice, line: slice, probability: float, rng: np.random.Generator) -> Masked:
        """Hide the whole of `part` behind [MASK], leave the rest of `line` as it is, and mask what stands outside of it as usual."""
        masked = self(ids, probability, rng)
        hidden = np.arange(part.start, part.stop)
        hidden = hidden[self._is_ordinary[ids[hidden]]]
        outside = (masked.positions < line.start) | (masked.positions >= line.stop)
        input_ids = masked.input_ids.copy()
        input_ids[line] = ids[line]
        positions = np.sort(np.concatenate([masked.positions[outside], hidden]))
        return Masked(_with(input_ids, hidden, self._mask_id), positions, ids[positions])

    def _units(self, ids: Ints, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """The number of the token, word or span that each token belongs to."""
        if self._joins is None:
            return np.arange(len(ids))
        joins_left, joins_right = self._joins
        begins = np.ones(len(ids), dtype=np.int64)
        begins[1:] = ~(joins_left[ids[1:]] & joins_right[ids[:-1]])
        words = np.cumsum(begins) - 1
        if self._unit == "word":
            return words
        lengths = np.minimum(rng.geometric(SPAN_END, size=len(ids)), LONGEST_SPAN)
        return np.repeat(np.arange(len(ids)), lengths)[words]


def _with(ids: Ints, positions: Ints, values: Any) -> Ints:
    changed = ids.copy()
    changed[positions] = values
    return changed
