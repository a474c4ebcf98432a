"""Windows of a long document -> what it costs a token to stand near a window's edge: it is told again from the middle of another window."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from clinical_modernbert.analysis.cloze import Ints, MaskedModel
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.batching.masking import Masked
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

BINS = (0, 8, 16, 32, 64, 128, 256)
"""Distances from an edge that are looked at together; 64 tokens is as far as one local layer of the published shape sees."""
START = "document's start"
SIDES = ("left edge", "right edge", START)


@dataclass(frozen=True)
class Pair:
    """Two sequences that have masked tokens (M,) in common, each of which stands nearer to an edge in one of them.

    `sequences` are ids between [CLS] and [SEP]; `places` (M, 2) says where the tokens stand in each, `near` (M,) in which one they stand
    near an edge, `side` (M,) which of `SIDES` that is, `distance` (M,) how many tokens are between, `labels` (M,) what the tokens are.
    """

    sequences: tuple[Ints, Ints]
    places: Ints
    near: Ints
    side: Ints
    distance: Ints
    labels: Ints


@dataclass(frozen=True)
class Seen:
    """What became of the tokens of a pair (M,): loss near less loss far, 1 - cosine of the two states, and of the states of two tokens."""

    side: Ints
    distance: Ints
    loss: Floats
    state: Floats
    state_of_others: Floats


def pairs(masked: Masked, window: int, tokenizer: Tokenizer) -> list[Pair]:
    """Windows of `window` tokens, half a window apart; each token of an overlap is near an edge in one of the two and far in the other."""
    half, found = window // 2, []
    for start in range(0, len(masked.input_ids) - window - half + 1, half):
        here = (masked.positions >= start + half) & (masked.positions < start + window)
        in_second = masked.positions[here] - start - half
        in_first = in_second + half
        near = (in_second < half // 2).astype(np.int64)  # the second window's left edge, else the first one's right edge
        found.append(
            Pair(
                (tokenizer.wrap(masked.input_ids[start : start + window]), tokenizer.wrap(masked.input_ids[start + half :][:window])),
                np.stack([in_first, in_second], 1) + 1,
                near,
                np.where(near == 1, SIDES.index("left edge"), SIDES.index("right edge")),
                np.where(near == 1, in_second, window - 1 - in_first),
                masked.labels[here],
            )
        )
    return found


def start_pair(masked: Masked, before: Ints, length: int, tokenizer: Tokenizer) -> Pair:
    """The first `length` tokens of a document, alone and behind another document's text."""
    here = masked.positions < length
    at = masked.positions[here]
    beginning = masked.input_ids[:length]
    return Pair(
        (tokenizer.wrap(beginning), tokenizer.wrap(np.concatenate([before, beginning]))),
        np.stack([at, at + len(before)], 1) + 1,
        np.zeros(len(at), np.int64),
        np.full(len(at), SIDES.index(START)),
        at,
        masked.labels[here],
    )


def see(model: MaskedModel, asked: Sequence[Sequence[Pair]], *, progress: Progress = silent, title: str = "Edges") -> list[list[Seen]]:
    """What becomes of the tokens of each document's pairs."""
    found = []
    with progress(title, total=len(asked), unit="documents") as advance:
        for of_document in asked:
            found.append([_seen(model, pair) for pair in of_document])
            advance(1)
    return found


def _seen(model: MaskedModel, pair: Pair) -> Seen:
    rows = np.arange(len(pair.labels))
    both = np.stack([states[at] for states, at in zip(model.states(pair.sequences), pair.places.T, strict=True)])
    chances = np.stack([model.log_probabilities(states)[rows, pair.labels].astype(np.float64) for states in both])
    units = both.astype(np.float64) / np.maximum(np.linalg.norm(both, axis=2, keepdims=True), 1e-12)
    near, far = pair.near, 1 - pair.near
    state, other = units[near, rows], units[far, rows]
    return Seen(
        pair.side,
        pair.distance,
        chances[far, rows] - chances[near, rows],
        1 - (state * other).sum(1),
        1 - (state * np.roll(other, 1, axis=0)).sum(1),
    )


def estimates(seen: Sequence[Sequence[Seen]], draws: Floats) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Side -> `FIRST-END` tokens from the edge -> the means of `loss`, `state` and `state_of_others`; documents are drawn."""
    flat = [one for some in seen for one in some]
    document = np.concatenate([np.full(len(one.side), number) for number, some in enumerate(seen) for one in some])
    columns = {
        name: np.concatenate([getattr(one, name) for one in flat]) for name in ("side", "distance", "loss", "state", "state_of_others")
    }
    result: dict[str, dict[str, dict[str, Estimate]]] = {}
    for (number, side), (low, high) in product(enumerate(SIDES), pairwise(BINS)):
        here = (columns["side"] == number) & (columns["distance"] >= low) & (columns["distance"] < high)
        if here.any():
            result.setdefault(side, {})[f"{low}-{high}"] = {
                name: clustered_mean(columns[name][here], document[here], draws) for name in ("loss", "state", "state_of_others")
            }
    return result
