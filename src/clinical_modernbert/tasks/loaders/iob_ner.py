"""Sentences as words with tags, in the layout of MTL-Bioinformatics-2016: BC2GM, AnatEM."""

from collections import Counter
from collections.abc import Sequence

from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def sentences(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Each sentence is an example, its words joined by single spaces."""
    counted: Counter[str] = Counter()
    train, dev, test = (tagged(folder.documents(f"{part}.tsv", format="conll"), counted) for part in ("train", "devel", "test"))
    return Splits(train, dev, test, counted)
