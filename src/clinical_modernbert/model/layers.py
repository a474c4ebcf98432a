"""The parts of one encoder layer, named as in Hugging Face's checkpoints."""

# T tokens in the packed row, D hidden, I intermediate, N heads, H head width

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu

from clinical_modernbert.model.attention import AttentionPlan
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.linear import Linear

CHUNK = 512
"""Tokens that the gate takes at once on a CPU: what stays in its caches."""


def norm(config: ModernBertConfig) -> nn.LayerNorm:
    """Layer normalisation over the hidden width."""
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


def dropout(probability: float) -> nn.Module:
    """Dropout, or nothing at all where the probability is 0."""
    return nn.Dropout(probability) if probability else nn.Identity()


class Embeddings(nn.Module):
    """Token embeddings, normalised. Positions enter in the attention alone."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = norm(config)
        self.drop = dropout(config.embedding_dropout)

    def forward(self, input_ids_T: Tensor) -> Tensor:
        """(T,) ids to (T, D)."""
        out_TD: Tensor = self.drop(self.norm(self.tok_embeddings(input_ids_T)))
        return out_TD


class Attention(nn.Module):
    """Multi-head self-attention of one layer; what sees what is decided by the plan."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.is_global = config.is_global(layer)
        self.heads_and_width = config.num_attention_heads, config.head_width
        self.Wqkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.Wo = Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.out_drop = dropout(config.attention_dropout)

    def project(self, x_TD: Tensor) -> Tensor:
        """Queries, keys and values (T, 3, N, H)."""
        qkv_T3NH: Tensor = self.Wqkv(x_TD).unflatten(1, (3, *self.heads_and_width))
        return qkv_T3NH

    def attend(self, qkv_T3NH: Tensor, plan: AttentionPlan) -> Tensor:
        """What each token gathers (T, D)."""
        out_TNH = plan.full(qkv_T3NH) if self.is_global else plan.local(qkv_T3NH)
        out_TD: Tensor = self.out_drop(self.Wo(out_TNH.flatten(1)))
        return out_TD


class Mlp(nn.Module):
    """Gated feed-forward block (GeGLU)."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.Wi = Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.Wo = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)
        self.drop = dropout(config.mlp_dropout)

    def forward(self, x_TD: Tensor) -> Tensor:
        """(T, D) to (T, D)."""
        out_TD: Tensor = self.Wo(self.drop(gelu_gated(self.Wi(x_TD))))
        return out_TD


def gelu_gated(both_T2I: Tensor) -> Tensor:
    """gelu(a) * b (T, I) of the halves a and b."""
    if torch.compiler.is_compiling():  # it fuses this by itself
        a_TI, b_TI = both_T2I.chunk(2, dim=-1)
        return gelu(a_TI) * b_TI
    out_TI: Tensor = _GeluGated.apply(both_T2I)  # type: ignore[no-untyped-call]
    return out_TI


class _GeluGated(Function):
    """Keeps its input alone for the backward pass, where autograd would keep gelu(a) as well."""

    @staticmethod
    def forward(ctx: Any, both_T2I: Tensor) -> Tensor:
        ctx.save_for_backward(both_T2I)
        out_TI = both_T2I.new_empty(len(both_T2I), both_T2I.shape[1] // 2)
        for c in _chunks(both_T2I):
            a_CI, b_CI = both_T2I[c].chunk(2, dim=-1)
            torch.mul(gelu(a_CI), b_CI, out=out_TI[c])
        return out_TI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_TI: Tensor) -> Tensor:
        (both_T2I,) = ctx.saved_tensors
        d_both_T2I = torch.empty_like(both_T2I)
        for c in _chunks(both_T2I):
            a_CI, b_CI = both_T2I[c].chunk(2, dim=-1)
            d_a_CI, d_b_CI = d_both_T2I[c].chunk(2, dim=-1)
            torch.ops.aten.gelu_backward.grad_input(d_TI[c] * b_CI, a_CI, grad_input=d_a_CI)
            torch.mul(gelu(a_CI), d_TI[c], out=d_b_CI)
        return d_both_T2I


def _chunks(x: Tensor) -> list[slice]:
    size = CHUNK if x.device.type == "cpu" else max(len(x), 1)
    return [slice(start, start + size) for start in range(0, len(x), size)]


class EncoderLayer(nn.Module):
    """Attention and feed-forward block, each normalised before and added to its input; layer 0 has no attention norm."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.attn_norm = norm(config) if layer else nn.Identity()
        self.attn = Attention(config, layer)
        self.mlp_norm = norm(config)
        self.mlp = Mlp(config)

    def forward(self, x_TD: Tensor, plan: AttentionPlan, compiled: bool = False) -> Tensor:
        """(T, D) to (T, D); `compiled` fuses all but the attention itself, once for all layers and lengths."""
        before, after = _compiled() if compiled else (EncoderLayer.before, EncoderLayer.after)
        return after(self, x_TD, self.attn.attend(before(self, x_TD), plan))

    def before(self, x_TD: Tensor) -> Tensor:
        """What comes before the attention: (T, D) to (T, 3, N, H)."""
        return self.attn.project(self.attn_norm(x_TD))

    def after(self, x_TD: Tensor, attended_TD: Tensor) -> Tensor:
        """What comes after it: (T, D) and (T, D) to (T, D)."""
        x_TD = x_TD + attended_TD
        out_TD: Tensor = x_TD + self.mlp(self.mlp_norm(x_TD))
        return out_TD


@cache
def _compiled() -> tuple[Callable[[EncoderLayer, Tensor], Tensor], Callable[[EncoderLayer, Tensor, Tensor], Tensor]]:
    return torch.compile(EncoderLayer.before, dynamic=True), torch.compile(EncoderLayer.after, dynamic=True)


def working_dtype(weight: Tensor) -> torch.dtype:
    """The type that linear layers answer in: autocast's where it is on, else the weight's."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
