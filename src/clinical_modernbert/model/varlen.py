"""Attention by the flash kernels that torch carries for packed rows: CUDA only, bfloat16 or float16."""

# T tokens in the packed row, S documents, N heads, H head width

import inspect
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import varlen as torch_varlen

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.rotary import RotatedParts

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int, int], Tensor]
"""Queries, keys, values (T, N, H), offsets (S + 1,) in int32, longest document, and keys seen on either side (-1: all)."""

MAX_HEAD_WIDTH = 256
"""What the flash kernels take."""


@cache
def find_kernel() -> Kernel | None:
    """The kernel of this torch that honours a window: `varlen_attn` from 2.12 on, before that the one below it; else None."""
    varlen_attn: Any = torch_varlen.varlen_attn
    if "window_size" in inspect.signature(varlen_attn).parameters:
        return lambda q, k, v, cu, longest, near: varlen_attn(q, k, v, cu, cu, longest, longest, window_size=(near, near))
    flash: Any = getattr(torch.ops.aten, "_flash_attention_forward", None)
    if flash is not None and any(argument.name == "window_size_left" for argument in flash.default._schema.arguments):
        return lambda q, k, v, cu, longest, near: flash(
            q, k, v, cu, cu, longest, longest, 0.0, False, False, window_size_left=near, window_size_right=near
        )[0]
    return None


def serves(device: torch.device, config: ModernBertConfig, dtype: torch.dtype) -> bool:
    """Whether the kernel can work on this device, at this shape and in this type."""
    narrow = config.head_width <= MAX_HEAD_WIDTH and config.head_width % 8 == 0
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and narrow and find_kernel() is not None


class VarlenAttention:
    """Local and global layers each in one call for the whole row, whatever its documents' lengths.

    Raises:
        ConfigError: `serves` says no.
    """

    def __init__(self, row: PackedRow, config: ModernBertConfig, dtype: torch.dtype) -> None:
        device, kernel = row.document.device, find_kernel()
        if kernel is None or not serves(device, config, dtype):
            what = f"heads of width {config.head_width} in {str(dtype).removeprefix('torch.')} on {device.type}, torch {torch.__version__}"
            raise ConfigError(f"attention='varlen' cannot do {what}. Use bfloat16 on CUDA and torch 2.12 or later, or attention='auto'.")
        self._kernel = kernel
        self._half = config.local_attention // 2
        self._longest = max(row.lengths)
        self._cu_seqlens = torch.tensor([0, *accumulate(row.lengths)], dtype=torch.int32, device=device)
        self._local_rotation = row.rotation(config, config.local_rope_theta, dtype)
        self._full_rotation = row.rotation(config, config.global_rope_theta, dtype)

    def local(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.local`."""
        return self._attend(qkv_T3NH, self._local_rotation, self._half)

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.full`."""
        return self._attend(qkv_T3NH, self._full_rotation, -1)

    def _attend(self, qkv_T3NH: Tensor, rotation: tuple[Tensor, Tensor], near: int) -> Tensor:
        q_TNH, k_TNH, v_TNH = RotatedParts.apply(qkv_T3NH, *rotation, None, None)  # type: ignore[no-untyped-call]
        return self._kernel(q_TNH, k_TNH, v_TNH, self._cu_seqlens, self._longest, near)
