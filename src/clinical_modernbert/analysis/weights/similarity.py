"""States of the same characters in several layers and models -> how alike their geometry is (linear CKA, Kornblith et al. 2019)."""

# B documents, P characters, D hidden

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.layers import AllLayers
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.progress import Progress, silent

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

CHARACTERS = 24
"""Characters of each document at which states are compared."""


def choose_characters(lengths: Sequence[int], seed: int, number: int = CHARACTERS) -> list[Ints]:
    """For each document of so many characters, some of them by chance, in order."""
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(length)[:number]) for length in lengths]


def states_at(encoder: AllLayers, texts: Sequence[str], characters: Sequence[Ints], progress: Progress = silent) -> Vectors:
    """(states, sum of characters, D): the states of the tokens that these characters belong to, whatever the tokenizer."""
    found = []
    with progress("Reading states of all layers", total=len(texts), unit="documents") as advance:
        for text, places in zip(texts, characters, strict=True):
            (tokens,) = encoder.encode_tokens([text])
            nearest = np.searchsorted(tokens.offsets[:, 1], places, side="right").clip(max=len(tokens.offsets) - 1)
            found.append(encoder.by_layer(tokens.vectors[nearest]))
            advance(1)
    return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Gram:
    """Inner products (P, P) of centred states, and what CKA needs of them alone."""

    products: Vectors
    blocks: Floats

    @classmethod
    def of(cls, states: Vectors, document: Ints) -> "Gram":
        """Of states (P, D), each from the document (P,) of this number."""
        centred = states - states.mean(0, dtype=np.float64).astype(np.float32)
        products = centred @ centred.T
        return cls(
            products / np.float32(np.linalg.norm(products)),
            _by_document(products, products, document) / float(np.linalg.norm(products)) ** 2,
        )


def cka(one: Gram, other: Gram, document: Ints, draws: Floats) -> Estimate:
    """Linear CKA: 1 where one is the other rotated and scaled; whole documents are drawn, with the means of the whole sample.

    `draws` are those of `statistics.draw` over documents.
    """
    cross = _by_document(one.products, other.products, document)
    together, alone, alike = (_drawn(blocks, draws) for blocks in (cross, one.blocks, other.blocks))
    return Estimate(float(cross.sum() / np.sqrt(one.blocks.sum() * other.blocks.sum())), together / np.sqrt(alone * alike))


def _drawn(blocks: Floats, draws: Floats) -> Floats:
    """The sum of blocks on each draw; a document that was drawn twice is not compared with its own copy, which is like nothing else."""
    pairs = np.einsum("nb,bc,nc->n", draws, blocks, draws)
    drawn: Floats = pairs - (draws**2 - draws) @ np.diagonal(blocks)
    return drawn


def _by_document(one: Vectors, other: Vectors, document: Ints) -> Floats:
    """(B, B): sums over the characters of each pair of documents of the products of two Gram matrices."""
    starts = np.flatnonzero(np.diff(document, prepend=-1))
    rows = np.add.reduceat(one.astype(np.float64) * other, starts, axis=0)
    blocks: Floats = np.add.reduceat(rows, starts, axis=1)
    return blocks
