"""Masked places -> log-probabilities of chosen ids: what every section that asks a model behind masks is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.batching.packing import pack
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress
from clinical_modernbert.tokenization import Tokenizer

Ints = npt.NDArray[np.int64]
Item = TypeVar("Item")
Result = TypeVar("Result")

UNTRAINED_SEEDS = (0, 1, 2)
ROW_TOKENS = 8192
"""Tokens that go through a model at once."""
_PLACES = 1024
"""Places whose log-probabilities over the whole vocabulary are in memory at once."""


class MaskedModel(Protocol):
    """What is asked: an `Encoder` that fills masks, or in tests anything that answers like one."""

    def states(self, sequences: Sequence[Ints]) -> list[npt.NDArray[np.float32]]:
        """See `Encoder.states`."""

    def log_probabilities(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Encoder.log_probabilities`."""


@dataclass(frozen=True)
class Query:
    """A sequence with hidden tokens: `ids` (T,) between [CLS] and [SEP]; at `places` (P,) the ids `targets` (P, C) are asked for."""

    ids: Ints
    places: Ints
    targets: Ints


@dataclass(frozen=True)
class Answer:
    """Log-probabilities (P, C) of a query's targets, and whether the first of them is the model's first guess (P,)."""

    log_probabilities: Floats
    is_first: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Contender:
    """One column of a comparison; of several models, such as one shape under several seeds, each is asked its share of the questions.

    `context` is how many tokens the models take, [CLS] and [SEP] included.
    """

    name: str
    models: tuple[MaskedModel, ...]
    tokenizer: Tokenizer
    context: int

    def spread(self, items: Sequence[Item], measure: Callable[[MaskedModel, Sequence[Item]], list[Result]]) -> list[Result]:
        """What `measure` makes of each of `items`, in their order: the models take turns."""
        results: dict[int, Result] = {}
        for number, model in enumerate(self.models):
            own = range(number, len(items), len(self.models))
            results.update(zip(own, measure(model, [items[i] for i in own]), strict=True))
        return [results[i] for i in range(len(items))]


def contenders(subject: Subject) -> tuple[list[Contender], list[str]]:
    """The model, the references that fill masks and the model's shape untrained; and the names of the references that fill none.

    Raises:
        ConfigError: the model fills no masks.
    """
    found, left_out = [_contender(MODEL, subject.encoder)], []
    for name, encoder in subject.compared.items():
        try:
            found.append(_contender(name, encoder))
        except ConfigError:
            left_out.append(name)
    untrained = tuple(subject.encoder.untrained(seed) for seed in UNTRAINED_SEEDS)
    return [*found, replace(found[0], name=UNTRAINED, models=untrained)], left_out


def _contender(name: str, encoder: Encoder) -> Contender:
    config = encoder.model.config
    encoder.log_probabilities(np.zeros((1, config.hidden_size), np.float32))  # raises where there is no head for masks
    assert isinstance(encoder.tokenizer, Tokenizer)
    return Contender(name, (encoder,), encoder.tokenizer, config.max_position_embeddings)


def ask(model: MaskedModel, queries: Sequence[Query], progress: Progress, title: str) -> list[Answer]:
    """The answers to `queries`, which go through the model in rows of about `ROW_TOKENS`, those of equal length side by side."""
    lengths = [len(query.ids) for query in queries]
    answers: dict[int, Answer] = {}
    with progress(title, total=sum(lengths), unit="tokens") as advance:
        for row in pack(lengths, max([ROW_TOKENS, *lengths])):
            some = sorted(row, key=lambda i: -lengths[i])
            hidden = model.states([queries[i].ids for i in some])
            picked = np.concatenate([states[queries[i].places] for i, states in zip(some, hidden, strict=True)])
            targets = [queries[i].targets for i in some]
            answers.update(zip(some, _read(model, picked, targets), strict=True))
            advance(sum(lengths[i] for i in some))
    return [answers[i] for i in range(len(queries))]


def _read(model: MaskedModel, states: npt.NDArray[np.float32], targets: Sequence[Ints]) -> list[Answer]:
    """The answers where the states of all queries, one below the other, are `states` (places, hidden)."""
    width = max((each.shape[1] for each in targets), default=0)
    wanted = np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1])), mode="edge") for each in targets])
    found, first = np.empty(wanted.shape), np.empty(len(wanted), bool)
    for part in (slice(start, start + _PLACES) for start in range(0, len(wanted), _PLACES)):
        scores = model.log_probabilities(states[part])
        found[part] = np.take_along_axis(scores, wanted[part], 1)
        first[part] = scores.argmax(1) == wanted[part, 0]
    edges = np.cumsum([len(each) for each in targets])[:-1]
    return [
        Answer(scores[:, : each.shape[1]], hits)
        for each, scores, hits in zip(targets, np.split(found, edges), np.split(first, edges), strict=True)
    ]
