"""Abstracts in PubTator's format with spans: NCBI-disease, BC5CDR."""

from collections import Counter
from collections.abc import Callable, Sequence

from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder

BC5CDR = ("CDR_TrainingSet.PubTator.txt", "CDR_DevelopmentSet.PubTator.txt", "CDR_TestSet.PubTator.txt")
"""Train, dev and test of BC5CDR."""

_NCBI_DISEASE = ("NCBItrainset_corpus.txt", "NCBIdevelopset_corpus.txt", "NCBItestset_corpus.txt")


def ncbi_disease(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of diseases, whatever their class (specific, class, modifier, composite)."""
    return _splits(folder, _NCBI_DISEASE, lambda _: "Disease")


def bc5cdr(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of chemicals and of diseases."""
    return _splits(folder, BC5CDR, lambda label: label)


def bc5cdr_disease(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of diseases."""
    return _splits(folder, BC5CDR, lambda label: label if label == "Disease" else None)


def bc5cdr_chemical(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of chemicals."""
    return _splits(folder, BC5CDR, lambda label: label if label == "Chemical" else None)


def _splits(folder: DataFolder, names: Sequence[str], rename: Callable[[str], str | None]) -> Splits[Sequence[TaggedText]]:
    counted: Counter[str] = Counter()
    train, dev, test = (tagged(folder.documents(name, format="pubtator"), counted, rename) for name in names)
    return Splits(train, dev, test, counted)
