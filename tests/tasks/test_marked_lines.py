"""Pairs of spans in the lines that hold them."""

from collections import Counter

from clinical_modernbert.formats.document import AnnotatedDocument, Relation, Span
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.reading.marked_lines import NEAR, excerpt, related
from clinical_modernbert.tasks.reading.splitting import own_parts


def span(text: str, words: str) -> Span:
    start = text.index(words)
    return Span.over(text, words, "x", (start, start + len(words)))


def test_near_spans_stand_in_one_stretch_of_lines_and_far_ones_in_their_own() -> None:
    near = "before\nan alpha here\nbetween\nand beta\nafter"
    assert excerpt(near, span(near, "beta"), span(near, "alpha")) == "an [[ alpha ]] here\nbetween\nand << beta >>"
    far = f"an alpha here\n{'-' * (NEAR + 1)}\nand beta\nafter"
    assert excerpt(far, span(far, "alpha"), span(far, "beta")) == "an << alpha >> here ... and [[ beta ]]"
    assert excerpt(far, span(far, "beta")) == "and << beta >>"


def test_relations_are_taken_whatever_their_direction_and_none_is_lost_uncounted() -> None:
    text = "a b c"
    a, b, c = (span(text, letter) for letter in "abc")
    links = (Relation.binary("R", "b", "a"), Relation.binary("S", "a", "b"), Relation.binary("T", "a", "c"))
    counted: Counter[str] = Counter()
    ab, bc = related(AnnotatedDocument("1", text, (a, b, c), links), [(a, b), (b, c)], "none", counted)
    assert (ab.labels, bc.labels, ab.group, ab.text) == (("R",), ("none",), "1", "<< a >> [[ b ]] c")
    assert counted == {"second relation of a pair": 1, "relation of no candidate pair": 1}


def test_parts_of_ones_own_divide_groups_by_eight_one_and_one_tenths() -> None:
    examples = [LabelledText(f"{number}", "x", group=f"{number // 2}") for number in range(2000)]
    parts = own_parts(examples)
    assert [round(len(part) / len(examples), 1) for part in parts] == [0.8, 0.1, 0.1]
    assert sum(map(len, parts)) == 2000
    assert sum(len({example.group for example in part}) for part in parts) == 1000
