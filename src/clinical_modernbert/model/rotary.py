"""Rotary position embeddings: tables of cosines and sines, and the rotation itself, written to a given place."""

# T tokens in the packed row, S places in another order, L positions, N heads, H head width, R = H / 2 rotated pairs

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


@lru_cache(maxsize=16)
def tables(theta: float, head_width: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (L, R) of positions 0 to `length` - 1, float32, made once per device.

    The frequencies are rounded to float32 before they meet a position, as in transformers: released weights were trained so.
    """
    with torch.inference_mode(False):
        exponents_R = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
        angles_LR = torch.arange(length, dtype=torch.float32)[:, None] * (1.0 / theta**exponents_R)
        return angles_LR.cos().to(device), angles_LR.sin().to(device)


def rotate_into(target: Tensor, source: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Write `source` (..., H), turned by the angles of `cos` and `sin` (..., R), to `target`; a negative `sin` turns back.

    Pairs are (i, i + R), the half-split form of Hugging Face's checkpoints. No gradient: the callers are autograd functions.
    """
    first, second = source.chunk(2, dim=-1)
    to_first, to_second = target.chunk(2, dim=-1)
    torch.mul(first, cos, out=to_first)
    to_first.addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second)
    to_second.addcmul_(first, sin)


class RotatedParts(Function):
    """Queries and keys, both turned, and values of a row (T, 3, N, H): three tensors (T, N, H), or (S, N, H) in another order.

    `token_of_place` (S,) says which token stands where, `place_of_token` (T,) where a token's gradient is found; both may be None.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv_T3NH: Tensor, cos: Tensor, sin: Tensor, token_of_place_S: Tensor | None, place_of_token_T: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        turned_T3NH = torch.empty_like(qkv_T3NH)
        rotate_into(turned_T3NH[:, :2], qkv_T3NH[:, :2], cos, sin)
        turned_T3NH[:, 2] = qkv_T3NH[:, 2]
        ctx.save_for_backward(cos, sin, place_of_token_T)
        turned_S3NH = turned_T3NH if token_of_place_S is None else turned_T3NH.index_select(0, token_of_place_S)
        return turned_S3NH[:, 0], turned_S3NH[:, 1], turned_S3NH[:, 2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_SNH: Tensor) -> tuple[Tensor, None, None, None, None]:
        cos, sin, place_of_token_T = ctx.saved_tensors
        dq_TNH, dk_TNH, dv_TNH = d_SNH if place_of_token_T is None else (d.index_select(0, place_of_token_T) for d in d_SNH)
        d_qkv_T3NH = dq_TNH.new_empty(len(cos), 3, *dq_TNH.shape[1:])
        d_qkv_T3NH[:, 2] = dv_TNH
        rotate_into(d_qkv_T3NH[:, 0], dq_TNH, cos[:, 0], -sin[:, 0])
        rotate_into(d_qkv_T3NH[:, 1], dk_TNH, cos[:, 0], -sin[:, 0])
        return d_qkv_T3NH, None, None, None, None
