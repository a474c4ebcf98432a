"""Small models and packed rows that the tests of the encoder share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, init

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "pad_token_id": 0,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
"""Two global and two local layers; weights wide enough that attention is far from uniform."""


def small_model(attention: str = "auto", dtype: torch.dtype = torch.float64, **changes: object) -> ModernBertForMaskedLM:
    model = ModernBertForMaskedLM(ModernBertConfig(**(SMALL | changes)), attention)
    init.initialize(model, seed=1)
    return model.to(dtype).eval()


@dataclass(frozen=True)
class Row:
    """Random documents of given lengths side by side."""

    documents: list[Tensor]

    @classmethod
    def of(cls, lengths: list[int], seed: int = 0) -> "Row":
        generator = torch.Generator().manual_seed(seed)
        return cls([torch.randint(3, SMALL["vocab_size"], (length,), generator=generator) for length in lengths])

    @property
    def inputs(self) -> tuple[Tensor, Tensor, int]:
        lengths = [len(document) for document in self.documents]
        return torch.cat(self.documents), torch.tensor([0, *lengths]).cumsum(0).int(), max(lengths)

    @property
    def everywhere(self) -> Tensor:
        return torch.arange(sum(map(len, self.documents)))
