"""Tags that the scheme allows, and nothing lost between spans and tags."""

import unicodedata
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_modernbert.inference.spans import Span, allowed, best_tags, decode, spans_of, tags_for, tags_of, words_of

TAGS = tags_of(["x", "y"])
WORDS = [(0, 2), (3, 5), (5, 6), (7, 9)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_the_best_sequence_is_that_of_trying_all(rows: list[list[float]]) -> None:
    scores = np.array(rows)
    may = allowed(TAGS)
    best = max(
        (path for path in product(range(5), repeat=len(rows)) if may[0, path[0]] and all(may[a, b] for a, b in pairwise(path))),
        key=lambda path: sum(scores[word, tag] for word, tag in enumerate(path)),
    )
    found = best_tags(scores, TAGS)
    assert np.isclose(scores[range(len(rows)), found].sum(), scores[range(len(rows)), list(best)].sum())
    assert may[0, found[0]]
    assert all(may[a, b] for a, b in pairwise(found))


def test_spans_become_tags_and_come_back() -> None:
    spans = [Span(0, 5, "x"), Span(5, 6, "x"), Span(7, 9, "y")]
    tags, lost = tags_for(spans, WORDS, TAGS)
    assert [TAGS[tag] for tag in tags] == ["B-x", "I-x", "B-x", "B-y"]
    assert lost == 0
    assert spans_of(tags.tolist(), TAGS, WORDS) == spans


@pytest.mark.parametrize("label", ["", "Gene"])
def test_a_label_without_a_name_is_decoded_like_any_other(label: str) -> None:
    scores = np.array([[5.0, 0, 0], [0, 2, 3], [0, 0, 3]])
    assert decode(scores, tags_of([label]), WORDS[:3]) == [Span(3, 6, label)]
    assert decode(scores[1:], tags_of([label]), WORDS[:2]) == [Span(0, 5, label)]


def test_what_tags_cannot_say_is_counted() -> None:
    overlapping = [Span(0, 5, "x"), Span(3, 6, "y"), Span(2, 3, "y")]
    tags, lost = tags_for(overlapping, WORDS, TAGS)
    assert lost == 2
    assert [TAGS[tag] for tag in tags] == ["B-x", "I-x", "O", "O"]


def test_a_text_without_words_has_no_tags() -> None:
    assert len(best_tags(np.zeros((0, 5)), TAGS)) == 0
    assert tags_for([Span(0, 1, "x")], [], TAGS)[1] == 1


def test_a_span_has_the_mean_probability_of_its_words_tags() -> None:
    scores = np.log(np.array([[0.2, 0.7, 0.1], [0.3, 0.1, 0.6], [0.9, 0.05, 0.05]]))
    (span,) = decode(scores, tags_of(["Drug"]), [(0, 3), (4, 9), (10, 12)])
    assert (span.start, span.end, span.label) == (0, 9, "Drug")
    assert span.score is not None
    assert np.isclose(span.score, (0.7 + 0.6) / 2)
    assert span == Span(0, 9, "Drug")


def test_accents_of_their_own_do_not_cut_a_word() -> None:
    text = "Fièvre à 38,5 °C; Größe naïve."
    apart = unicodedata.normalize("NFD", text)
    assert len(apart) > len(text)
    assert [unicodedata.normalize("NFC", apart[start:end]) for start, end in words_of(apart)] == [text[a:b] for a, b in words_of(text)]


def test_a_span_of_a_label_without_a_tag_is_counted() -> None:
    tags, lost = tags_for([Span(0, 2, "z"), Span(3, 5, "x")], WORDS, TAGS)
    assert lost == 1
    assert [TAGS[tag] for tag in tags] == ["O", "B-x", "O", "O"]
