"""PubMed-RCT: the role of each sentence in abstracts of randomised controlled trials."""

from collections.abc import Sequence

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.loaders.sentence_roles import sentences
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def pubmed_rct(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """One of five roles of each sentence; 20k or 200k, with its numbers or `@` for them, as the folder has it."""
    train, dev, test = (sentences(folder, f"{part}.txt") for part in ("train", "dev", "test"))
    return Splits(train, dev, test)
