"""Rotary position embeddings: tables of cosines and sines, and the rotation itself, written to a given place."""

# T tokens in the packed row, L positions, N heads, H head width, R = H / 2 rotated pairs

from functools import lru_cache

import torch
from torch import Tensor


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
