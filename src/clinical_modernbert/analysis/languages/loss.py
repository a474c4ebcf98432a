"""Hidden words and a model -> bits, text by text, beside what guessing by frequency costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.analysis.cloze import Query, ask, masked_tokenizer
from clinical_modernbert.analysis.languages.hiding import PASSES, Hidden, Ints, hide
from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

MAX_BYTES = 2048
"""A longer text is read in pieces."""


@dataclass(frozen=True)
class Loss:
    """Bits that the hidden words of each text cost, and the bytes of these words: (N,) each."""

    bits: Floats
    num_bytes: Floats

    @property
    def bits_per_byte(self) -> float:
        """Over all texts."""
        return float(self.bits.sum() / self.num_bytes.sum())


def longest(encoders: Sequence[Encoder]) -> int:
    """UTF-8 bytes of text that fit every context, whatever the vocabulary: no token is less than one."""
    return min(MAX_BYTES, *(encoder.model.config.max_position_embeddings - 2 for encoder in encoders))


def masked_bits(
    encoder: Encoder, texts: Sequence[str], seed: int = 0, name: str = "", progress: Progress = silent, *, passes: int = PASSES
) -> Loss:
    """What the model makes of hidden words; `name` is what progress calls it."""
    tokenizer = masked_tokenizer(encoder)
    hidden = hide(tokenizer, texts, seed, passes)
    queries = [Query(one.input_ids, one.positions, one.labels[:, None]) for one in hidden]
    answers = ask(encoder, queries, progress, f"Hiding words ({name})")
    bits = np.concatenate([np.zeros(0), *(-answer.log_probabilities[:, 0] / math.log(2) for answer in answers)])
    return _by_text(hidden, bits, tokenizer, len(texts))


def unigram_bits(tokenizer: Tokenizer, known: Sequence[str], texts: Sequence[str], seed: int = 0) -> Loss:
    """What the same hidden words cost who knows only how often each id comes in `known`, one added to every count."""
    counts = np.zeros(len(tokenizer))
    counts[tokenizer.ordinary_ids] = 1
    for ids in tokenizer.encode_batch(known):
        counts += np.bincount(ids, minlength=len(counts))
    with np.errstate(divide="ignore"):
        bits = -np.log2(counts / counts.sum())
    hidden = hide(tokenizer, texts, seed)
    return _by_text(hidden, bits[_labels(hidden)], tokenizer, len(texts))


def _by_text(hidden: Sequence[Hidden], bits: Floats, tokenizer: Tokenizer, num_texts: int) -> Loss:
    text = np.repeat([one.text for one in hidden], [len(one.labels) for one in hidden]).astype(np.int64)
    num_bytes = tokenizer.num_bytes[_labels(hidden)]
    sums = (np.bincount(text, values, num_texts).astype(np.float64) for values in (bits, num_bytes))
    return Loss(*sums)


def _labels(hidden: Sequence[Hidden]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *(one.labels for one in hidden)])
