"""The encoder: token ids of a packed row to hidden states."""

# T tokens in the packed row, S documents, D hidden

from torch import Tensor, nn

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model.attention import choose
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.layers import Embeddings, EncoderLayer, norm, working_dtype
from clinical_modernbert.model.packed_row import PackedRow


class ModernBertModel(nn.Module):
    """ModernBERT (Warner et al., arXiv 2412.13663) over packed rows: documents side by side that never see each other.

    Raises:
        ConfigError: `attention` names no backend.
    """

    def __init__(self, config: ModernBertConfig, attention: str = "auto") -> None:
        super().__init__()
        self.config = config
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
        plan = self._backend(row, self.config, working_dtype(self.embeddings.tok_embeddings.weight))
        hidden_TD: Tensor = self.embeddings(input_ids_T)
        for layer in self.layers:
            hidden_TD = layer(hidden_TD, plan)
        out_TD: Tensor = self.final_norm(hidden_TD)
        return out_TD
