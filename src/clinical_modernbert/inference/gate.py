"""The gate before an int8 model: does it still say what the float32 model says, on the texts of its user?"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert import atomic
from clinical_modernbert.batching import Masker
from clinical_modernbert.errors import CheckpointError, DataError
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

FORMAT_VERSION = 1
MIN_MEDIAN_COSINE, MIN_WORST_COSINE, MIN_TOP1_AGREEMENT = 0.995, 0.98, 0.97
FILE = "int8.json"
_REMEDY = "Run `cmbert export hf MODEL --dtype int8 --check NOTES -o FOLDER` or Encoder.quantize(check=notes), or pass --unchecked"

States = Callable[[Sequence[npt.NDArray[np.int64]]], Sequence[npt.NDArray[np.float32]]]
"""Sequences of ids with [CLS] and [SEP] -> the hidden states of each."""


@dataclass(frozen=True)
class Int8Check:
    """How near an int8 model is to the float32 weights whose file has the hash `weights_sha256`."""

    weights_sha256: str
    sequences: int
    tokens: int
    masked_tokens: int
    median_cosine: float
    worst_cosine: float
    top1_agreement: float

    @property
    def passed(self) -> bool:
        """Whether it is near enough to be used."""
        near = self.median_cosine >= MIN_MEDIAN_COSINE and self.worst_cosine >= MIN_WORST_COSINE
        return near and self.top1_agreement >= MIN_TOP1_AGREEMENT

    def __str__(self) -> str:
        return (
            f"cosine to fp32 {self.median_cosine:.4f} at the median, {self.worst_cosine:.4f} at the worst of {self.sequences:,} sequences, "
            f"the same masked top-1 for {self.top1_agreement:.1%} of {self.masked_tokens:,} tokens"
        )


def check_int8(
    exact: States,
    quantized: States,
    model: ModernBertForMaskedLM,
    tokenizer: Tokenizer,
    sequences: Sequence[npt.NDArray[np.int64]],
    weights_sha256: str,
    progress: Progress = silent,
) -> Int8Check:
    """Compare mean-pooled vectors of `sequences`, and what `model`'s head makes of 15% masked tokens of each.

    Raises:
        DataError: nothing to compare on.
    """
    masker = Masker(tokenizer)
    cosines, agreed = [], []
    with progress("Checking int8", total=sum(map(len, sequences)), unit="tokens") as advance:
        for number, ids in enumerate(sequences):
            one, other = (states([ids])[0].mean(0, dtype=np.float64) for states in (exact, quantized))
            cosines.append(float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12)))
            masked = masker(ids[1:-1], 0.15, np.random.default_rng([0, number]))
            wrapped, positions = tokenizer.wrap(masked.input_ids), masked.positions + 1
            one_top, other_top = (_top1(model, states([wrapped])[0][positions]) for states in (exact, quantized))
            agreed.append(one_top == other_top)
            advance(len(ids))
    same = np.concatenate(agreed) if agreed else np.empty(0)
    if not len(same):
        raise DataError("the texts to check on are empty. Give --check a file of typical notes.")
    return Int8Check(
        weights_sha256,
        len(sequences),
        sum(map(len, sequences)),
        len(same),
        round(float(np.median(cosines)), 6),
        round(min(cosines), 6),
        round(float(same.mean()), 6),
    )


@torch.inference_mode()
def _top1(model: ModernBertForMaskedLM, hidden_MD: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    logits_MV = model.decoder(model.head(torch.from_numpy(np.ascontiguousarray(hidden_MD))), model.token_embeddings)
    top_M: npt.NDArray[np.int64] = logits_MV.argmax(1).numpy()
    return top_M


def write_check(folder: Path, check: Int8Check) -> None:
    """Keep the figures of a check that passed beside the weights.

    Raises:
        CheckpointError: it did not; the message holds the figures.
    """
    if not check.passed:
        wanted = f"at least {MIN_MEDIAN_COSINE}, {MIN_WORST_COSINE} and {MIN_TOP1_AGREEMENT:.0%} are asked for"
        raise CheckpointError(f"the int8 model strays too far: {check}; {wanted}. Use fp32 or bf16.")
    atomic.write_json(folder / FILE, {"format_version": FORMAT_VERSION, **asdict(check)})


def figures(folder: Path) -> Int8Check:
    """What `write_check` kept in a folder; raises CheckpointError where that is missing or damaged."""
    try:
        fields = json.loads((folder / FILE).read_text(encoding="utf-8"))
        assert fields.pop("format_version") == FORMAT_VERSION
        return Int8Check(**fields)
    except OSError:
        raise CheckpointError(f"{folder}: int8 was not checked on this model. {_REMEDY}.") from None
    except (ValueError, TypeError, KeyError, AssertionError, AttributeError):
        raise CheckpointError(f"{folder / FILE}: damaged, or of another version. {_REMEDY}.") from None


def require_check(folder: Path, weights_sha256: str) -> None:
    """Raise CheckpointError where a folder keeps no figures, figures of other weights, or some that do not pass."""
    check = figures(folder)
    if check.weights_sha256 != weights_sha256:
        raise CheckpointError(f"{folder}: int8 was checked on other weights than these. {_REMEDY}.")
    if not check.passed:
        raise CheckpointError(f"{folder}: int8 failed its check ({check}). Use fp32 or bf16.")
