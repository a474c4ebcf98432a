"""In: one line of an `.ann` file, or a document. Out: the annotation, or its lines. Next: `brat`."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Label, Relation, Span, ranges_fault, says
from clinical_modernbert.formats.references import without_dangling
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of

_Item: TypeAlias = Span | Relation | Attribute
_LETTERS = {"attribute": "AM", "concept": "N", "note": "#"}
_NO_BREAKS = str.maketrans("\r\n\t", "   ")
_BOUND = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)\t(.*)", re.DOTALL)
_SAID = re.compile(r"(\S+) (\S+)(?: (.*\S))?\s*")
_LINK = re.compile(r"(\S+) (?:Annotation:)?(\S+) (?:Referent:)?(\S+)(?:\t(.*))?")
_LINK_REVERSED = re.compile(r"(\S+) Referent:(\S+) Annotation:(\S+)")
_NOTE = re.compile(r"(\S+) (\S+)(?:\t(.*))?")


def parsed(id: str, data: str, text: str) -> Span | Relation | Attribute:
    """The annotation of a line, `data` being what stands behind its id and tab.

    Raises:
        Refused: it is none, or does not fit the text.
    """
    return _span(id, data, text) if id.startswith("T") else _PARSERS[id[0]](id, data)


def missing_text(id: str, data: str) -> int:
    """How many characters a span's text has less than its ranges; 0 for other annotations."""
    bound = _BOUND.fullmatch(data) if id.startswith("T") else None
    return sum(end - start for start, end in _ranges(bound[2])) - len(bound[3]) if bound else 0


