"""The masked-language model: encoder, prediction head and decoder."""

# T tokens in the packed row, M masked positions, D hidden, V vocabulary

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.cross_entropy import Scores, cross_entropy
from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.layers import norm
from clinical_modernbert.model.linear import Linear


class PredictionHead(nn.Module):
    """Dense layer, GELU and norm between the encoder and the decoder."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.norm = norm(config)

    def forward(self, hidden_MD: Tensor) -> Tensor:
        """(M, D) to (M, D)."""
        out_MD: Tensor = self.norm(gelu(self.dense(hidden_MD)))
        return out_MD


class TiedDecoder(nn.Module):
    """Scores over the vocabulary. It owns its bias only: the weight is the embeddings', handed in, so that it exists once."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.decoder_bias else None

    def forward(self, hidden_MD: Tensor, embeddings_VD: Tensor) -> Tensor:
        """(M, D) to (M, V)."""
        return linear(hidden_MD, embeddings_VD, self.bias)


class ModernBertForMaskedLM(nn.Module):
    """ModernBERT with its masked-language head; parameter names are Hugging Face's.

    `attention` is a backend of `attention.choose`. The weights are not set up for training until `init.initialize` or `hf.load`.
    """

    def __init__(self, config: ModernBertConfig, attention: str = "auto") -> None:
        super().__init__()
        self.config = config
        self.model = ModernBertModel(config, attention)
        self.head = PredictionHead(config)
        self.decoder = TiedDecoder(config)

    @property
    def token_embeddings(self) -> Tensor:
        """(V, D) the table that input ids are looked up in."""
        weight: Tensor = self.model.embeddings.tok_embeddings.weight
        return weight

    def encode(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
        """Hidden states (T, D) of a packed row; see `ModernBertModel.forward`."""
        out_TD: Tensor = self.model(input_ids_T, cu_seqlens, max_seqlen)
        return out_TD

    def forward(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int, positions_M: Tensor) -> Tensor:
        """Logits (M, V) at `positions_M` alone: logits of all T tokens would dwarf everything else in memory."""
        hidden_MD = self.encode(input_ids_T, cu_seqlens, max_seqlen).index_select(0, positions_M)
        logits_MV: Tensor = self.decoder(self.head(hidden_MD), self.model.embeddings.tok_embeddings.weight)
        return logits_MV

    def score(
        self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int, positions_M: Tensor, labels_M: Tensor
    ) -> tuple[Tensor, Scores]:
        """Summed loss of the ids `labels_M` at `positions_M`, a scalar that can be differentiated, and the scores of each."""
        hidden_TD = self.model(input_ids_T, cu_seqlens, max_seqlen)
        with self.model.autocast():
            hidden_MD = self.head(hidden_TD.index_select(0, positions_M))
            return cross_entropy(hidden_MD, self.token_embeddings, self.decoder.bias, labels_M)
