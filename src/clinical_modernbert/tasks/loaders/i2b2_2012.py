"""i2b2 2012: events and times of discharge summaries, and how they follow one another."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.annotated_files import read_each
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.marked_lines import excerpt
from clinical_modernbert.tasks.reading.splitting import set_aside

_TRAIN, _TEST = "2012-07-15.original-annotation.release", "merged_xml"
_MERGED = {
    **dict.fromkeys(("BEFORE", "ENDED_BY", "BEFORE_OVERLAP"), "BEFORE"),
    **dict.fromkeys(("AFTER", "BEGUN_BY"), "AFTER"),
    **dict.fromkeys(("OVERLAP", "SIMULTANEOUS", "DURING"), "OVERLAP"),
}
"""The eight types of a link as the challenge merges them."""


def events(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Events by their type, such as `PROBLEM` or `EVIDENTIAL`."""
    return _tagged(folder, _type_of("EVENT"))


def times(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Temporal expressions by their type: dates, times, durations, frequencies."""
    return _tagged(folder, _type_of("TIMEX3"))


def links(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Whether the first of two linked events or times is before, after or at the time of the second, both marked in their lines."""
    counted: Counter[str] = Counter()
    train, test = (
        [link for document in _documents(folder, part, counted) for link in _links(document, counted)] for part in (_TRAIN, _TEST)
    )
    return Splits(*set_aside(train), test, counted)


def _documents(folder: DataFolder, part: str, counted: Counter[str]) -> list[AnnotatedDocument]:
    return read_each(folder, folder.below(part, ".xml"), "i2b2-xml", counted)


def _tagged(folder: DataFolder, rename: Callable[[str], str | None]) -> Splits[Sequence[TaggedText]]:
    counted: Counter[str] = Counter()
    train, test = (tagged(_documents(folder, part, counted), counted, rename) for part in (_TRAIN, _TEST))
    return Splits(*set_aside(train), test, counted)


def _type_of(element: str) -> Callable[[str], str | None]:
    """From `EVENT:Problem` to `PROBLEM`, of one element."""

    def rename(label: str) -> str | None:
        name, _, kind = label.partition(":")
        return (kind.upper() or element) if name == element else None

    return rename


def _links(document: AnnotatedDocument, counted: Counter[str]) -> Iterator[LabelledText]:
    spans = {span.id: span for span in document.spans}
    seen: set[tuple[str, str]] = set()
    for relation in document.relations:
        label, pair = _MERGED.get(relation.label.upper()), (relation.head, relation.tail)
        if label is None:
            counted["link without a known type"] += 1
        elif relation.head == relation.tail:
            counted["link of something to itself"] += 1
        elif pair in seen:
            counted["second link of a pair"] += 1
        elif not set(pair) <= spans.keys():
            counted["link to what has no place in the text"] += 1
        else:
            seen.add(pair)
            text = excerpt(document.text, spans[relation.head], spans[relation.tail])
            yield LabelledText(f"{document.id}:{relation.id}", text, (label,), group=document.id)
