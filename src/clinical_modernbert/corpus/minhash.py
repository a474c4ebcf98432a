"""In: hashed shingles of texts. Out: MinHash signatures, and the keys of their bands for locality-sensitive hashing. Next: `resolving`.

A signature's places agree in two texts as often as their sets of shingles have elements in common (Broder 1997): the share of equal places
estimates the Jaccard similarity, with a standard deviation of sqrt(J (1 - J) / permutations).
"""

import math
from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.corpus.shingles import Hashes, Words

SHINGLE_WORDS = 5
PERMUTATIONS = 128
_SEED = 20250404
_SURE = 0.98
"""Share of pairs at the threshold that must meet in at least one band."""

Signatures = npt.NDArray[np.uint8]
"""The lowest byte of each place, (texts, PERMUTATIONS): 128 bytes of a text, equal by chance in one place of 256."""


@dataclass(frozen=True)
class Bands:
    """`count` bands of `rows` places each: two texts of similarity J share one with probability 1 - (1 - J**rows)**count."""

    count: int
    rows: int

    @classmethod
    def for_threshold(cls, threshold: float) -> "Bands":
        """The longest bands that let through no more than 2% of the pairs at `threshold`.

        Example:
            >>> Bands.for_threshold(0.8)
            Bands(count=18, rows=7)
        """
        lengths = range(PERMUTATIONS, 0, -1)
        rows = next((rows for rows in lengths if cls(PERMUTATIONS // rows, rows).recall(threshold) >= _SURE), 1)
        return cls(PERMUTATIONS // rows, rows)

    def recall(self, similarity: float) -> float:
        """Share of the pairs of this similarity that become candidates."""
        return 1 - (1 - similarity**self.rows) ** self.count

    def keys(self, places: npt.NDArray[np.uint32]) -> Hashes:
        """(count, texts) keys: equal where a band's places are."""
        used = places[:, : self.count * self.rows].reshape(len(places), self.count, self.rows).astype(np.uint64)
        keys = np.full(used.shape[:2], 0xCBF29CE484222325, np.uint64)
        with np.errstate(over="ignore"):
            for row in range(self.rows):
                keys = (keys ^ used[:, :, row]) * np.uint64(0x9FB21C651E98DF25)
                keys ^= keys >> np.uint64(29)
        return np.ascontiguousarray(keys.T)


def sign(shingles: Words) -> npt.NDArray[np.uint32]:
    """The signature of each text, (texts, PERMUTATIONS); of a text without a shingle all places are the same."""
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles.hashes, shingles.offsets.astype(np.uint64), PERMUTATIONS, _SEED)
    places = array("I")
    for row in matrix.to_rows():
        places.fromlist(row)
    return np.frombuffer(places, np.uint32).reshape(-1, PERMUTATIONS)


def similarity(one: Signatures, other: Signatures) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarity of each row of `one` with that of `other`."""
    agreement = (one == other).mean(axis=-1)
    estimate: npt.NDArray[np.float64] = np.maximum((agreement - 1 / 256) / (1 - 1 / 256), 0)
    return estimate


def margin(threshold: float) -> float:
    """Two standard deviations of an estimate at `threshold`: what is taken off it, so that 98 of 100 pairs that reach it are found."""
    return 2 * math.sqrt(threshold * (1 - threshold) / PERMUTATIONS)


def containment(jaccard: npt.NDArray[np.float64], own: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of the `own` shingles of a text that the other text with `other` shingles has too, from their similarity."""
    return np.minimum(jaccard / (1 + jaccard) * (own + other) / np.maximum(own, 1), 1)
