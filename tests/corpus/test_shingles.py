"""Hashed runs of words, beside a plain reading."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.shingles import hash_runs, hash_words

TEXTS = st.lists(st.text(alphabet="ab cß.Ä–'\n2", max_size=30), min_size=1, max_size=6)


def plain_runs(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.casefold())
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@given(TEXTS, st.integers(1, 4))
def test_runs_are_equal_where_their_words_are(texts: list[str], n: int) -> None:
    runs = hash_runs(hash_words(texts), n)
    expected = [run for text in texts for run in plain_runs(text, n)]
    assert np.diff(runs.offsets).tolist() == [len(plain_runs(text, n)) for text in texts]
    names: dict[int, tuple[str, ...]] = {}
    for value, run in zip(runs.hashes.tolist(), expected, strict=True):
        assert names.setdefault(value, run) == run
    assert len(names) == len(set(expected))


@given(TEXTS, st.integers(1, 4))
def test_a_text_has_the_same_runs_in_any_company(texts: list[str], n: int) -> None:
    together = hash_runs(hash_words(texts), n)
    for place, text in enumerate(texts):
        alone = hash_runs(hash_words([text]), n)
        assert alone.hashes.tolist() == together.hashes[together.offsets[place] : together.offsets[place + 1]].tolist()


def test_case_punctuation_and_line_ends_do_not_matter() -> None:
    one, other = (hash_words([text]).hashes.tolist() for text in ("Chest–pain, “acute”;\nno FEVER.", "chest pain acute no fever"))
    assert one == other


def test_no_text_has_no_runs() -> None:
    assert hash_runs(hash_words([]), 5).offsets.tolist() == [0]
    assert hash_runs(hash_words(["", "four words are few"]), 5).offsets.tolist() == [0, 0, 0]
