"""The parts of one encoder layer, named as in Hugging Face's checkpoints."""

# T tokens in the packed row, D hidden, I intermediate, N heads, H head width

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from clinical_modernbert.model.attention import AttentionPlan
from clinical_modernbert.model.config import ModernBertConfig


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
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.out_drop = dropout(config.attention_dropout)

    def forward(self, x_TD: Tensor, plan: AttentionPlan) -> Tensor:
        """(T, D) to (T, D)."""
        qkv_T3NH = self.Wqkv(x_TD).unflatten(1, (3, *self.heads_and_width))
        out_TNH = plan.full(qkv_T3NH) if self.is_global else plan.local(qkv_T3NH)
        out_TD: Tensor = self.out_drop(self.Wo(out_TNH.flatten(1)))
        return out_TD


class Mlp(nn.Module):
    """Gated feed-forward block (GeGLU)."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)
        self.drop = dropout(config.mlp_dropout)

    def forward(self, x_TD: Tensor) -> Tensor:
        """(T, D) to (T, D)."""
        x_TI, gate_TI = self.Wi(x_TD).chunk(2, dim=-1)
        out_TD: Tensor = self.Wo(self.drop(gelu(x_TI) * gate_TI))
        return out_TD


class EncoderLayer(nn.Module):
    """Attention and feed-forward block, each normalised before and added to its input; layer 0 has no attention norm."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        self.attn_norm = norm(config) if layer else nn.Identity()
        self.attn = Attention(config, layer)
        self.mlp_norm = norm(config)
        self.mlp = Mlp(config)

    def forward(self, x_TD: Tensor, plan: AttentionPlan) -> Tensor:
        """(T, D) to (T, D)."""
        x_TD = x_TD + self.attn(self.attn_norm(x_TD), plan)
        out_TD: Tensor = x_TD + self.mlp(self.mlp_norm(x_TD))
        return out_TD


def working_dtype(weight: Tensor) -> torch.dtype:
    """The type that linear layers answer in: autocast's where it is on, else the weight's."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
