"""n2c2 2018, track 2: medicines of discharge summaries, what is said of them, and why and with which harm they are taken."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_modernbert.errors import DataError
from clinical_modernbert.formats.document import AnnotatedDocument, Span
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.annotated_files import read_each
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.marked_lines import related
from clinical_modernbert.tasks.reading.splitting import set_aside

_REACH = 250
"""Characters that may lie between a medicine and what is said of it."""


def entities(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Medicines, their strength, form, dosage, frequency, route, duration and reason, and adverse events."""
    counted: Counter[str] = Counter()
    train, test = (tagged(part, counted) for part in _parts(folder, counted))
    return Splits(*set_aside(train), test, counted)


def relations(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Whether something is said of a medicine that is not far from it, such as `Dosage-Drug`, or `none`."""
    counted: Counter[str] = Counter()
    train, test = (
        [e for document in part for e in related(document, _pairs(document), "none", counted)] for part in _parts(folder, counted)
    )
    return Splits(*set_aside(train), test, counted)


def _parts(folder: DataFolder, counted: Counter[str]) -> tuple[list[AnnotatedDocument], list[AnnotatedDocument]]:
    train, test = (read_each(folder, files, "brat", counted) for files in (_training(folder), _files(folder, "gold-standard-test-data")))
    return train, test


def _training(folder: DataFolder) -> list[Path]:
    """The portal has had the same notes as one archive and as two."""
    try:
        return _files(folder, "training_20180910")
    except DataError:
        return [*_files(folder, "track2-training_data_2"), *_files(folder, "track2-training_data_3")]


def _files(folder: DataFolder, part: str) -> list[Path]:
    folder.below(part, ".txt")
    return folder.below(part, ".ann")


def _pairs(document: AnnotatedDocument) -> Iterator[tuple[Span, Span]]:
    drugs = [span for span in document.spans if span.label == "Drug"]
    for span in document.spans:
        if span.label != "Drug":
            yield from ((span, drug) for drug in drugs if max(span.start, drug.start) - min(span.end, drug.end) <= _REACH)