def written(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> Iterator[str]:
    """One line for each annotation that BRAT can hold."""
    spans: list[Span] = []
    others: list[tuple[Callable[[str], Refusal], Relation | Attribute]] = []
    for item in document.annotations():
        place = part_of(folder, document, item)
        if isinstance(item, Label):
            on_refusal(place("BRAT has no labels of whole documents"))
        elif fault := _fault(item):
            on_refusal(place(fault))
        elif isinstance(item, Span):
            spans.append(item)
        else:
            others.append((place, item))
    known = {span.id for span in spans} | {item.id for _, item in others if item.id}
    items: list[_Item] = [*spans, *without_dangling(others, known, on_refusal)]
    numbered = list(zip(items, _ids(items), strict=True))
    ids = {item.id: id for item, id in numbered if item.id}
    yield from (f"{id}\t{_line(item, ids)}" for item, id in numbered)


def _ranges(written: str) -> list[tuple[int, int]]:
    return [(int(start), int(end)) for start, end in (part.split(" ") for part in written.split(";"))]


def _span(id: str, data: str, text: str) -> Span:
    bound = _BOUND.fullmatch(data)
    if not bound:
        raise Refused("not `TYPE START END`, a tab and the text")
    fragments = _ranges(bound[2])
    if fault := ranges_fault(fragments, len(text)):
        raise Refused(fault)
    unspaced = "".join(text[start:end] for start, end in fragments) if len(fragments) > 1 else ""  # as BRAT joined them before version 1.3
    if not says(text, fragments, bound[3]) and not (unspaced and says(unspaced, [(0, len(unspaced))], bound[3])):
        raise Refused("its text is not what stands at its offsets")
    return Span.over(text, id, bound[1], *fragments)


def _relation(id: str, data: str) -> Relation:
    label, arguments = _split(data)
    pairs = _arguments(arguments)
    if len(pairs) != 2:
        raise Refused("not `TYPE ROLE:ID ROLE:ID`")
    return Relation(label, pairs, id)


def _event(id: str, data: str) -> Relation:
    stated, arguments = _split(data)
    ((label, trigger),) = _arguments([stated])
    return Relation(label, _arguments(arguments), id, trigger)


def _equals(id: str, data: str) -> Relation:
    label, members = _split(data)
    if len(members) < 2:
        raise Refused("not `TYPE ID ID ...`")
    return Relation(label, tuple(("", id) for id in members))


def _split(data: str) -> tuple[str, list[str]]:
    first, *rest = data.split() or [""]
    return first, rest


def _arguments(parts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [part.rpartition(":") for part in parts]
    if not all(role and id for role, _, id in pairs):
        raise Refused("not `ROLE:ID`")
    return tuple((role, id) for role, _, id in pairs)


def _attribute(id: str, data: str) -> Attribute:
    said = _SAID.fullmatch(data)
    if not said:
        raise Refused("not `NAME ID` or `NAME ID VALUE`")
    return Attribute(said[2], said[1], said[3] or "", id=id)


def _link(id: str, data: str) -> Attribute:
    if swapped := _LINK_REVERSED.fullmatch(data):
        return Attribute(swapped[3], swapped[1], swapped[2], "concept", id=id)
    link = _LINK.fullmatch(data)
    if not link:
        raise Refused("not `NAME ID VOCABULARY:ENTRY`")
    return Attribute(link[2], link[1], link[3], "concept", link[4] or "", id)


def _note(id: str, data: str) -> Attribute:
    note = _NOTE.fullmatch(data)
    if not note:
        raise Refused("not `NAME ID`, a tab and the note")
    return Attribute(note[2], note[1], note[3] or "", "note", id=id)


_PARSERS: Mapping[str, Callable[[str, str], Relation | Attribute]] = {
    "R": _relation,
    "E": _event,
    "*": _equals,
    "A": _attribute,
    "M": _attribute,
    "N": _link,
    "#": _note,
}


def _fault(item: _Item) -> str | None:
    """Why BRAT cannot hold this, or None."""
    if isinstance(item, Attribute):
        names = [item.name, item.value] if item.kind == "concept" else [item.name]
        free = item.text if item.kind == "concept" else item.value
    else:
        names, free = [item.label], ""
    if isinstance(item, Relation):
        roles = [role for role, _ in item.arguments]
        equals = len(roles) > 1 and not any(roles) and not item.trigger
        if item.between == "concepts":
            return "BRAT has no relations between concepts"
        if not equals and not item.trigger and len(roles) != 2:
            return "neither two arguments nor a trigger"
        names += [] if equals else roles
    if not all(re.fullmatch(r"\S+", name) for name in names):
        return "a label, name or value that is empty or holds white space"
    if "\n" in free or "\r" in free or (isinstance(item, Attribute) and item.kind == "attribute" and free != free.strip()):
        return "a value of several lines or with white space around it"
    return None


def _letters(item: _Item) -> str:
    if isinstance(item, Attribute):
        return _LETTERS[item.kind]
    if isinstance(item, Span):
        return "T"
    return "E" if item.trigger else "R" if item.arguments[0][0] else "*"


def _ids(items: Sequence[_Item]) -> Iterator[str]:
    """The own id of each item if BRAT can have it, else the next that is free."""
    own = {item.id for item in items if re.fullmatch(rf"[{_letters(item)}][0-9]{{1,9}}", item.id)}
    last: Counter[str] = Counter()
    for item in items:
        letter = _letters(item)[0]
        if item.id in own or letter == "*":
            yield item.id if item.id in own else "*"
            continue
        last[letter] += 1
        while f"{letter}{last[letter]}" in own:
            last[letter] += 1
        yield f"{letter}{last[letter]}"


def _line(item: _Item, ids: Mapping[str, str]) -> str:
    if isinstance(item, Span):
        ranges = ";".join(f"{start} {end}" for start, end in item.fragments)
        return f"{item.label} {ranges}\t{item.text.translate(_NO_BREAKS)}"
    if isinstance(item, Relation):
        arguments = (f"{role}:{ids[id]}" if role else ids[id] for role, id in item.arguments)
        return " ".join((f"{item.label}:{ids[item.trigger]}" if item.trigger else item.label, *arguments))
    said = f"{item.name} {ids[item.target]}"
    if item.kind == "note":
        return f"{said}\t{item.value}"
    if item.kind == "concept":
        return f"{said} {item.value}\t{item.text}" if item.text else f"{said} {item.value}"
    return f"{said} {item.value}" if item.value else said
