"""Documents -> samples: how often each document comes in an epoch, and where a long one is cut. Pure functions of ids and lengths."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.batching.store import TokenStore
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE


@dataclass(frozen=True)
class Samples:
    """Pieces of documents that fit a row: `document`, and its tokens [start, stop) without special ones.

    `left_out` documents of the store do not come; `split_documents` were longer than a row, and `hard_cuts` of their pieces do not end
    at a line end.
    """

    document: Ints
    start: Ints
    stop: Ints
    left_out: int
    split_documents: int
    hard_cuts: int

    def __len__(self) -> int:
        return len(self.document)

    @property
    def lengths(self) -> Ints:
        """Tokens of each sample in a row, special ones included."""
        return self.stop - self.start + SPECIAL_TOKENS_PER_SEQUENCE


def cut(line_ends: Ints, length: int, limit: int) -> list[tuple[int, int]]:
    """Cut a document of `length` tokens into pieces of at most `limit`, after a line end where the piece's second half has one.

    `line_ends` are the positions, ascending, of tokens that end a line.

    Example:
        >>> cut(np.array([2, 6]), length=9, limit=5)
        [(0, 3), (3, 7), (7, 9)]
    """
    pieces = []
    start = 0
    while length - start > limit:
        last = np.searchsorted(line_ends, start + limit) - 1
        at_line_end = last >= 0 and line_ends[last] >= start + limit // 2
        stop = int(line_ends[last]) + 1 if at_line_end else start + limit
        pieces.append((start, stop))
        start = stop
    return [*pieces, (start, length)]


def make_samples(
    store: TokenStore, ends_line: np.ndarray, max_tokens: int, mixture: Mapping[str, float], seed: int, temperature: float = 1.0
) -> Samples:
    """All samples of one epoch, in the store's order.

    `mixture` maps a source to how often its documents come (2.5: twice, and half of them a third time, the same half in every epoch,
    chosen by `seed`); an empty one takes every source once, otherwise a source that is not named is left out. For `temperature` see
    `copies`.

    Raises:
        ConfigError: `mixture` names a source that the store lacks, or nothing is left.
    """
    unknown = sorted(set(mixture) - set(store.source_names))
    if unknown:
        raise ConfigError(f"mixture names {unknown[0]!r}, the corpus has {', '.join(store.source_names)}. Correct the recipe.")
    weights = np.array([mixture.get(name, 0.0) if mixture else 1.0 for name in store.source_names])
    tokens = np.bincount(store.sources, store.lengths, minlength=len(weights))
    times = copies(weights, tokens, temperature)[store.sources] + np.random.default_rng(seed).random(len(store))
    chosen = np.repeat(np.arange(len(store)), times.astype(np.int64))
    if not len(chosen):
        remedy = "Name its sources in the mixture" if len(store) else "Build a corpus with training documents"
        raise ConfigError(f"no document is left to train on ({len(store)} in the corpus, mixture {dict(mixture)}). {remedy}.")
    limit = max_tokens - SPECIAL_TOKENS_PER_SEQUENCE
    lengths = store.lengths[chosen]
    fits = lengths <= limit
    long = {int(document): _cut_document(store, int(document), ends_line, limit) for document in np.unique(chosen[~fits])}
    parts = [(chosen[fits], np.zeros(int(fits.sum()), dtype=np.int64), lengths[fits])]
    for document in chosen[~fits]:
        pieces = np.array(long[int(document)], dtype=np.int64)
        parts.append((np.full(len(pieces), document), pieces[:, 0], pieces[:, 1]))
    document, start, stop = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Samples(
        document,
        start,
        stop,
        left_out=len(store) - len(np.unique(chosen)),
        split_documents=len(long),
        hard_cuts=sum(_hard_cuts(store, d, pieces, ends_line) for d, pieces in long.items()),
    )


def copies(weights: np.ndarray, tokens: np.ndarray, temperature: float) -> np.ndarray:
    """How often the documents of each source come in an epoch, from `weights`, the same at temperature 1, and the sources' tokens.

    A source that weights give a share p of the tokens gets one in proportion to p^(1/temperature); the largest comes as often as before
    (Devlin et al. 2019, multilingual BERT; Conneau et al. 2020).

    Example:
        >>> copies(np.array([1.0, 1.0]), np.array([900, 100]), temperature=2.0).tolist()
        [1.0, 3.0]
    """
    weighted = weights * tokens
    if temperature == 1 or not weighted.any():
        return weights
    shares = np.where(weighted > 0, weighted, 1) / weighted.max()
    return np.where(weighted > 0, weights * shares ** (1 / temperature - 1), weights)


def _cut_document(store: TokenStore, document: int, ends_line: np.ndarray, limit: int) -> list[tuple[int, int]]:
    ids = store.ids(document)
    return cut(np.flatnonzero(ends_line[ids]), len(ids), limit)


def _hard_cuts(store: TokenStore, document: int, pieces: list[tuple[int, int]], ends_line: np.ndarray) -> int:
    ids = store.ids(document)
    return sum(not ends_line[ids[stop - 1]] for _, stop in pieces[:-1])
