"""What an attention backend is, and the choice of one."""

# T tokens in the packed row, N heads, H head width

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.reference import ReferenceAttention
from clinical_modernbert.model.varlen import VarlenAttention, serves
from clinical_modernbert.model.windowed import WindowedAttention


class AttentionPlan(Protocol):
    """Attention over one packed row, prepared once and shared by all layers. Queries and keys come unrotated."""

    def local(self, qkv_T3NH: Tensor) -> Tensor:
        """(T, N, H): each token attends the tokens of its document within `local_attention // 2` of it."""

    def full(self, qkv_T3NH: Tensor) -> Tensor:
        """(T, N, H): each token attends its whole document."""


Backend = Callable[[PackedRow, ModernBertConfig, torch.dtype], AttentionPlan]


def choose(name: str) -> Backend:
    """The backend of this name.

    Raises:
        ConfigError: there is no such backend.
    """
    backends: dict[str, Backend] = {
        "auto": _fastest,
        "windowed": WindowedAttention,
        "varlen": VarlenAttention,
        "reference": ReferenceAttention,
    }
    if name not in backends:
        raise ConfigError(f"attention={name!r} is not known (model). Use one of {', '.join(backends)}.")
    return backends[name]


def _fastest(row: PackedRow, config: ModernBertConfig, dtype: torch.dtype) -> AttentionPlan:
    return (VarlenAttention if serves(row.document.device, config, dtype) else WindowedAttention)(row, config, dtype)
