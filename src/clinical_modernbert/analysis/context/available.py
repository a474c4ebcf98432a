"""Masked documents -> loss and accuracy of the same tokens with ever more text around them, and by their position in the document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.cloze import Ints, MaskedModel, Query, ask
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.batching.masking import Masked, Masker
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

MASKED_SHARE = 0.15
CONTEXTS = (128, 256, 512, 1024, 2048, 4096, 8192)
EDGES = (0, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Positions in a document that are looked at together."""


@dataclass(frozen=True)
class Told:
    """The masked tokens (M,) of one document: where they stand, their loss in nats, whether the first guess was right."""

    positions: Ints
    losses: Floats
    right: npt.NDArray[np.bool_]


def mask(documents: Sequence[Ints], tokenizer: Tokenizer) -> list[Masked]:
    """The documents masked as in validation; the same ones are always masked alike."""
    masker = Masker(tokenizer)
    return [masker(ids, MASKED_SHARE, np.random.default_rng([0, number])) for number, ids in enumerate(documents)]


def cut(masked: Masked, context: int, tokenizer: Tokenizer) -> list[Query]:
    """A masked document in pieces of `context` tokens, each between its own [CLS] and [SEP], as in training."""
    size = context - SPECIAL_TOKENS_PER_SEQUENCE
    queries = []
    for start in range(0, len(masked.input_ids), size):
        here = (masked.positions >= start) & (masked.positions < start + size)
        ids = tokenizer.wrap(masked.input_ids[start : start + size])
        queries.append(Query(ids, masked.positions[here] - start + 1, masked.labels[here, None]))
    return queries


def tell(
    model: MaskedModel,
    documents: Sequence[Masked],
    context: int,
    tokenizer: Tokenizer,
    *,
    progress: Progress = silent,
    title: str = "Masks",
) -> list[Told]:
    """What the model says of each document's masked tokens with `context` tokens in sight of it at a time."""
    queries = [cut(masked, context, tokenizer) for masked in documents]
    answers = iter(ask(model, [query for pieces in queries for query in pieces], progress, title))
    told = []
    for masked, pieces in zip(documents, queries, strict=True):
        own = [next(answers) for _ in pieces]
        losses = -np.concatenate([answer.log_probabilities[:, 0] for answer in own])
        told.append(Told(masked.positions, losses, np.concatenate([answer.is_first for answer in own])))
    return told


def loss(told: Sequence[Told], draws: Floats) -> Estimate:
    """The mean loss of all masked tokens; documents are drawn."""
    return clustered_mean(np.concatenate([one.losses for one in told]), _document(told), draws)


def accuracy(told: Sequence[Told], draws: Floats) -> Estimate:
    """The share of masked tokens that are the model's first guess; documents are drawn."""
    return clustered_mean(np.concatenate([one.right for one in told]).astype(np.float64), _document(told), draws)


def gain(short: Sequence[Told], full: Sequence[Told], draws: Floats) -> Estimate:
    """How much lower the loss of the same tokens is with more context: token by token, documents drawn."""
    return clustered_mean(np.concatenate([one.losses - two.losses for one, two in zip(short, full, strict=True)]), _document(short), draws)


def by_position(told: Sequence[Told], edges: Sequence[int] = EDGES) -> dict[str, list[Told]]:
    """`FIRST-END` -> what was told of the tokens from position FIRST on and before END, where there are any."""
    parts = {f"{low}-{high}": [_between(one, low, high) for one in told] for low, high in pairwise(edges)}
    return {name: some for name, some in parts.items() if sum(len(one.positions) for one in some)}


def estimates(told: Mapping[int, Sequence[Told]], draws: Floats) -> dict[str, dict[str, Estimate]]:
    """By number of tokens in sight: `loss`, `accuracy`, and `gain`, how much lower the loss is with the most of them."""
    full = told[max(told)]
    return {
        str(context): {"loss": loss(some, draws), "accuracy": accuracy(some, draws), "gain_of_full": gain(some, full, draws)}
        for context, some in told.items()
    }


def _between(told: Told, low: int, high: int) -> Told:
    here = (told.positions >= low) & (told.positions < high)
    return Told(told.positions[here], told.losses[here], told.right[here])


def _document(told: Sequence[Told]) -> Ints:
    return np.repeat(np.arange(len(told)), [len(one.positions) for one in told])
