r"""In: PubTator files. Out: documents; and back. Next: `by_name`.

A document is a title line `ID|t|TITLE`, an abstract line `ID|a|ABSTRACT`, then tab-separated annotations up to an empty line: spans
`ID START END MENTION TYPE CONCEPT [NAMES]` and relations between concepts `ID TYPE CONCEPT CONCEPT [NOVELTY]`. NCBI's tutorial
(https://www.ncbi.nlm.nih.gov/CBBresearch/Lu/Demo/PubTator/tutorial/) shows the spans; the relations are as BC5CDR (`CID`) and BioRED
(with a novelty) have them. Offsets run over the title, one character and the abstract; here a line break stands for that character.

Several concepts of a span are divided by `|` and each becomes an attribute of its own; what other corpora write (`+` in NCBI-disease,
`,` in BioRED, `;` in PubTator Central) stays in the attribute's value, see `identifiers`. `-1`, `-` or nothing means no concept. The names
of the parts of a composite mention, a seventh column of BC5CDR, are the attributes' texts. Ids of spans and relations are their
numbers: the format has none.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from clinical_modernbert.atomic import write_file
from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Relation, Span, ranges_fault, says
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.text_files import files_of, numbered_lines

FILE_NAME = "documents.pubtator"
SUFFIXES = (".pubtator", ".pubtator.txt")
TITLE = re.compile(r"([^|\t\r\n]{1,200})\|t\|(.*)")
"""A line that begins a document."""

_ABSTRACT = re.compile(r"([^|\t]{1,200})\|a\|(.*)")
_OFFSET = re.compile(r"[0-9]{1,9}")
_NO_CONCEPT = frozenset(("", "-", "-1"))
_NO_BREAKS = str.maketrans("\r\n\t", "   ")
_VARIANT = re.compile(r"[a-z]?\|(?:SUB|DEL|INS|INDEL|DUP|FS)\|.*")
"""A sequence variant as tmVar spells it (`c|DEL|1314_1328`), one identifier whose parts are divided as several identifiers are."""


def identifiers(concept: str) -> list[str]:
    """The single identifiers in an attribute's value, whichever of the corpora's ways of joining them it uses."""
    return [concept] if _VARIANT.fullmatch(concept) else [part for part in re.split(r"[|+,;]", concept) if part]


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The documents of one file, or of all files of this kind below a folder (any `.txt` where none ends in `.pubtator`), in their order.

    A line that cannot be read is refused, a document without a title line whole.

    Raises:
        DataError: no such path, no such files.
    """
    for file in files_of(path, SUFFIXES, (".txt",)):
        block: list[tuple[int, str]] = []
        try:
            for number, line in numbered_lines(file):
                if block and (not line.strip() or TITLE.fullmatch(line)):
                    yield from _document(file, block, on_refusal)
                    block = []
                if line.strip():
                    block.append((number, line))
        except Refused as refused:  # the document that it stands in would not be whole
            on_refusal(refused.at(file))
        else:
            if block:
                yield from _document(file, block, on_refusal)


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write all documents to `documents.pubtator`; a text's first line is its title, all else must stand in the second."""

    def fill(aside: Path) -> None:
        with aside.open("wb") as stream:
            for document in documents:
                title, *abstract = document.text.split("\n")
                if len(abstract) > 1 or "\r" in document.text or not TITLE.fullmatch(f"{document.id}|t|"):
                    on_refusal(part_of(folder, document)("PubTator has no such id, or no text of more than two lines"))
                    continue
                lines = [f"{document.id}|t|{title}", *(f"{document.id}|a|{text}" for text in abstract)]
                lines += ["\t".join((document.id, *fields)) for fields in _written(document, folder, on_refusal)]
                stream.write("".join(f"{line}\n" for line in (*lines, "")).encode())

    write_file(folder / FILE_NAME, fill)


def _document(file: Path, block: Sequence[tuple[int, str]], on_refusal: OnRefusal) -> Iterator[AnnotatedDocument]:
    """The document of some lines that no empty one divides, or none."""
    (number, first), *rest = block
    head = TITLE.fullmatch(first)
    if not head:
        on_refusal(Refusal(str(file), f"line {number}", "a document that does not begin with `ID|t|TITLE`"))
        return
    id, text = head[1], head[2]
    if rest and (abstract := _ABSTRACT.fullmatch(rest[0][1])) and abstract[1] == id:
        text = f"{text}\n{abstract[2]}"
        del rest[0]
    spans: list[Span] = []
    relations: list[Relation] = []
    attributes: list[Attribute] = []
    concepts: set[str] = set()
    for spans_now in (True, False):  # a relation may stand before the spans of its concepts
        for number, line in rest:
            fields = line.split("\t")
            if spans_now is not _is_span(fields):
                continue
            try:
                if fields[0] != id:
                    raise Refused("not an annotation of the document above")
                if spans_now:
                    spans.append(_span(text, f"T{len(spans) + 1}", fields))
                    links = _links(spans[-1].id, fields)
                    concepts.update(part for link in links for part in (link.value, *identifiers(link.value)))
                    attributes += links
                else:
                    relations.append(_relation(f"R{len(relations) + 1}", fields, concepts))
                    attributes += [Attribute(relations[-1].id, "novelty", novelty) for novelty in fields[4:]]
            except Refused as refused:
                on_refusal(Refusal(str(file), f"line {number}", refused.reason))
    yield AnnotatedDocument(id, text, tuple(spans), tuple(relations), tuple(attributes))


