"""Models whose knowledge is known: their state at a token is what they say behind a mask there."""

from collections.abc import Callable, Sequence

import numpy as np

from clinical_modernbert.tokenization import Tokenizer


class Saying:
    """Says at each masked place what `scores(ids, place)` (ids of the tokenizer,) makes of the sequence; nothing elsewhere."""

    def __init__(self, tokenizer: Tokenizer, scores: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self._tokenizer, self._scores = tokenizer, scores

    def states(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = []
        for ids in sequences:
            states = np.full((len(ids), len(self._tokenizer)), -np.log(len(self._tokenizer)), np.float32)
            for place in np.flatnonzero(ids == self._tokenizer.mask_id):
                scores = self._scores(ids, int(place))
                states[place] = scores - np.logaddexp.reduce(scores)
            found.append(states)
        return found

    def log_probabilities(self, states: np.ndarray) -> np.ndarray:
        return states


def ignoring(tokenizer: Tokenizer, seed: int = 0) -> Saying:
    """Believes some tokens likelier than others, whatever the text says."""
    belief = np.random.default_rng(seed).normal(size=len(tokenizer))
    return Saying(tokenizer, lambda ids, place: belief)


def copying(tokenizer: Tokenizer, reach: int = 10**9, seed: int = 0) -> Saying:
    """As `ignoring`, but believes in tokens that stand within `reach` tokens of the place."""
    belief = np.random.default_rng(seed).normal(size=len(tokenizer))

    def scores(ids: np.ndarray, place: int) -> np.ndarray:
        raised = belief.copy()
        raised[ids[max(0, place - reach) : place + reach]] += 4
        return raised

    return Saying(tokenizer, scores)


def repeating(tokenizer: Tokenizer, known: int = 3) -> Saying:
    """Looks up how the text went on where the `known` tokens before the hidden ones stood already."""

    def scores(ids: np.ndarray, place: int) -> np.ndarray:
        found, start = np.zeros(len(tokenizer)), place
        while ids[start - 1] == tokenizer.mask_id:
            start -= 1
        before = ids[start - known : start]
        for at in range(known, start):
            if (ids[at - known : at] == before).all():
                found[ids[at + place - start]] += 10
        return found

    return Saying(tokenizer, scores)
