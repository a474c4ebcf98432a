"""Masked language modelling: a batch -> loss and what is counted with it."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.model.heads import ModernBertForMaskedLM


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


def summarise(losses: np.ndarray, ranks: np.ndarray, num_bytes: int) -> dict[str, float]:
    """Mean loss, masked accuracies, and bits per byte of masked text, which compares across vocabularies."""
    total = float(losses.sum(dtype=np.float64))
    count = max(len(losses), 1)
    return {
        "loss": total / count,
        "masked_top1": float((ranks < 1).sum()) / count,
        "masked_top5": float((ranks < 5).sum()) / count,
        "bits_per_byte": total / math.log(2) / max(num_bytes, 1),
    }
