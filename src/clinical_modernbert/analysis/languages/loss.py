"""Hidden words and a model -> bits, text by text, beside what guessing by frequency costs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clinical_modernbert.analysis.languages.hiding import PASSES, Hidden, Ints, hide
from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.jobs import BATCH_TOKENS
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.objective import masked_loss
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


def fills_masks(encoder: Encoder) -> bool:
    """Whether it has a masked-language head that is ours."""
    return isinstance(encoder.model, ModernBertForMaskedLM) and isinstance(encoder.tokenizer, Tokenizer)


def longest(encoders: Sequence[Encoder]) -> int:
    """UTF-8 bytes of text that fit every context, whatever the vocabulary: no token is less than one."""
    return min(MAX_BYTES, *(encoder.model.config.max_position_embeddings - 2 for encoder in encoders))


def masked_bits(
    encoder: Encoder, texts: Sequence[str], seed: int = 0, name: str = "", progress: Progress = silent, *, passes: int = PASSES
) -> Loss:
    """What the model makes of hidden words; `name` is what progress calls it."""
    assert isinstance(encoder.model, ModernBertForMaskedLM)
    assert isinstance(encoder.tokenizer, Tokenizer)
    hidden = hide(encoder.tokenizer, texts, seed, passes)
    bits = [np.zeros(0)]
    with progress(f"Hiding words ({name})", total=len(hidden), unit="passes") as advance:
        for batch in _batches(hidden):
            with torch.inference_mode():
                bits.append(masked_loss(encoder.model, batch, next(encoder.model.parameters()).device)[1].losses / math.log(2))
            advance(len(batch.documents))
    return _by_text(hidden, np.concatenate(bits), encoder.tokenizer, len(texts))


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


def _batches(hidden: Sequence[Hidden]) -> Iterator[PackedBatch]:
    """Passes side by side, in order, as many as fit."""
    waiting: list[Hidden] = []
    for one in hidden:
        if waiting and sum(len(other.input_ids) for other in waiting) + len(one.input_ids) > BATCH_TOKENS:
            yield _packed(waiting)
            waiting = []
        waiting.append(one)
    if waiting:
        yield _packed(waiting)


def _packed(hidden: Sequence[Hidden]) -> PackedBatch:
    starts = np.cumsum([0, *(len(one.input_ids) for one in hidden)])
    return PackedBatch(
        input_ids=np.concatenate([one.input_ids for one in hidden]),
        cu_seqlens=starts.astype(np.int32),
        positions=np.concatenate([start + one.positions for start, one in zip(starts, hidden, strict=False)]),
        labels=np.concatenate([one.labels for one in hidden]),
        sources=np.zeros(len(hidden), dtype=np.int64),
        documents=np.array([one.text for one in hidden], dtype=np.int64),
    )


def _by_text(hidden: Sequence[Hidden], bits: Floats, tokenizer: Tokenizer, num_texts: int) -> Loss:
    text = np.repeat([one.text for one in hidden], [len(one.labels) for one in hidden]).astype(np.int64)
    num_bytes = tokenizer.num_bytes[_labels(hidden)]
    sums = (np.bincount(text, values, num_texts).astype(np.float64) for values in (bits, num_bytes))
    return Loss(*sums)


def _labels(hidden: Sequence[Hidden]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *(one.labels for one in hidden)])
