"""Attention written as its definition, with dense masks: the yardstick of the tests. Memory grows with the square of the row."""

# T tokens in the packed row, N heads, H head width, R = H / 2 rotated pairs

import torch
from torch import Tensor

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.packed_row import PackedRow


class ReferenceAttention:
    """Softmax over all pairs of the row, those of other documents or outside of the window left out."""

    def __init__(self, row: PackedRow, config: ModernBertConfig, dtype: torch.dtype) -> None:
        index_T = torch.arange(len(row.document), device=row.document.device)
        self._same_TT = row.document[:, None] == row.document
        self._near_TT = self._same_TT & ((index_T[:, None] - index_T).abs() <= config.local_attention // 2)
        self._local_rotation = row.rotation(config, config.local_rope_theta, dtype)
        self._full_rotation = row.rotation(config, config.global_rope_theta, dtype)

    def local(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.local`."""
        return _attend(qkv_T3NH, self._near_TT, self._local_rotation)

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.full`."""
        return _attend(qkv_T3NH, self._same_TT, self._full_rotation)


def _attend(qkv_T3NH: Tensor, seen_TT: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos_T1R, sin_T1R = (table_T11R[:, 0] for table_T11R in rotation)
    q_NTH, k_NTH, v_NTH = qkv_T3NH.permute(1, 2, 0, 3)
    scores_NTT = _rotate(q_NTH, cos_T1R, sin_T1R) @ _rotate(k_NTH, cos_T1R, sin_T1R).mT * q_NTH.shape[-1] ** -0.5
    weights_NTT = scores_NTT.masked_fill(~seen_TT, float("-inf")).softmax(-1)
    out_NTH: Tensor = weights_NTT @ v_NTH
    return out_NTH.transpose(0, 1)


def _rotate(x_NTH: Tensor, cos_T1R: Tensor, sin_T1R: Tensor) -> Tensor:
    first, second = x_NTH.chunk(2, dim=-1)
    cos_TR, sin_TR = cos_T1R[:, 0], sin_T1R[:, 0]
    return torch.cat((first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR), -1).to(x_NTH.dtype)
