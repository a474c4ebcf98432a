import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.batching.samples import copies, cut, make_samples
from clinical_modernbert.errors import ConfigError


def test_cuts_fall_after_line_ends_by_hand():
    assert cut(np.array([2, 6]), length=9, limit=5) == [(0, 3), (3, 7), (7, 9)]
    assert cut(np.array([], dtype=int), length=9, limit=5) == [(0, 5), (5, 9)]
    assert cut(np.array([0]), length=9, limit=5) == [(0, 5), (5, 9)]  # a line end in the first half would waste the row


@given(st.integers(1, 200), st.integers(2, 40), st.sets(st.integers(0, 199)))
def test_pieces_cover_the_document_without_overlap(length, limit, ends):
    pieces = cut(np.array(sorted(ends), dtype=int), length, limit)
    assert [start for start, _ in pieces[1:]] == [stop for _, stop in pieces[:-1]]
    assert (pieces[0][0], pieces[-1][1]) == (0, length)
    assert all(0 < stop - start <= limit for start, stop in pieces)


def test_long_documents_are_cut_and_counted(store, tokenizer):
    samples = make_samples(store, tokenizer.ends_line, 200, {}, seed=0)
    assert samples.lengths.max() <= 200
    assert samples.split_documents == (store.lengths > 198).sum() > 0
    assert samples.hard_cuts == 0  # every line is far shorter than a row
    assert (samples.stop - samples.start).sum() == len(store.tokens)


def test_mixture_repeats_leaves_out_and_takes_shares(store, tokenizer):
    samples = make_samples(store, tokenizer.ends_line, 4096, {"short": 2.5}, seed=0)
    names = [store.source_names[i] for i in store.sources[samples.document]]
    copies = np.bincount(samples.document, minlength=len(store))
    assert set(names) == {"short"}
    assert samples.left_out == (store.sources == store.source_names.index("long")).sum()
    assert set(copies[store.sources == store.source_names.index("short")]) == {2, 3}
    assert len(samples) == pytest.approx(2.5 * (store.sources == 0).sum(), rel=0.1)


def test_an_unknown_source_in_the_mixture_is_an_error(store, tokenizer):
    with pytest.raises(ConfigError, match="'shrot', the corpus has short, long"):
        make_samples(store, tokenizer.ends_line, 64, {"shrot": 1}, seed=0)


def test_temperature_gives_small_sources_their_root_share(store, tokenizer):
    tokens = np.array(store.source_tokens, dtype=float)
    samples = make_samples(store, tokenizer.ends_line, 4096, {}, seed=0, temperature=2.0)
    seen = np.bincount(store.sources[samples.document], samples.stop - samples.start)
    wanted = np.sqrt(tokens) / np.sqrt(tokens).sum()
    assert seen / seen.sum() == pytest.approx(wanted, abs=0.02)
    assert seen[tokens.argmax()] == tokens.max()


def test_temperature_one_changes_nothing():
    weights = np.array([1.0, 0.0, 2.5])
    assert copies(weights, np.array([10, 20, 30]), 1.0) is weights
    assert copies(weights, np.array([10, 20, 30]), 2.0)[1] == 0
