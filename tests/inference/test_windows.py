from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.inference.windows import windows


def test_a_document_that_fits_goes_alone():
    assert [(w.start, w.stop, w.take_start, w.take_stop) for w in windows(5, 8)] == [(0, 5, 0, 5)]


def test_two_windows_by_hand():
    assert [(w.start, w.stop, w.take_start, w.take_stop) for w in windows(10, 8)] == [(0, 8, 0, 5), (2, 10, 5, 10)]


@given(st.integers(0, 3000), st.integers(4, 300))
def test_every_token_is_taken_once_from_the_window_that_surrounds_it_best(length, capacity):
    found = windows(length, capacity)
    assert all(w.stop - w.start <= capacity for w in found)
    taken = [token for w in found for token in range(w.take_start, w.take_stop)]
    assert taken == list(range(length))
    for w in found:
        for token in {w.take_start, w.take_stop - 1} if w.take_stop > w.take_start else ():
            reach = [min(token - v.start, v.stop - 1 - token) for v in found if v.start <= token < v.stop]
            inner = len(found) > 1 and found[0].stop <= token < found[-1].start
            if inner:
                assert min(token - w.start, w.stop - 1 - token) >= max(reach) - 1


@given(st.integers(301, 3000), st.integers(8, 300))
def test_neighbours_share_a_quarter(length, capacity):
    found = windows(length, capacity)
    assert all(left.stop - right.start >= capacity // 4 for left, right in pairwise(found))
