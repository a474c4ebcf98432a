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
        return _gather(self.weights(qkv_T3NH, is_global=False), qkv_T3NH)

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """See `AttentionPlan.full`."""
        return _gather(self.weights(qkv_T3NH, is_global=True), qkv_T3NH)

    def weights(self, qkv_T3NH: Tensor, is_global: bool, queries_Q: Tensor | None = None) -> Tensor:
        """(N, Q, T): how much the tokens `queries_Q`, all where None, attend every other one; rows sum to 1."""
        cos_T1R, sin_T1R = (table_T11R[:, 0] for table_T11R in (self._full_rotation if is_global else self._local_rotation))
        q_NTH, k_NTH = (_rotate(x_NTH, cos_T1R, sin_T1R) for x_NTH in qkv_T3NH[:, :2].permute(1, 2, 0, 3))
        seen_TT = self._same_TT if is_global else self._near_TT
        if queries_Q is not None:
            q_NTH, seen_TT = q_NTH[:, queries_Q], seen_TT[queries_Q]
        scores_NQT = q_NTH @ k_NTH.mT * q_NTH.shape[-1] ** -0.5
        weights_NQT: Tensor = scores_NQT.masked_fill(~seen_TT, float("-inf")).softmax(-1)
        return weights_NQT


def _gather(weights_NTT: Tensor, qkv_T3NH: Tensor) -> Tensor:
    out_NTH: Tensor = weights_NTT @ qkv_T3NH[:, 2].transpose(0, 1)
    return out_NTH.transpose(0, 1)


def _rotate(x_NTH: Tensor, cos_T1R: Tensor, sin_T1R: Tensor) -> Tensor:
    first, second = x_NTH.chunk(2, dim=-1)
    cos_TR, sin_TR = cos_T1R[:, 0], sin_T1R[:, 0]
    return torch.cat((first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR), -1).to(x_NTH.dtype)
