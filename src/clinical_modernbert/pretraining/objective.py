"""Masked language modelling: a batch -> loss and what is counted with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.model.cross_entropy import TOP_K
from clinical_modernbert.model.heads import ModernBertForMaskedLM

TOP = (1, 5, 10, TOP_K)
"""Masked accuracy is told for so many guesses; ranks are counted no further than the last."""
Tally = npt.NDArray[np.float64]
"""(2 + TOP + 1,) or, of several groups, (G, 2 + TOP + 1): masked positions, their loss, those among the best so many, their bytes.

Sums, so that those of batches, sources and processes add up.
"""
TALLIED = 3 + len(TOP)


@dataclass(frozen=True)
class Scores:
    """Those of `model.cross_entropy`, on the CPU."""

    losses: np.ndarray
    ranks: np.ndarray


def masked_loss(model: ModernBertForMaskedLM, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, Scores]:
    """Summed cross-entropy of the masked positions (a scalar that can be differentiated), and the scores of each."""
    loss, scores = model.score(
        torch.from_numpy(batch.input_ids).to(device),
        torch.from_numpy(batch.cu_seqlens),
        batch.max_seqlen,
        torch.from_numpy(batch.positions).to(device),
        torch.from_numpy(batch.labels).to(device),
    )
    return loss, Scores(scores.losses.cpu().numpy(), scores.ranks.cpu().numpy())


def tally(scores: Scores, num_bytes: np.ndarray, groups: np.ndarray | None = None, num_groups: int = 1) -> Tally:
    """Sums over the masked positions of each of `num_groups`; without `groups`, over all of them as one (1, ...)."""
    columns = [np.ones(len(num_bytes)), scores.losses, *(scores.ranks < k for k in TOP), num_bytes]
    rows = np.stack(columns, axis=1).astype(np.float64)
    sums = np.zeros((num_groups, TALLIED))
    np.add.at(sums, np.zeros(len(rows), np.int64) if groups is None else groups, rows)
    return sums


def summarise(sums: Tally | Sequence[float]) -> dict[str, float]:
    """Mean loss, masked accuracies, and bits per byte of masked text, which compares across vocabularies."""
    count, loss, *hits, num_bytes = (float(value) for value in sums)
    found = {f"masked_top{k}": hit / max(count, 1) for k, hit in zip(TOP, hits, strict=True)}
    return {"loss": loss / max(count, 1), **found, "bits_per_byte": loss / math.log(2) / max(num_bytes, 1)}
