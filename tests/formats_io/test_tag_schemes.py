"""Tags of four schemes, read as CoNLL's evaluation script reads them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import Scheme, TokenSpan, decode_tags, detect_scheme, encode_tags

SPANS = [(1, 2, "A"), (2, 4, "A"), (4, 5, "B"), (6, 9, "A")]
TAGS = {
    "BIO": "O B-A B-A I-A B-B O B-A I-A I-A",
    "IOB1": "O I-A B-A I-A I-B O I-A I-A I-A",
    "IOBES": "O S-A B-A E-A S-B O B-A I-A E-A",
    "BILOU": "O U-A B-A L-A U-B O B-A I-A L-A",
}


def reference(tags: list[str]) -> list[TokenSpan]:
    """conlleval's two tables, applied to the pairs of neighbours."""
    split = [("O", "")] + [((tag[0].translate(str.maketrans("LU", "ES"))), tag[2:]) for tag in tags] + [("O", "")]
    found: list[TokenSpan] = []
    begun = 0
    for index, ((before, old), (now, new)) in enumerate(pairwise(split)):
        ends = before != "O" and (now in "BSO" or before in "ES" or old != new)
        starts = now != "O" and (now in "BS" or before in "OES" or old != new)
        if ends:
            found.append(TokenSpan(begun, index, old))
        if starts:
            begun = index
    return found


@pytest.mark.parametrize("scheme", TAGS)
def test_each_scheme_writes_and_reads_the_same_spans(scheme: Scheme) -> None:
    assert encode_tags(SPANS, 9, scheme) == TAGS[scheme].split()
    assert decode_tags(TAGS[scheme].split()) == SPANS
    assert detect_scheme([TAGS[scheme].split()]) == scheme


@given(st.lists(st.sampled_from(["O", *(f"{prefix}-{label}" for prefix in "BIESLU" for label in "XY")]), max_size=12))
def test_any_tags_are_read_as_conlleval_does(tags: list[str]) -> None:
    assert decode_tags(tags) == reference(tags)
    assert sum(span.end - span.start for span in decode_tags(tags)) == sum(tag != "O" for tag in tags)


@given(st.data(), st.sampled_from(sorted(TAGS)))
def test_spans_survive_every_scheme(data: st.DataObject, scheme: Scheme) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, 20), max_size=8)))
    spans = [TokenSpan(start, end, data.draw(st.sampled_from(["A", "B-1", ""]))) for start, end in pairwise(edges)]
    spans = [span for span in spans if data.draw(st.booleans())]
    assert decode_tags(encode_tags(spans, 20, scheme)) == spans


@pytest.mark.parametrize("tags", ["B-A I-B", "I-A O", "E-A I-A", "O I-A"])
def test_an_inside_tag_that_goes_on_with_nothing_begins_a_span(tags: str) -> None:
    assert [span.start for span in decode_tags(tags.split())] == [index for index, tag in enumerate(tags.split()) if tag != "O"]


@pytest.mark.parametrize("tag", ["", "X", "X-A", "B-", "BA", "o", "B_A", "OO"])
def test_what_is_no_tag_is_one_error(tag: str) -> None:
    with pytest.raises(DataError, match="token 1"):
        decode_tags(["O", tag])
    with pytest.raises(DataError, match="token 1"):
        detect_scheme([["O", tag]])


@pytest.mark.parametrize("spans", [[(0, 2, "A"), (1, 3, "A")], [(0, 0, "A")], [(2, 1, "A")], [(-1, 1, "A")], [(3, 5, "A")]])
def test_spans_that_no_tags_can_say_are_one_error(spans: list[tuple[int, int, str]]) -> None:
    with pytest.raises(DataError, match="overlap, are empty or stand outside"):
        encode_tags(spans, 4)
