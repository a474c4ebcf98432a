"""Masked language modelling: a batch -> loss and what is counted with it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.model.heads import ModernBertForMaskedLM

TOP_K = 5
"""Candidates looked at; counting all that beat the right id took a fifth of a training step."""


@dataclass(frozen=True)
class Scores:
    """Per masked position, on the CPU: loss in nats, and how many ids the model prefers to the right one, counted to `TOP_K`."""

    losses: np.ndarray
    ranks: np.ndarray


def masked_loss(model: ModernBertForMaskedLM, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, Scores]:
    """Summed cross-entropy of the masked positions (a scalar that can be differentiated), and the scores of each.

    Logits exist for the M masked positions alone: (M, V), never (T, V).
    """
    logits_MV = model(
        torch.from_numpy(batch.input_ids).to(device),
        torch.from_numpy(batch.cu_seqlens).to(device),
        batch.max_seqlen,
        torch.from_numpy(batch.positions).to(device),
    )
    labels_M = torch.from_numpy(batch.labels).to(device)
    losses_M = functional.cross_entropy(logits_MV.float(), labels_M, reduction="none")
    with torch.no_grad():
        hits_MK = logits_MV.topk(TOP_K).indices == labels_M[:, None]
        ranks_M = torch.where(hits_MK.any(1), hits_MK.int().argmax(1), TOP_K)
    return losses_M.sum(), Scores(losses_M.detach().cpu().numpy(), ranks_M.cpu().numpy())


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
