"""In: notes in the XML of i2b2 2012 and 2014 and of n2c2 2018 track 1, a file each. Out: documents; and back. Next: `by_name`.

A file holds the note in `TEXT` and its annotations in `TAGS`, as the annotation tool MAE writes them. An element with `start` and `end`
is a span, one with `fromID` and `toID` a relation, any other a label of the whole document; `id` is the id, everything else that is not
empty an attribute of that name. What holds is:

- 2014, de-identification (root `deIdi2b2`): `<NAME id="P0" start="16" end="29" text="..." TYPE="PATIENT" comment=""/>`, a span with the
  label `NAME:PATIENT` (Stubbs et al. 2015, https://doi.org/10.1016/j.jbi.2015.07.020);
- 2014, risk factors (root `root`): `<HYPERTENSION id="DOC3" time="before DCT" indicator="mention"/>`, a label; in the "complete" files the
  evidence stands inside of it as elements with `start` and `end`, here spans with a relation `evidence` from the label
  (https://doi.org/10.1016/j.jbi.2015.05.009). That layout is known to us from programs that read it, not from a specification;
- 2012, times (root `ClinicalNarrativeTemporalAnnotation`): `<EVENT id="E0" start="1" end="10" text="..." modality="FACTUAL"
  polarity="POS" type="PROBLEM"/>`, `TIMEX3` with `val` and `mod`, `SECTIME` with `dvalue`, spans with labels such as `EVENT:PROBLEM`; and
  `<TLINK id="TL0" fromID="E0" fromText="..." toID="T1" toText="..." type="BEFORE"/>`, a relation with the type as its label
  (Sun et al. 2013, https://doi.org/10.1136/amiajnl-2013-001628). Links to a `SECTIME` have its type in the place of its id, `Admission` or
  `Discharge`, as the challenge's evaluation script shows;
- 2018 track 1, cohort selection: `<ABDOMINAL met="not met"/>`, a label with an attribute.

Offsets count characters of `TEXT` as XML has it, where line ends are single; those of 2012 begin with 1 in the files that we know of
programs to read, so the first character's number is taken to be 1 where more texts fit then. An id that comes twice gets a number behind
it for the second (`M0.2`), as the "complete" files put annotations of several people together.

`metadata` holds `root`, the root's name where it is not `deIdi2b2`, and `first_offset` where it is not 0.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Label, Relation, Span, ranges_fault, says
from clinical_modernbert.formats.references import without_dangling
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.text_files import document_id, files_of, write_document
from clinical_modernbert.formats.xml_files import is_xml_text, read_tree, set_text, to_xml

if TYPE_CHECKING:
    from lxml import etree

_Tag: TypeAlias = Span | Relation | Label
_Placed: TypeAlias = tuple[Callable[[str], Refusal], Relation | Attribute]
_ROOT, _TIMES = "deIdi2b2", "ClinicalNarrativeTemporalAnnotation"
_LINK, _EVIDENCE = "TLINK", "evidence"
_OWN_FIELDS = {
    Span: frozenset(("id", "start", "end", "text", "type", "TYPE")),
    Relation: frozenset(("id", "fromID", "fromText", "toID", "toText", "type", "TYPE")),
    Label: frozenset(("id", "start", "end")),
}
_OFFSET = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The note of one file, or of each `.xml` file below a folder, sorted by their path, which is their id.

    An annotation that cannot be read is refused, and with it what names it or stands inside; a file without text or annotations whole.

    Raises:
        DataError: no such path, no such files.
    """
    for file in files_of(path, (".xml",)):
        try:
            root = read_tree(file)
            text, tags = root.find("TEXT"), root.find("TAGS")
            if text is None or tags is None or len(text):
                raise Refused("no TEXT or no TAGS element, or elements inside of TEXT")
        except Refused as refused:
            on_refusal(refused.at(file))
        else:
            metadata = {} if root.tag == _ROOT else {"root": root.tag}
            yield _document(document_id(file, path), file, text.text or "", tags, metadata, on_refusal)


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write `ID.xml` for each document; offsets and the root's name as its metadata say, tokens are not written."""
    for document in documents:
        try:
            write_document(folder, document.id, ".xml", to_xml(_tree(document, folder, on_refusal)))
        except Refused as refused:
            on_refusal(part_of(folder, document)(refused.reason))


