"""An encoder with a classifier on its token states or on their mean."""

# T tokens in the packed row, N decisions, S texts, D hidden, O outputs

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clinical_modernbert.model.heads import ModernBertForMaskedLM

if TYPE_CHECKING:
    from clinical_modernbert.model.foreign import ForeignModel


@dataclass(frozen=True)
class TaskRow:
    """A packed row, and where something is decided in it.

    `input_ids` (T,), `cu_seqlens` and `max_seqlen` as `ModernBertModel` takes them. Either `places` (N,) are tokens, or `owners` (T,) says
    of which of `num_texts` texts a token's state is a part, -1 for none; a text may stand in several documents of the row.
    """

    input_ids: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    places: Tensor | None = None
    owners: Tensor | None = None
    num_texts: int = 0


class TaskModel(nn.Module):
    """Encoder, the masked-language head's dense layer and norm where the encoder has one, dropout, a linear classifier.

    With a ModernBERT the parameters are those of Hugging Face's ModernBertForTokenClassification and ...ForSequenceClassification.
    """

    def __init__(self, encoder: "ModernBertForMaskedLM | ForeignModel", num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(encoder.config.hidden_size, num_outputs)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def with_seed(cls, encoder: "ModernBertForMaskedLM | ForeignModel", num_outputs: int, dropout: float, seed: int) -> "TaskModel":
        """With a classifier that `seed` decides."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(encoder, num_outputs, dropout).to(next(encoder.parameters()).device)

    def classify(self, features_ND: Tensor) -> Tensor:
        """(N, O)."""
        if isinstance(self.encoder, ModernBertForMaskedLM):
            features_ND = self.encoder.head(features_ND)
        scores_NO: Tensor = self.classifier(self.drop(features_ND))
        return scores_NO

    def forward(self, row: TaskRow) -> Tensor:
        """(N, O): scores of every decision."""
        return self.classify(features(self.encoder, row))


def features(encoder: "ModernBertForMaskedLM | ForeignModel", row: TaskRow) -> Tensor:
    """(N, D): the states at the places, or the mean of each text's tokens."""
    hidden_TD = encoder.encode(row.input_ids, row.cu_seqlens, row.max_seqlen)
    if row.places is not None:
        return hidden_TD.index_select(0, row.places)
    assert row.owners is not None
    used = row.owners >= 0
    owners = row.owners[used]
    sums_SD = hidden_TD.new_zeros(row.num_texts, hidden_TD.shape[1]).index_add(0, owners, hidden_TD[used])
    return sums_SD / torch.bincount(owners, minlength=row.num_texts)[:, None]