def _is_span(fields: Sequence[str]) -> bool:
    return len(fields) > 3 and all(_OFFSET.fullmatch(field) for field in fields[1:3])


def _span(text: str, id: str, fields: Sequence[str]) -> Span:
    if not 5 <= len(fields) <= 7:
        raise Refused("not `ID START END MENTION TYPE CONCEPT`")
    fragment = (int(fields[1]), int(fields[2]))
    if fault := ranges_fault([fragment], len(text)):
        raise Refused(fault)
    if not says(text, [fragment], fields[3]):
        raise Refused("its text is not what stands at its offsets")
    return Span.over(text, id, fields[4], fragment)


def _links(span: str, fields: Sequence[str]) -> list[Attribute]:
    """One attribute for each concept of a span; names that are not as many as the concepts are the first one's text."""
    concept, names = (*fields[5:], "", "")[:2]
    parts = [concept] if _VARIANT.fullmatch(concept) else concept.split("|")
    concepts = [part for part in parts if part not in _NO_CONCEPT] or [""] * bool(names)
    texts = names.split("|")
    texts = texts if len(texts) == len(concepts) else [names, *[""] * (len(concepts) - 1)]
    return [Attribute(span, "Reference", value, "concept", text) for value, text in zip(concepts, texts, strict=False)]


def _relation(id: str, fields: Sequence[str], concepts: set[str]) -> Relation:
    if not 4 <= len(fields) <= 5:
        raise Refused("neither a span nor a relation")
    if not concepts.issuperset(fields[2:4]):
        raise Refused("names a concept that no span has")
    return Relation.binary(fields[1], fields[2], fields[3], id, between="concepts")


def _written(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> Iterator[Sequence[str]]:
    """The fields behind the document's id, for each annotation that PubTator can hold."""
    said: dict[str, list[Attribute]] = defaultdict(list)
    for attribute in document.attributes:
        said[attribute.target].append(replace(attribute, id=""))
    held: set[str] = set()
    concepts: set[str] = set()
    for item in document.annotations():
        try:
            if isinstance(item, Span):
                fields = _span_fields(item, said[item.id])
                concepts.update(part for link in said[item.id] for part in (link.value, *identifiers(link.value)))
            elif isinstance(item, Relation):
                fields = _relation_fields(item, said[item.id], concepts)
            elif isinstance(item, Attribute) and item.target in held:
                continue
            else:
                raise Refused("PubTator has spans, their concepts and relations of these")
            if any(set(field) & set("\r\n\t") for field in fields):
                raise Refused("a label or value with a tab or line break")
        except Refused as refused:
            on_refusal(part_of(folder, document, item)(refused.reason))
        else:
            held.add(item.id)
            yield fields


def _span_fields(span: Span, links: list[Attribute]) -> list[str]:
    if len(span.fragments) > 1:
        raise Refused("PubTator has no discontinuous spans")
    texts = [link.text for link in links]
    names = texts[:1] if texts and "|" in texts[0] else ["|".join(texts)] if any(texts) else []
    concept = "|".join(link.value for link in links) or "-1"
    fields = [str(span.start), str(span.end), span.text.translate(_NO_BREAKS), span.label, concept, *names]
    if _links(span.id, ("", *fields)) != links:
        raise Refused("PubTator says no more of a span than its concepts, whose ids and names hold no `|`")
    return fields


def _relation_fields(relation: Relation, novelty: list[Attribute], concepts: set[str]) -> list[str]:
    if relation.between != "concepts" or not relation.is_binary:
        raise Refused("PubTator has no relations but those of two concepts")
    fields = [relation.label, relation.head, relation.tail, *(attribute.value for attribute in novelty)]
    _relation(relation.id, ("", *fields), concepts)
    if _is_span(("", *fields)) or [Attribute(relation.id, "novelty", value) for value in fields[3:]] != novelty:
        raise Refused("PubTator says no more of a relation than its novelty, and its type is no number")
    return fields
