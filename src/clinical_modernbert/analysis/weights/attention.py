"""Attention weights of documents -> how spread they are, how far they reach, how alike heads are."""

# N heads, Q queries, T tokens

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clinical_modernbert.analysis.layers import attention_weights
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress, silent

Floats = npt.NDArray[np.float64]

Heads = list[Floats]
"""Of one document: an array over heads for each layer."""

QUERIES = 128
"""Tokens of each document whose attention is looked at, drawn by chance."""


def entropy(weights_NQT: Tensor) -> Tensor:
    """(N, Q) in bits: log2 n for weights that n tokens share alike, 0 for one token alone."""
    bits_NQ: Tensor = -torch.xlogy(weights_NQT, weights_NQT).sum(-1) / np.log(2)
    return bits_NQ


def relative_entropy(weights_NQT: Tensor, seen_Q: Tensor) -> Tensor:
    """(N, Q): the entropy as a share of what it would be if the `seen_Q` tokens that a query sees shared alike."""
    return entropy(weights_NQT) / seen_Q.clamp(min=2).log2()


def attended_distance(weights_NQT: Tensor, queries_Q: Tensor) -> Tensor:
    """(N, Q) in tokens: the mean distance of what a query at position `queries_Q` attends, by weight."""
    away_QT = (queries_Q[:, None] - torch.arange(weights_NQT.shape[-1], device=weights_NQT.device)).abs()
    return (weights_NQT * away_QT).sum(-1)


def head_similarity(weights_NQT: Tensor) -> float:
    """1 less the Jensen-Shannon divergence in bits, over all pairs of heads: 1 for equal heads, 0 for heads that share no token.

    Of one head alone NaN.
    """
    own_N = entropy(weights_NQT).mean(-1)
    pairs = list(combinations(range(len(weights_NQT)), 2))
    divergence = [entropy((weights_NQT[i] + weights_NQT[j])[None] / 2).mean() - (own_N[i] + own_N[j]) / 2 for i, j in pairs]
    return float(1 - torch.stack(divergence).mean()) if divergence else float("nan")


@dataclass(frozen=True)
class Attended:
    """What a model attends in some documents: (documents, layers, heads), and the likeness of heads (documents, layers)."""

    entropy: Floats
    relative_entropy: Floats
    distance: Floats
    similarity: Floats


def attended(encoder: Encoder, documents: Sequence[npt.NDArray[np.int64]], seed: int, progress: Progress = silent) -> Attended:
    """Look at the attention of each document, ids between [CLS] and [SEP], at `QUERIES` of its tokens."""
    assert isinstance(encoder.model, ModernBertForMaskedLM)
    model, config = encoder.model.model, encoder.model.config
    found: tuple[list[Heads], list[Heads], list[Heads]] = ([], [], [])
    alike: list[list[float]] = []
    with progress("Looking at attention", total=len(documents), unit="documents") as advance:
        for number, ids in enumerate(documents):
            rng = np.random.default_rng([seed, number])
            input_ids_T = torch.from_numpy(ids).to(model.embeddings.tok_embeddings.weight.device)
            queries_Q = torch.from_numpy(np.sort(rng.permutation(len(ids))[:QUERIES])).to(input_ids_T.device)
            for of_document in found:
                of_document.append([])
            alike.append([])
            for layer, weights_NQT in enumerate(attention_weights(model, input_ids_T, queries_Q)):
                reach = len(ids) if config.is_global(layer) else config.local_attention // 2
                seen_Q = (queries_Q + reach).clamp(max=len(ids) - 1) - (queries_Q - reach).clamp(min=0) + 1
                measured = (entropy(weights_NQT), relative_entropy(weights_NQT, seen_Q), attended_distance(weights_NQT, queries_Q))
                for of_document, of_heads in zip(found, measured, strict=True):
                    of_document[-1].append(of_heads.mean(-1).double().cpu().numpy())
                alike[-1].append(head_similarity(weights_NQT))
            advance(1)
    bits, relative, distance = (np.array(one) for one in found)
    return Attended(bits, relative, distance, np.array(alike))
