import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.batching import pack
from clinical_modernbert.errors import DataError


def test_best_fit_by_hand():
    assert pack([5, 3, 2], capacity=6) == [[0], [1, 2]]
    assert pack([4, 4, 3, 3, 2], capacity=8) == [[0, 1], [2, 3, 4]]
    assert pack([], capacity=8) == []


@given(st.lists(st.integers(0, 50), max_size=200))
def test_every_document_is_placed_once_and_fits(lengths):
    rows = pack(lengths, capacity=50)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 50 for row in rows)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_no_two_rows_could_be_one(lengths):
    loads = sorted(sum(lengths[i] for i in row) for row in pack(lengths, capacity=50))
    assert len(loads) < 2 or loads[0] + loads[1] > 50


def test_a_document_longer_than_a_row_is_an_error():
    with pytest.raises(DataError, match="7 tokens"):
        pack([7], capacity=6)
