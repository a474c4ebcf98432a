"""In: the XML of i2b2 2006, many notes in one file. Out: documents; and back. Next: `by_name`.

    <ROOT>
    <RECORD ID="1"><TEXT>Seen by Dr. <PHI TYPE="DOCTOR">Surname</PHI> ...</TEXT></RECORD>          de-identification
    <RECORD ID="2"><SMOKING STATUS="NON-SMOKER"></SMOKING><TEXT> ... </TEXT></RECORD>             smoking status
    </ROOT>

A `PHI` is a span with its `TYPE` as the label, `SMOKING` a label of the document with its `STATUS` as the value. The text is that of
`TEXT` without the tags, white space as it is. Layouts as in Uzuner et al. 2007 (https://doi.org/10.1197/jamia.M2444) and 2008
(https://doi.org/10.1197/jamia.M2408); we know the files from programs that read them. Ids of spans are their numbers: the format has none.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_modernbert.atomic import write_text
from clinical_modernbert.formats.document import AnnotatedDocument, Label, Span
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.text_files import files_of
from clinical_modernbert.formats.xml_files import is_xml_text, read_tree, to_xml

if TYPE_CHECKING:
    from lxml import etree

FILE_NAME = "records.xml"


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The records of one file, or of each `.xml` file below a folder, in their order.

    Raises:
        DataError: no such path, no such files.
    """
    for file in files_of(path, (".xml",)):
        try:
            root = read_tree(file)
        except Refused as refused:
            on_refusal(refused.at(file))
            continue
        for record in root:
            where = f"line {record.sourceline}, {record.tag}"
            try:
                yield _document(record)
            except Refused as refused:
                on_refusal(Refusal(str(file), where, refused.reason))


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write all documents to `records.xml`."""
    from lxml import etree

    root = etree.Element("ROOT")
    root.text = "\n"
    for document in documents:
        try:
            root.append(_record(document, folder, on_refusal))
        except Refused as refused:
            on_refusal(part_of(folder, document)(refused.reason))
    write_text(folder / FILE_NAME, to_xml(root))


def _document(record: "etree._Element") -> AnnotatedDocument:
    id, element = record.get("ID"), record.find("TEXT")
    if record.tag != "RECORD" or not id or element is None:
        raise Refused("no RECORD with an ID and a TEXT")
    labels: list[Label] = []
    for child in record:
        status = child.get("STATUS")
        if child.tag == "SMOKING" and status:
            labels.append(Label("SMOKING", status))
        elif child is not element:
            raise Refused("neither TEXT nor a SMOKING with its STATUS")
    parts = [element.text or ""]
    ranges: list[tuple[str, int, int]] = []
    length = len(parts[0])
    for phi in element:
        if phi.tag != "PHI" or not phi.get("TYPE") or not phi.text or len(phi):
            raise Refused("an element of TEXT that is no PHI with a TYPE and a text")
        ranges.append((phi.get("TYPE", ""), length, length + len(phi.text)))
        parts += [phi.text, phi.tail or ""]
        length += len(phi.text) + len(parts[-1])
    text = "".join(parts)
    spans = tuple(Span.over(text, f"T{number}", label, (start, end)) for number, (label, start, end) in enumerate(ranges, start=1))
    return AnnotatedDocument(id, text, spans, labels=tuple(labels))


def _record(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> "etree._Element":
    from lxml import etree

    if not document.id or not is_xml_text(document.id + document.text):
        raise Refused("an id or a character that XML cannot have")
    record = etree.Element("RECORD", ID=document.id)
    spans: list[Span] = []
    in_order = sorted(document.annotations(), key=lambda item: (item.start, -item.end) if isinstance(item, Span) else (0, 0))
    for item in in_order:
        if isinstance(item, Label) and item.name == "SMOKING" and item.value and is_xml_text(item.value):
            etree.SubElement(record, "SMOKING", STATUS=item.value)
        elif not isinstance(item, Span) or len(item.fragments) > 1 or not item.label or not is_xml_text(item.label):
            reason = "i2b2 2006 has types of connected spans, and the smoking status"
            on_refusal(part_of(folder, document, item)(reason))
        elif spans and item.start < spans[-1].end:
            on_refusal(part_of(folder, document, item)("overlaps another span"))
        else:
            spans.append(item)
    element = etree.SubElement(record, "TEXT")
    element.text = document.text[: spans[0].start] if spans else document.text
    for span, end in zip(spans, (*(span.start for span in spans[1:]), len(document.text)), strict=False):
        phi = etree.SubElement(element, "PHI", TYPE=span.label)
        phi.text = span.text
        phi.tail = document.text[span.end : end]
    record.tail = "\n"
    return record