def _document(id: str, file: Path, text: str, tags: "etree._Element", metadata: dict[str, str], on_refusal: OnRefusal) -> AnnotatedDocument:
    first_offset = _first_offset(text, tags)
    metadata |= {"first_offset": str(first_offset)} if first_offset else {}
    found: list[_Tag] = []
    others: list[_Placed] = []
    times: Counter[str] = Counter()

    def add(element: "etree._Element") -> str | None:
        """Read one element; its id if that went well."""
        place = partial(Refusal, str(file), f"line {element.sourceline}, {element.tag}")
        id = _unique(element.get("id") or element.tag, times)
        try:
            tag = _tag(element, id, text, first_offset)
        except Refused as refused:
            on_refusal(place(refused.reason))
            return None
        found.append(tag)
        if isinstance(tag, Relation):
            others.append((place, tag))
        fields = ((name, value) for name, value in element.attrib.items() if value and name not in _OWN_FIELDS[type(tag)])
        others.extend((place, Attribute(id, str(name), str(value))) for name, value in fields)
        return id

    for element in tags:
        parent = add(element)
        for child in element if parent else ():
            if len(child):
                on_refusal(Refusal(str(file), f"line {child.sourceline}, {child.tag}", "elements inside one another more than twice"))
            elif inner := add(child):
                place = partial(Refusal, str(file), f"line {child.sourceline}, {child.tag}")
                others.append((place, Relation.binary(_EVIDENCE, str(parent), inner)))
    known = {tag.id for tag in found}
    sections = _sections(found)
    linked = [(place, _with_ids(item, known, sections) if isinstance(item, Relation) else item) for place, item in others]
    kept = list(without_dangling(linked, known, on_refusal))
    return AnnotatedDocument(
        id,
        text,
        tuple(tag for tag in found if isinstance(tag, Span)),
        tuple(item for item in kept if isinstance(item, Relation)),
        tuple(item for item in kept if isinstance(item, Attribute)),
        tuple(tag for tag in found if isinstance(tag, Label)),
        metadata=metadata,
    )


def _sections(tags: Iterable[_Tag]) -> dict[str, str]:
    """Ids of the times of admission and discharge by their types, of more than one the first."""
    named = [(tag.label.lower(), tag.id) for tag in tags if isinstance(tag, Span)]
    return {label.removeprefix("sectime:"): id for label, id in reversed(named) if label in ("sectime:admission", "sectime:discharge")}


def _with_ids(link: Relation, known: set[str], sections: Mapping[str, str]) -> Relation:
    """The link with ids where it names a section's time by its type."""
    return replace(link, arguments=tuple((role, id if id in known else sections.get(id.lower(), id)) for role, id in link.arguments))


def _first_offset(text: str, tags: "etree._Element") -> int:
    """The number that the file gives to the first character: 1 where more spans fit then, else 0."""
    fits: Counter[int] = Counter()
    for element in tags.iterdescendants():
        written, start, end = (element.get(name, "") for name in ("text", "start", "end"))
        if written and _OFFSET.fullmatch(start) and _OFFSET.fullmatch(end):
            fits.update(first for first in (0, 1) if says(text, [(max(int(start) - first, 0), max(int(end) - first, 0))], written))
    return int(fits[1] > fits[0])


def _unique(id: str, times: Counter[str]) -> str:
    while True:
        times[id] += 1
        if times[id] == 1:
            return id
        id = f"{id}.{times[id]}"


def _tag(element: "etree._Element", id: str, text: str, first_offset: int) -> _Tag:
    kind = element.get("TYPE") or element.get("type") or ""
    if element.get("fromID") is not None or element.get("toID") is not None:
        return Relation.binary(kind, element.get("fromID", ""), element.get("toID", ""), id)
    start, end = element.get("start", "-1"), element.get("end", "-1")
    if (start, end) == ("-1", "-1"):
        return Label(element.tag, id=id)
    if not _OFFSET.fullmatch(start) or not _OFFSET.fullmatch(end):
        raise Refused("start or end is no number")
    fragment = (int(start) - first_offset, int(end) - first_offset)
    if fault := ranges_fault([fragment], len(text)):
        raise Refused(fault)
    if not says(text, [fragment], element.get("text", "")):
        raise Refused("its text is not what stands at its offsets")
    return Span.over(text, id, f"{element.tag}:{kind}" if kind else element.tag, fragment)


