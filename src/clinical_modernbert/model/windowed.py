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
from clinical_modernbert.model.rotary import rotate_into

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
        self._mask_C1BW = _window_mask(row, self._half, dtype)
        self._groups = group(row.lengths)
        self._token_of_slot_S, self._slot_of_token_T = _arrange(row, self._groups)
        self._masks = [_length_mask(row, g, dtype) for g in self._groups]

    def local(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.local`."""
        q_CNBH, k_CNWH, v_CNWH = _Windows.apply(qkv_T3NH, *self._local_rotation, self._half)  # type: ignore[no-untyped-call]
        out_CNBH = scaled_dot_product_attention(q_CNBH, k_CNWH, v_CNWH, attn_mask=self._mask_C1BW)
        return out_CNBH.transpose(1, 2).flatten(0, 1)[: len(qkv_T3NH)]

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.full`."""
        rotated = _ToSlots.apply(qkv_T3NH, *self._full_rotation, self._token_of_slot_S, self._slot_of_token_T)  # type: ignore[no-untyped-call]
        sizes = [len(g.documents) * g.slots for g in self._groups]
        outs = []
        for g, mask_E11L, *parts in zip(self._groups, self._masks, *(x_SNH.split(sizes) for x_SNH in rotated), strict=True):
            q_ENLH, k_ENLH, v_ENLH = (part.unflatten(0, (-1, g.slots)).transpose(1, 2) for part in parts)
            out_ENLH = scaled_dot_product_attention(q_ENLH, k_ENLH, v_ENLH, attn_mask=mask_E11L)
            outs.append(out_ENLH.transpose(1, 2).flatten(0, 1))
        out_TNH: Tensor = _ToTokens.apply(torch.cat(outs), self._slot_of_token_T)  # type: ignore[no-untyped-call]
        return out_TNH


def _window_mask(row: PackedRow, half: int, dtype: torch.dtype) -> Tensor:
    """(C, 1, B, W): 0 where a query of a block may see a key of its window, else -inf.

    A query behind the end of the row sees everything, so that its softmax is finite; its output is dropped.
    """
    document_T = row.document
    num_blocks = -(-len(document_T) // BLOCK)
    tail = num_blocks * BLOCK - len(document_T)
    query_CB1 = pad(document_T, (0, tail), value=-1).view(num_blocks, BLOCK, 1)
    key_C1W = pad(document_T, (half, half + tail), value=-2).unfold(0, BLOCK + 2 * half, BLOCK)[:, None]
    index_B1 = torch.arange(BLOCK, device=document_T.device)[:, None] + half
    near_BW = (index_B1 - torch.arange(BLOCK + 2 * half, device=document_T.device)).abs() <= half
    seen_CBW = (query_CB1 == key_C1W) & near_BW | (query_CB1 < 0)
    return torch.zeros(seen_CBW.shape, dtype=dtype, device=document_T.device).masked_fill_(~seen_CBW, float("-inf"))[:, None]


def _length_mask(row: PackedRow, members: Group, dtype: torch.dtype) -> Tensor | None:
    """(E, 1, 1, L): 0 where a slot holds a token, else -inf; None where all do."""
    device = row.document.device
    length_E = torch.tensor([row.lengths[document] for document in members.documents], device=device)
    empty_EL = torch.arange(members.slots, device=device) >= length_E[:, None]
    if not empty_EL.any():
        return None
    return torch.zeros(empty_EL.shape, dtype=dtype, device=device).masked_fill_(empty_EL, float("-inf"))[:, None, None]


def _arrange(row: PackedRow, groups: list[Group]) -> tuple[Tensor | None, Tensor | None]:
    """Token of every slot (S,) and slot of every token (T,); None and None where they are the same.

    Slots behind the end of a document hold its first token, which the mask hides.
    """
    documents = [document for g in groups for document in g.documents]
    slots = [g.slots for g in groups for _ in g.documents]
    if documents == list(range(len(row.lengths))) and slots == list(row.lengths):
        return None, None
    device = row.document.device
    starts = torch.tensor((0, *row.lengths), device=device).cumsum(0)
    order_S = torch.repeat_interleave(torch.tensor(documents, device=device), torch.tensor(slots, device=device))
    first_slot = torch.zeros(len(documents), dtype=torch.int64, device=device)
    first_slot[torch.tensor(documents, device=device)] = torch.tensor((0, *slots[:-1]), device=device).cumsum(0)
    within_S = torch.arange(len(order_S), device=device) - first_slot[order_S]
    length_S = torch.tensor(row.lengths, device=device)[order_S]
    token_of_slot_S = starts[order_S] + within_S * (within_S < length_S)
    return token_of_slot_S, first_slot[row.document] + row.position


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


class _ToSlots(Function):
    """Queries, keys (both rotated) and values, each (S, N, H), in the slots of the groups."""

    @staticmethod
    def forward(
        ctx: Any, qkv_T3NH: Tensor, cos: Tensor, sin: Tensor, token_of_slot_S: Tensor | None, slot_of_token_T: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        turned_T3NH = torch.empty_like(qkv_T3NH)
        rotate_into(turned_T3NH[:, :2], qkv_T3NH[:, :2], cos, sin)
        turned_T3NH[:, 2] = qkv_T3NH[:, 2]
        ctx.save_for_backward(cos, sin, slot_of_token_T)
        turned_S3NH = turned_T3NH if token_of_slot_S is None else turned_T3NH.index_select(0, token_of_slot_S)
        return turned_S3NH[:, 0], turned_S3NH[:, 1], turned_S3NH[:, 2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_SNH: Tensor) -> tuple[Tensor, None, None, None, None]:
        cos, sin, slot_of_token_T = ctx.saved_tensors
        dq_TNH, dk_TNH, dv_TNH = d_SNH if slot_of_token_T is None else (d.index_select(0, slot_of_token_T) for d in d_SNH)
        d_qkv_T3NH = dq_TNH.new_empty(len(cos), 3, *dq_TNH.shape[1:])
        d_qkv_T3NH[:, 2] = dv_TNH
        rotate_into(d_qkv_T3NH[:, 0], dq_TNH, cos[:, 0], -sin[:, 0])
        rotate_into(d_qkv_T3NH[:, 1], dk_TNH, cos[:, 0], -sin[:, 0])
        return d_qkv_T3NH, None, None, None, None


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
