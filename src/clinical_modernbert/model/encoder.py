"""The encoder: token ids of a packed row to hidden states."""

# T tokens in the packed row, S documents, D hidden

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model.attention import choose
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.layers import Embeddings, EncoderLayer, norm, working_dtype
from clinical_modernbert.model.packed_row import PackedRow


@dataclass(frozen=True)
class Execution:
    """How a model is carried out; what it computes is the same up to rounding."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: matrix products and attention in bfloat16 (autocast), weights and sums in float32."""
    compiled: bool = False
    """Fuse what lies between the attentions with `torch.compile`, once for all lengths. On a CPU that takes a C++ compiler."""
    checkpoint_activations: bool = False
    """Keep the input of each layer alone for the backward pass, and compute the rest again: less memory, a third more work."""


class ModernBertModel(nn.Module):
    """ModernBERT (Warner et al., arXiv 2412.13663) over packed rows: documents side by side that never see each other.

    Raises:
        ConfigError: `attention` names no backend.
    """

    def __init__(self, config: ModernBertConfig, attention: str = "auto") -> None:
        super().__init__()
        self.config = config
        self.execution = Execution()
        self._backend = choose(attention)
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.final_norm = norm(config)

    def forward(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
        """Hidden states (T, D) after the final norm. `cu_seqlens` (S + 1,) rises from 0 to T; fastest when it lies on the CPU.

        Raises:
            ConfigError: the offsets do not cut the row into documents of 1 to `max_seqlen` tokens, or the model has fewer positions.
        """
        if max_seqlen > self.config.max_position_embeddings:
            limit = self.config.max_position_embeddings
            raise ConfigError(f"a document has {max_seqlen} tokens, the model has {limit} positions. Cut it into windows.")
        row = PackedRow.of(cu_seqlens, len(input_ids_T), max_seqlen, input_ids_T.device)
        again = self.execution.checkpoint_activations and torch.is_grad_enabled()
        with self.autocast():
            plan = self._backend(row, self.config, working_dtype(self.embeddings.tok_embeddings.weight))
            hidden_TD: Tensor = self.embeddings(input_ids_T)
            for layer in self.layers:
                inputs = hidden_TD, plan, self.execution.compiled
                hidden_TD = checkpoint(layer, *inputs, use_reentrant=False) if again else layer(*inputs)
            out_TD: Tensor = self.final_norm(hidden_TD)
        return out_TD

    def autocast(self) -> AbstractContextManager[None]:
        """The context of `execution.precision`."""
        if self.execution.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.embeddings.tok_embeddings.weight.device.type, torch.bfloat16)
