"""Signatures and bands, beside exact sets and datasketch."""

import itertools
import random

import numpy as np
import pytest

from clinical_modernbert.corpus import minhash
from clinical_modernbert.corpus.shingles import hash_runs, hash_words

WORDS = ["".join(letters) for letters in itertools.islice(itertools.product("aeiou", "bcdfg", "aeiou", "klmnp", "aeiou", "rst"), 5000)]


def pairs_of_similarity(low: float, high: float, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 150 words and copies in which words are replaced until the exact similarity lies in the range."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        words = rng.choices(WORDS, k=150)
        copy = list(words)
        for place in rng.sample(range(150), rng.randint(1, 12)):
            copy[place] = rng.choice(WORDS)
        if low <= exact(words, copy) <= high:
            found.append((" ".join(words), " ".join(copy)))
    return found


def exact(one: list[str], other: list[str]) -> float:
    sets = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def signatures(texts: list[str]) -> np.ndarray:
    return minhash.sign(hash_runs(hash_words(texts), minhash.SHINGLE_WORDS))


def test_estimates_are_as_near_as_their_formula_says() -> None:
    pairs = pairs_of_similarity(0.7, 0.9, 300)
    one, other = (signatures(list(texts)) & 0xFF for texts in zip(*pairs, strict=True))
    estimates = minhash.similarity(one.astype(np.uint8), other.astype(np.uint8))
    truth = np.array([exact(a.split(), b.split()) for a, b in pairs])
    assert abs((estimates - truth).mean()) < 0.01
    assert (estimates - truth).std() < 1.2 * np.sqrt(truth * (1 - truth) / minhash.PERMUTATIONS).mean()


def test_bands_find_as_many_pairs_as_their_formula_says() -> None:
    bands = minhash.Bands.for_threshold(0.8)
    pairs = pairs_of_similarity(0.79, 0.81, 400)
    one, other = (bands.keys(signatures(list(texts))) for texts in zip(*pairs, strict=True))
    assert (one == other).any(axis=0).mean() == pytest.approx(bands.recall(0.8), abs=0.03)
    assert bands.recall(0.8) >= 0.98


def test_containment_comes_from_similarity_and_sizes() -> None:
    # 80 shingles of which all stand among 100: similarity 0.8
    found = minhash.containment(np.array([0.8]), np.array([80]), np.array([100]))
    assert found.tolist() == pytest.approx([1.0])


def test_datasketch_estimates_the_same_similarity() -> None:
    datasketch = pytest.importorskip("datasketch", reason="datasketch, the oracle, is not installed")
    pairs = pairs_of_similarity(0.6, 0.95, 100)
    theirs = []
    for texts in pairs:
        sketches = []
        for words in (text.split() for text in texts):
            sketches.append(datasketch.MinHash(num_perm=minhash.PERMUTATIONS))
            sketches[-1].update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
        theirs.append(sketches[0].jaccard(sketches[1]))
    one, other = (signatures(list(texts)).astype(np.uint32) & 0xFF for texts in zip(*pairs, strict=True))
    ours = minhash.similarity(one.astype(np.uint8), other.astype(np.uint8))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.8
    assert abs(ours.mean() - np.mean(theirs)) < 0.02
