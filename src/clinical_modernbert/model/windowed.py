"""Attention without padding or dense masks, from fused SDPA alone, so that it runs on any device.

Local layers cut the row into blocks of queries whose keys are one overlapping view of the row. Global layers call SDPA per
document, short documents of similar length together.
"""

# T tokens in the packed row, S slots (T plus the padding of short documents), N heads, H head width, R = H / 2 rotated pairs
# C blocks, B queries per block, W = B + 2 * half keys per block, E documents in a group, L slots per document

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad, scaled_dot_product_attention

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.rotary import RotatedParts, rotate_into

BLOCK = 64
"""Queries per block of a local layer."""
STEP = 32
"""Documents whose lengths round up to the same multiple of this share an SDPA call in the global layers."""


@dataclass(frozen=True)
class Group:
    """Documents that share one SDPA call, each in `slots` slots."""

    documents: tuple[int, ...]
    slots: int


def group(lengths: tuple[int, ...]) -> list[Group]:
    """Place every document in one group, with the others of its rounded length; alone in its group it is not padded.

    Example:
        >>> group((40, 700, 33))
        [Group(documents=(0, 2), slots=40), Group(documents=(1,), slots=700)]
    """
    members: dict[int, list[int]] = {}
    for document, length in enumerate(lengths):
        members.setdefault(-(-length // STEP), []).append(document)
    return [Group(tuple(documents), max(lengths[document] for document in documents)) for _, documents in sorted(members.items())]


class WindowedAttention:
    """Block-local SDPA for local layers, SDPA per group of documents for global ones."""

    def __init__(self, row: PackedRow, config: ModernBertConfig, dtype: torch.dtype) -> None:
        self._half = config.local_attention // 2
        self._local_rotation = row.rotation(config, config.local_rope_theta, dtype)
        self._full_rotation = row.rotation(config, config.global_rope_theta, dtype)
        self._mask_C1BW = window_mask(row, self._half, BLOCK, dtype)
        self._groups = group(row.lengths)
        self._masks, self._slots = _arrange(row, self._groups, dtype)

    def local(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.local`."""
        q_CNBH, k_CNWH, v_CNWH = _Windows.apply(qkv_T3NH, *self._local_rotation, self._half)  # type: ignore[no-untyped-call]
        out_CNBH = scaled_dot_product_attention(q_CNBH, k_CNWH, v_CNWH, attn_mask=self._mask_C1BW)
        return out_CNBH.transpose(1, 2).flatten(0, 1)[: len(qkv_T3NH)]

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.full`."""
        rotated = RotatedParts.apply(qkv_T3NH, *self._full_rotation, *self._slots)  # type: ignore[no-untyped-call]
        sizes = [len(g.documents) * g.slots for g in self._groups]
        outs = []
        for g, mask_E11L, *parts in zip(self._groups, self._masks, *(x_SNH.split(sizes) for x_SNH in rotated), strict=True):
            q_ENLH, k_ENLH, v_ENLH = (part.unflatten(0, (-1, g.slots)).transpose(1, 2) for part in parts)
            out_ENLH = scaled_dot_product_attention(q_ENLH, k_ENLH, v_ENLH, attn_mask=mask_E11L)
            outs.append(out_ENLH.transpose(1, 2).flatten(0, 1))
        out_TNH: Tensor = _ToTokens.apply(torch.cat(outs), self._slots[1])  # type: ignore[no-untyped-call]
        return out_TNH


def window_mask(row: PackedRow, half: int, block: int, dtype: torch.dtype) -> Tensor:
    """(C, 1, B, W) for blocks of B queries: 0 where a query of a block may see a key of its window, else -inf.

    A query behind the end of the row sees everything, so that its softmax is finite; its output is dropped.
    """
    document_T = row.document
    num_blocks = -(-len(document_T) // block)
    tail = num_blocks * block - len(document_T)
    query_CB1 = pad(document_T, (0, tail), value=-1).view(num_blocks, block, 1)
    key_C1W = pad(document_T, (half, half + tail), value=-2).unfold(0, block + 2 * half, block)[:, None]
    index_B1 = torch.arange(block, device=document_T.device)[:, None] + half
    near_BW = (index_B1 - torch.arange(block + 2 * half, device=document_T.device)).abs() <= half
    seen_CBW = (query_CB1 == key_C1W) & near_BW | (query_CB1 < 0)
    return torch.zeros(seen_CBW.shape, dtype=dtype, device=document_T.device).masked_fill_(~seen_CBW, float("-inf"))[:, None]


def _arrange(
    row: PackedRow, groups: list[Group], dtype: torch.dtype
) -> tuple[list[Tensor | None], tuple[Tensor, Tensor] | tuple[None, None]]:
    """For every group a mask (E, 1, 1, L) that is -inf at empty slots, or None; token of every slot (S,), slot of every token (T,).

    An empty slot holds the first token of its document. Where slots and tokens are the same, both maps are None.
    """
    device = row.document.device
    lengths = torch.tensor(row.lengths)
    starts = lengths.cumsum(0) - lengths
    masks: list[Tensor | None] = []
    tokens, used = [], []
    for g in groups:
        members, slot_L = torch.tensor(g.documents), torch.arange(g.slots)
        used_EL = slot_L < lengths[members, None]
        tokens.append((starts[members, None] + slot_L * used_EL).flatten())
        used.append(used_EL.flatten())
        mask_EL = torch.zeros(used_EL.shape, dtype=dtype).masked_fill_(~used_EL, float("-inf"))
        masks.append(None if used_EL.all() else mask_EL[:, None, None].to(device))
    token_of_slot_S, used_S = torch.cat(tokens), torch.cat(used)
    if torch.equal(token_of_slot_S, torch.arange(len(row.document))):
        return masks, (None, None)
    slot_of_token_T = torch.empty(len(row.document), dtype=torch.int64)
    slot_of_token_T[token_of_slot_S[used_S]] = used_S.nonzero()[:, 0]
    return masks, (token_of_slot_S.to(device), slot_of_token_T.to(device))


class _Windows(Function):
    """Rotated queries in blocks, and the overlapping windows of rotated keys and of values as views of one padded copy."""

    @staticmethod
    def forward(ctx: Any, qkv_T3NH: Tensor, cos: Tensor, sin: Tensor, half: int) -> tuple[Tensor, Tensor, Tensor]:
        tokens, _, heads, width = qkv_T3NH.shape
        num_blocks, window = -(-tokens // BLOCK), BLOCK + 2 * half
        padded = qkv_T3NH.new_empty(num_blocks * BLOCK + 2 * half, 3, heads, width)
        padded[:half].zero_()
        padded[half + tokens :].zero_()
        inner = padded[half : half + tokens]
        rotate_into(inner[:, :2], qkv_T3NH[:, :2], cos, sin)
        inner[:, 2] = qkv_T3NH[:, 2]
        row = 3 * heads * width
        blocks = padded[half : half + num_blocks * BLOCK, 0].view(num_blocks, BLOCK, heads, width)
        windows = padded.as_strided((3, num_blocks, heads, window, width), (heads * width, BLOCK * row, width, row, 1))
        ctx.save_for_backward(cos, sin)
        ctx.half, ctx.tokens = half, tokens
        return blocks.transpose(1, 2), windows[1], windows[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dq_CNBH: Tensor, dk_CNWH: Tensor, dv_CNWH: Tensor) -> tuple[Tensor, None, None, None]:
        cos, sin = ctx.saved_tensors
        heads, width = dq_CNBH.shape[1], dq_CNBH.shape[3]
        d_qkv_T3NH = dq_CNBH.new_empty(ctx.tokens, 3, heads, width)
        dq_TNH = dq_CNBH.transpose(1, 2).flatten(0, 1)[: ctx.tokens]
        dk_TNH = _fold(dk_CNWH)[ctx.half : ctx.half + ctx.tokens]
        rotate_into(d_qkv_T3NH[:, 0], dq_TNH, cos[:, 0], -sin[:, 0])
        rotate_into(d_qkv_T3NH[:, 1], dk_TNH, cos[:, 0], -sin[:, 0])
        d_qkv_T3NH[:, 2] = _fold(dv_CNWH)[ctx.half : ctx.half + ctx.tokens]
        return d_qkv_T3NH, None, None, None


def _fold(x_CNWH: Tensor) -> Tensor:
    """Sum overlapping windows, one every `BLOCK` tokens, back to a row of tokens (padded, N, H)."""
    x_CWNH = x_CNWH.transpose(1, 2)
    num_blocks, window, heads, width = x_CWNH.shape
    steps = -(-window // BLOCK)
    sum_CBNH = x_CWNH.new_empty(num_blocks + steps - 1, BLOCK, heads, width)
    sum_CBNH[:num_blocks] = x_CWNH[:, :BLOCK]
    sum_CBNH[num_blocks:].zero_()
    for step in range(1, steps):
        chunk = x_CWNH[:, step * BLOCK : (step + 1) * BLOCK]
        sum_CBNH[step : step + num_blocks, : chunk.shape[1]] += chunk
    return sum_CBNH.flatten(0, 1)


class _ToTokens(Function):
    """Slots back to the order of the row, padding dropped. Its gradient is a copy, not the serial sum of `index_select`'s."""

    @staticmethod
    def forward(ctx: Any, x_SNH: Tensor, slot_of_token_T: Tensor | None) -> Tensor:
        ctx.save_for_backward(slot_of_token_T)
        ctx.slots = len(x_SNH)
        return x_SNH.view_as(x_SNH) if slot_of_token_T is None else x_SNH.index_select(0, slot_of_token_T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_TNH: Tensor) -> tuple[Tensor, None]:
        (slot_of_token_T,) = ctx.saved_tensors
        if slot_of_token_T is None:
            return d_TNH, None
        return d_TNH.new_zeros(ctx.slots, *d_TNH.shape[1:]).index_copy_(0, slot_of_token_T, d_TNH), None
