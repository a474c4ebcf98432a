"""Annotated documents of every kind that a format can hold, for hypothesis."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from clinical_modernbert.formats import AnnotatedDocument, Attribute, Label, Relation, Span, Token

Draw = Callable[[st.SearchStrategy[Any]], Any]
NAMES = st.sampled_from(["Drug", "Dose", "Type-2", "Größe"])
VALUES = st.sampled_from(["MESH:D001", "present", "x", "-", "1:2"])
FREE = st.text(alphabet='abβ𝛼 "|&<\t.', max_size=12).map(str.strip)
WORDS = st.text(alphabet='aBβ𝛼."|&<-', min_size=1, max_size=4)


def ranges(draw: Draw, length: int, most: int) -> tuple[tuple[int, int], ...]:
    """Up to `most` ranges of a text that do not overlap."""
    edges = sorted(draw(st.sets(st.integers(0, length), min_size=2, max_size=2 * most)))
    return tuple(zip(edges[: len(edges) // 2 * 2 : 2], edges[1::2], strict=True))


def spans(draw: Draw, text: str, labels: st.SearchStrategy[str], fragments: int = 1) -> tuple[Span, ...]:
    number = draw(st.integers(0, 4)) if text else 0
    return tuple(Span.over(text, f"T{n}", draw(labels), *ranges(draw, len(text), fragments)) for n in range(1, number + 1))


@st.composite
def brat(draw: Draw) -> AnnotatedDocument:
    text = draw(st.text(alphabet="ab β𝛼.\r\n\t", max_size=30))
    found = spans(draw, text, NAMES, fragments=3)
    ids = [span.id for span in found]
    relations: list[Relation] = []
    for n in range(1, draw(st.integers(0, 4)) + 1 if ids else 1):
        arguments = draw(st.lists(st.tuples(NAMES, st.sampled_from(ids)), min_size=2, max_size=2))
        relations.append(
            draw(
                st.sampled_from(
                    [
                        Relation(draw(NAMES), tuple(arguments), f"R{n}"),
                        Relation(draw(NAMES), tuple(arguments[: draw(st.integers(0, 2))]), f"E{n}", draw(st.sampled_from(ids))),
                        Relation("Equiv", tuple(("", id) for _, id in arguments)),
                    ]
                )
            )
        )
    targets = [item.id for item in (*found, *relations) if item.id]
    attributes: list[Attribute] = []
    for n in range(1, draw(st.integers(0, 4)) + 1 if targets else 1):
        target, name = draw(st.sampled_from(targets)), draw(NAMES)
        attributes.append(
            draw(
                st.sampled_from(
                    [
                        Attribute(target, name, draw(FREE), id=f"A{n}"),
                        Attribute(target, name, draw(VALUES), "concept", draw(FREE), f"N{n}"),
                        Attribute(target, name, draw(FREE), "note", id=f"#{n}"),
                    ]
                )
            )
        )
    return AnnotatedDocument("a", text, found, tuple(relations), tuple(attributes))


@st.composite
def pubtator(draw: Draw) -> AnnotatedDocument:
    text = "\n".join(draw(st.lists(st.text(alphabet="ab β𝛼.\t|", max_size=15), min_size=1, max_size=2)))
    found = spans(draw, text, NAMES)
    attributes: list[Attribute] = []
    for span in found:
        values = draw(st.lists(VALUES.filter(lambda value: value != "-"), max_size=3))
        texts = draw(st.sampled_from([[""] * len(values), [f"part {n}" for n in range(len(values))]]))
        attributes += [Attribute(span.id, "Reference", value, "concept", text) for value, text in zip(values, texts, strict=True)]
    concepts = [attribute.value for attribute in attributes]
    relations: list[Relation] = []
    for n in range(1, draw(st.integers(0, 3)) + 1 if concepts else 1):
        head, tail = draw(st.sampled_from(concepts)), draw(st.sampled_from(concepts))
        relations.append(Relation.binary(draw(NAMES), head, tail, f"R{n}", between="concepts"))
        attributes += [Attribute(f"R{n}", "novelty", "Novel")] * draw(st.integers(0, 1))
    return AnnotatedDocument("123", text, found, tuple(relations), tuple(attributes))


@st.composite
def conll(draw: Draw) -> AnnotatedDocument:
    width = draw(st.integers(0, 2))
    sentences = draw(st.lists(st.lists(WORDS, min_size=1, max_size=6), max_size=4))
    text = "\n".join(" ".join(words) for words in sentences)
    tokens: list[Token] = []
    found: list[Span] = []
    edges = [0]
    for words in sentences:
        first = len(tokens)
        for word in words:
            start = tokens[-1].end + 1 if tokens else 0
            tokens.append(
                Token(start, start + len(word), tuple(draw(st.lists(st.sampled_from(["NN", "-X-", ""]), min_size=width, max_size=width))))
            )
        edges.append(len(tokens))
        for start, end in ranges(draw, len(words), 2):
            place = (tokens[first + start].start, tokens[first + end - 1].end)
            found.append(Span.over(text, f"T{len(found) + 1}", draw(NAMES), place))
    return AnnotatedDocument("a (b)", text, tuple(found), tokens=tuple(tokens), sentences=tuple(pairwise(edges)))


@st.composite
def i2b2_2010(draw: Draw) -> AnnotatedDocument:
    lines = draw(st.lists(st.lists(WORDS, max_size=5), max_size=4))
    gap = draw(st.sampled_from([" ", "  ", "\t"]))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(gap.join(words) for words in lines)
    starts = [index for index, letter in enumerate(text) if not letter.isspace() and (index == 0 or text[index - 1].isspace())]
    ends = [index for index in range(1, len(text) + 1) if not text[index - 1].isspace() and (index == len(text) or text[index].isspace())]
    number = draw(st.integers(0, len(starts)))
    places = draw(st.sets(st.tuples(*[st.integers(0, max(len(starts) - 1, 0))] * 2), max_size=number)) if starts else set()
    chosen = sorted((starts[min(place)], ends[max(place)]) for place in {tuple(sorted(place)) for place in places})
    found = tuple(Span.over(text, f"T{n}", draw(NAMES), place) for n, place in enumerate(chosen, start=1))
    said = draw(st.lists(st.sampled_from(found), max_size=3)) if found else []
    pairs = draw(st.lists(st.tuples(*[st.sampled_from(found)] * 2), max_size=3)) if found else []
    relations = tuple(Relation.binary("TrAP", head.id, tail.id, f"R{n}") for n, (head, tail) in enumerate(pairs, start=1))
    attributes = tuple(Attribute(span.id, "assertion", draw(VALUES)) for span in said)
    sizes = [len(words) for words in lines if words]
    edges = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    tokens = tuple(Token(start, end) for start, end in zip(starts, ends, strict=True))
    return AnnotatedDocument("a", text, found, relations, attributes, tokens=tokens, sentences=tuple(pairwise(edges)))


@st.composite
def i2b2_xml(draw: Draw) -> AnnotatedDocument:
    text = draw(st.text(alphabet="ab β𝛼&<]>\r\n\t", max_size=30))
    found = spans(draw, text, st.sampled_from(["NAME:PATIENT", "EVENT:PROBLEM", "DATE"]))
    labels = tuple(Label("HYPERTENSION", id=f"DOC{n}") for n in range(draw(st.integers(0, 1))))
    evidence = tuple(Relation.binary("evidence", labels[0].id, span.id) for span in found[:1] if labels)
    pairs = draw(st.lists(st.tuples(*[st.sampled_from(found)] * 2), max_size=3)) if found else []
    relations = tuple(Relation.binary(draw(st.sampled_from(["BEFORE", ""])), a.id, b.id, f"TL{n}") for n, (a, b) in enumerate(pairs))
    value = st.text(alphabet='ab "&<\n\t', min_size=1, max_size=6)
    attributes = tuple(Attribute(item.id, "time", draw(value)) for item in (*labels, *found) if draw(st.booleans()))
    metadata = draw(st.sampled_from([{}, {"root": "ClinicalNarrativeTemporalAnnotation"}, {"root": "root"}]))
    return AnnotatedDocument("a", text, found, evidence + relations, attributes, labels, metadata=metadata)


@st.composite
def i2b2_2006(draw: Draw) -> AnnotatedDocument:
    text = draw(st.text(alphabet="ab β𝛼&<\r\n\t", max_size=30))
    places = ranges(draw, len(text), 3) if text else ()
    found = tuple(Span.over(text, f"T{n}", draw(NAMES), place) for n, place in enumerate(places, start=1))
    labels = tuple(Label("SMOKING", status) for status in draw(st.lists(st.sampled_from(["UNKNOWN", "NON-SMOKER"]), max_size=1)))
    return AnnotatedDocument("1", text, found, labels=labels)


MADE = {
    "brat": brat(),
    "conll": conll(),
    "i2b2-2006": i2b2_2006(),
    "i2b2-2010": i2b2_2010(),
    "i2b2-xml": i2b2_xml(),
    "pubtator": pubtator(),
}
"""For each format documents that it can hold, with the ids that it would give."""
