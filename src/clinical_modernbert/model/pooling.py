"""Token states of a packed row -> one vector a document."""

# T tokens in the packed row, S documents, D hidden

import torch
from torch import Tensor


def mean_pool(hidden_TD: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(S, D): the mean over all tokens of each document, [CLS] and [SEP] included, as sentence-transformers does it."""
    lengths_S = cu_seqlens.diff().to(hidden_TD.device, torch.int64)
    return torch.segment_reduce(hidden_TD, "mean", lengths=lengths_S, axis=0)
