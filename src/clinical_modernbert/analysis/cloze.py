"""Masked places -> log-probabilities of chosen ids: what every section that asks a model behind masks is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, UNTRAINED_SEEDS, Subject
from clinical_modernbert.batching.packing import pack
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder, TaskEncoder
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress
from clinical_modernbert.tokenization import Tokenizer

Ints = npt.NDArray[np.int64]
Item = TypeVar("Item")
Result = TypeVar("Result")

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


def fills_masks(encoder: Encoder) -> bool:
    """Whether it is a ModernBERT with a masked-language head."""
    ours = isinstance(encoder.model, ModernBertForMaskedLM) and isinstance(encoder.tokenizer, Tokenizer)
    return ours and not isinstance(encoder, TaskEncoder)


def masked_tokenizer(encoder: Encoder) -> Tokenizer:
    """The tokenizer of a model that fills masks.

    Raises:
        ConfigError: it fills none.
    """
    if not fills_masks(encoder) or not isinstance(encoder.tokenizer, Tokenizer):
        raise ConfigError("this model is no ModernBERT with a masked-language head, so it fills no masks. Use one that is.")
    return encoder.tokenizer


def contenders(subject: Subject) -> tuple[list[Contender], list[str]]:
    """The model, the references that fill masks and the model's shape untrained; and the names of the references that fill none.

    Raises:
        ConfigError: the model fills no masks.
    """
    found = [_contender(MODEL, subject.encoder)]
    found += [_contender(name, encoder) for name, encoder in subject.compared.items() if fills_masks(encoder)]
    left_out = [name for name, encoder in subject.compared.items() if not fills_masks(encoder)]
    untrained = tuple(subject.encoder.untrained(seed) for seed in UNTRAINED_SEEDS)
    return [*found, replace(found[0], name=UNTRAINED, models=untrained)], left_out


def _contender(name: str, encoder: Encoder) -> Contender:
    return Contender(name, (encoder,), masked_tokenizer(encoder), encoder.model.config.max_position_embeddings)


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
