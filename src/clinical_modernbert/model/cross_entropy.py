"""Cross-entropy over a large vocabulary, without ever holding all logits: a chunk of them at a time, its gradient made at once."""

# M masked positions, C of them in a chunk, D hidden, V vocabulary, K candidates

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from clinical_modernbert.model.layers import working_dtype
from clinical_modernbert.model.linear import PackedWeight

TOP_K = 25
"""Candidates looked at; counting all that beat the right id took a fifth of a training step."""
CHUNK_LOGITS = 2**25
"""Logits in memory at once."""


@dataclass(frozen=True)
class Scores:
    """Per masked position (M,): loss in nats, and how many ids the model prefers to the right one, counted to `TOP_K`."""

    losses: Tensor
    ranks: Tensor


def cross_entropy(hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, labels_M: Tensor) -> tuple[Tensor, Scores]:
    """Summed loss of the logits `hidden @ weight.T + bias`, a float32 scalar that can be differentiated once, and every position's scores.

    The gradient is made beside the loss, as in Liger (Hsu et al., arXiv 2410.10989), because the logits are gone afterwards.
    """
    wanted = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden_MD, weight_VD, bias_V))
    loss, losses_M, ranks_M = _CrossEntropy.apply(hidden_MD, weight_VD, bias_V, labels_M, wanted)  # type: ignore[no-untyped-call]
    return loss, Scores(losses_M, ranks_M)


class _CrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, labels_M: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        kind = hidden_MD.device.type
        dtype = working_dtype(weight_VD)
        with torch.autocast(kind, enabled=False):
            cast_VD = weight_VD.to(dtype)
            to_logits, to_hidden = PackedWeight(cast_VD), PackedWeight(cast_VD.t()) if wanted else None
            d_hidden_MD = torch.zeros_like(hidden_MD) if wanted else None
            d_weight_VD = torch.zeros_like(weight_VD) if wanted else None
            d_bias_V = torch.zeros_like(bias_V) if wanted and bias_V is not None else None
            losses, ranks = [hidden_MD.new_zeros(0, dtype=torch.float32)], [labels_M.new_zeros(0)]
            size = max(1, CHUNK_LOGITS // len(weight_VD))
            for start in range(0, len(labels_M), size):
                c = slice(start, start + size)
                hidden_CD, labels_C1 = hidden_MD[c].to(dtype), labels_M[c, None]
                logits_CV = to_logits(hidden_CD, None if bias_V is None else bias_V.to(dtype)).float()
                top = logits_CV.topk(min(TOP_K, len(weight_VD)))
                hits_CK = top.indices == labels_C1
                ranks.append(torch.where(hits_CK.any(1), hits_CK.int().argmax(1), TOP_K))
                right_C1 = logits_CV.gather(1, labels_C1)
                shares_CV = torch.softmax(logits_CV, 1, out=logits_CV)
                log_sum_C1 = top.values[:, :1] - shares_CV.gather(1, top.indices[:, :1]).log()
                losses.append((log_sum_C1 - right_C1)[:, 0])
                if d_hidden_MD is None or d_weight_VD is None or to_hidden is None:
                    continue
                d_logits_CV = shares_CV.scatter_add_(1, labels_C1, shares_CV.new_full(labels_C1.shape, -1)).to(dtype)
                d_hidden_MD[c] = to_hidden(d_logits_CV)
                if d_weight_VD.dtype == dtype:
                    d_weight_VD.addmm_(d_logits_CV.t(), hidden_CD)
                else:
                    d_weight_VD += d_logits_CV.t() @ hidden_CD
                if d_bias_V is not None:
                    d_bias_V += d_logits_CV.sum(0)
        ctx.save_for_backward(d_hidden_MD, d_weight_VD, d_bias_V)
        losses_M, ranks_M = torch.cat(losses), torch.cat(ranks)
        ctx.mark_non_differentiable(losses_M, ranks_M)
        return losses_M.sum(), losses_M, ranks_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *(None if d is None else d.mul_(d_loss) for d in ctx.saved_tensors), None, None