def _tree(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> "etree._Element":
    from lxml import etree

    root_name, first_offset = document.metadata.get("root", _ROOT), document.metadata.get("first_offset", "0")
    if not _NAME.fullmatch(root_name) or first_offset not in ("0", "1") or not is_xml_text(document.text):
        raise Refused("an unknown root or first offset in its metadata, or a character that XML cannot have")
    root = etree.Element(root_name)
    set_text(etree.SubElement(root, "TEXT"), document.text)
    tags = etree.SubElement(root, "TAGS")
    labels = {label.id for label in document.labels if label.id}
    evidence = {r.tail: r for r in document.relations if r.is_binary and (r.label, r.id) == (_EVIDENCE, "") and r.head in labels}
    texts = {label.id: label.name for label in document.labels} | {span.id: span.text for span in document.spans}
    sections = {id: kind.capitalize() for kind, id in _sections(document.spans).items()} if root_name == _TIMES else {}
    elements: dict[str, etree._Element] = {}
    own_fields: dict[str, frozenset[str]] = {}
    for item in document.annotations():
        try:
            if isinstance(item, Attribute):
                _set(elements.get(item.target), item, own_fields.get(item.target, frozenset()))
                continue
            if isinstance(item, Relation):
                if any(id not in elements for id in item.named()):
                    raise Refused("what it names is not written")
                if item.is_binary and evidence.get(item.tail) is item:
                    continue
            name, fields = _fields(item, int(first_offset), "type" if root_name == _TIMES else "TYPE", texts | sections, sections)
            if not _NAME.fullmatch(name) or not all(is_xml_text(value) for value in fields.values()):
                raise Refused("a label or value that XML cannot have")
        except Refused as refused:
            on_refusal(part_of(folder, document, item)(refused.reason))
        else:
            parent = elements.get(evidence[item.id].head) if item.id in evidence else None
            elements[item.id] = etree.SubElement(tags if parent is None else parent, name, fields)
            own_fields[item.id] = _OWN_FIELDS[type(item)]
    etree.indent(root, space="")
    return root


def _set(element: "etree._Element | None", attribute: Attribute, own_fields: frozenset[str]) -> None:
    """Put an attribute on its element."""
    if element is None:
        raise Refused("what it says something of is not written")
    if attribute.kind != "attribute" or not attribute.value or not is_xml_text(attribute.value) or not _NAME.fullmatch(attribute.name):
        raise Refused("i2b2's XML has attributes with a name and a value, no concepts or notes")
    if attribute.name in own_fields or element.get(attribute.name) is not None:
        raise Refused("two attributes of one name")
    element.set(attribute.name, attribute.value)


def _fields(
    item: _Tag, first_offset: int, kind_name: str, texts: Mapping[str, str], sections: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """The name and XML attributes of an element."""
    if isinstance(item, Span):
        if len(item.fragments) > 1:
            raise Refused("i2b2's XML has no discontinuous spans")
        name, _, kind = item.label.partition(":")
        fields = {"start": str(item.start + first_offset), "end": str(item.end + first_offset), "text": item.text, kind_name: kind}
    elif isinstance(item, Relation):
        if not item.is_binary or item.between == "concepts":
            raise Refused("i2b2's XML has no relations but those of two spans")
        name = _LINK
        ends = {"from": item.head, "to": item.tail}
        named = [{f"{end}ID": sections.get(id, id), f"{end}Text": texts.get(id, "")} for end, id in ends.items()]
        fields = {**named[0], **named[1], kind_name: item.label}
    else:
        if item.value:
            raise Refused("i2b2's XML has no values of labels, but of their attributes")
        name, fields = item.name, {}
    own = {"id": item.id} if item.id != name else {}
    return name, own | {key: value for key, value in fields.items() if value or key != kind_name}
