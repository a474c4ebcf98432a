"""The model: what it says of spans, and the contradictions that it names."""

import dataclasses

import pytest

from clinical_modernbert.formats import AnnotatedDocument, Attribute, Relation, Span, Token

TEXT = "no pain in chest"
PAIN, CHEST = Span("T1", "Problem", ((3, 7),), "pain"), Span.over(TEXT, "T2", "Site", (3, 7), (11, 16))


def faults(**fields: object) -> list[str]:
    return list(dataclasses.replace(AnnotatedDocument("a", TEXT), **fields).faults())  # type: ignore[arg-type]


def test_a_discontinuous_span_has_its_text_joined_by_spaces() -> None:
    assert (CHEST.text, CHEST.start, CHEST.end) == ("pain chest", 3, 16)


def test_a_relation_of_two_has_a_head_and_a_tail() -> None:
    relation = Relation.binary("at", "T1", "T2", "R1")
    assert (relation.head, relation.tail, relation.is_binary, relation.named()) == ("T1", "T2", True, ["T1", "T2"])


def test_a_sound_document_has_no_faults() -> None:
    relations = (Relation.binary("at", "T1", "E1", "R1"), Relation("Event", (("Site", "T2"),), "E1", "T1"))
    attributes = (Attribute("R1", "sure"), Attribute("T1", "Reference", "MESH:D010146", "concept", "Pain", "N1"))
    tokens = (Token(0, 2), Token(3, 7), Token(8, 16))
    assert faults(spans=(PAIN, CHEST), relations=relations, attributes=attributes, tokens=tokens, sentences=((0, 1), (1, 3))) == []


def test_concepts_of_a_relation_are_no_ids_of_spans() -> None:
    assert faults(relations=(Relation.binary("CID", "D1", "D2", between="concepts"),)) == []


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"text": "\ud800"}, "surrogate"),
        ({"spans": (PAIN, PAIN)}, "T1 is used 2 times"),
        ({"spans": (dataclasses.replace(PAIN, id=""),)}, "no id"),
        ({"spans": (dataclasses.replace(PAIN, fragments=()),)}, "T1: an empty or reversed"),
        ({"spans": (dataclasses.replace(PAIN, fragments=((7, 3),)),)}, "T1: an empty or reversed"),
        ({"spans": (dataclasses.replace(PAIN, fragments=((3, 17),)),)}, "T1: a range outside"),
        ({"spans": (dataclasses.replace(PAIN, fragments=((-4, 7),)),)}, "T1: a range outside"),
        ({"spans": (dataclasses.replace(PAIN, fragments=((3, 7), (6, 9))),)}, "T1: ranges that overlap"),
        ({"spans": (dataclasses.replace(PAIN, text="ache"),)}, "T1: its text"),
        ({"relations": (Relation.binary("at", "T1", "T2", "R1"),)}, "relation R1: names an id"),
        ({"relations": (Relation("E", (), "E1", trigger="T1"),)}, "relation E1: names an id"),
        ({"attributes": (Attribute("T1", "negated"),)}, "attribute of number 1: names an id"),
        ({"tokens": (Token(3, 3),)}, "tokens"),
        ({"tokens": (Token(0, 4), Token(3, 7))}, "tokens"),
        ({"tokens": (Token(0, 4),), "sentences": ((0, 2),)}, "sentences"),
        ({"tokens": (Token(0, 1), Token(3, 7)), "sentences": ((1, 2), (0, 1))}, "sentences"),
    ],
)
def test_a_contradiction_is_named_without_text(fields: dict[str, object], fault: str) -> None:
    found = faults(**fields)
    assert any(fault in line for line in found)
    assert not any("pain" in line or "ache" in line for line in found)
