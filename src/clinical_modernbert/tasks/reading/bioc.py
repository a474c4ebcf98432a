"""Documents in BioC, as XML and as JSON; `biored` and `nlm_gene` read them."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Relation, Span, ranges_fault, says
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.whole_files import tree_of

if TYPE_CHECKING:
    from lxml import etree


class _Location(BaseModel):
    offset: int
    length: int


class _Annotation(BaseModel):
    infons: dict[str, str]
    text: str
    locations: list[_Location]


class _Passage(BaseModel):
    offset: int
    text: str
    annotations: list[_Annotation] = []


class _Related(BaseModel):
    entity1: str
    entity2: str
    type: str


class _Relation(BaseModel):
    infons: _Related


class _Document(BaseModel):
    id: str
    passages: list[_Passage]
    relations: list[_Relation] = []


class _Collection(BaseModel):
    documents: list[_Document]


def from_json(folder: DataFolder, name: str, counted: Counter[str]) -> list[AnnotatedDocument]:
    """The documents of a JSON file, their passages divided by line breaks.

    The `identifier` of a mention is an attribute of it; relations are between such concepts. A mention outside of the text is left out;
    where it has other words than stand at its place (`alpha` for a Greek letter), the place counts. Of both the number is counted.

    Raises:
        DataError: the file is missing, or not of this layout.
    """
    return _documents(folder, folder.find(name), folder.json(name), counted)


def from_xml(folder: DataFolder, name: str, counted: Counter[str]) -> list[AnnotatedDocument]:
    """The documents of an XML file, without relations; else as `from_json`.

    Raises:
        DataError: the file is missing, or not of this layout.
    """
    path = folder.find(name)
    documents = [
        {"id": document.findtext("id"), "passages": [_passage(passage) for passage in document.findall("passage")]}
        for document in tree_of(folder, path).iter("document")
    ]
    return _documents(folder, path, {"documents": documents}, counted)


def _passage(passage: "etree._Element") -> dict[str, Any]:
    annotations = [
        {
            "infons": {infon.get("key"): infon.text or "" for infon in annotation.findall("infon")},
            "text": annotation.findtext("text"),
            "locations": [dict(location.attrib) for location in annotation.findall("location")],
        }
        for annotation in passage.findall("annotation")
    ]
    return {"offset": passage.findtext("offset"), "text": passage.findtext("text"), "annotations": annotations}


def _documents(folder: DataFolder, path: Path, data: object, counted: Counter[str]) -> list[AnnotatedDocument]:
    try:
        collection = _Collection.model_validate(data)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise folder.damaged(path, "not as BioC has it", where) from None
    return [_annotated(document, counted) for document in collection.documents]


def _annotated(document: _Document, counted: Counter[str]) -> AnnotatedDocument:
    text = "\n".join(passage.text for passage in document.passages)
    spans: list[Span] = []
    attributes: list[Attribute] = []
    start = 0
    for passage in document.passages:
        shift = start - passage.offset
        for annotation in passage.annotations:
            fragments = [(place.offset + shift, place.offset + shift + place.length) for place in annotation.locations]
            if ranges_fault(fragments, len(text)):
                counted["mention outside of its text"] += 1
                continue
            counted["mention of other words than stand at its place"] += not says(text, fragments, annotation.text)
            spans.append(Span.over(text, f"T{len(spans) + 1}", annotation.infons.get("type", ""), *fragments))
            attributes.append(Attribute(spans[-1].id, "Reference", annotation.infons.get("identifier", ""), "concept"))
        start += len(passage.text) + 1
    relations = [
        Relation.binary(relation.infons.type, relation.infons.entity1, relation.infons.entity2, between="concepts")
        for relation in document.relations
    ]
    return AnnotatedDocument(document.id, text, tuple(spans), tuple(relations), tuple(attributes))
