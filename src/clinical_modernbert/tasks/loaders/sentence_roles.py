"""Sentences of abstracts with their roles, in the layout of PubMed-RCT: NICTA-PIBOSO."""

from collections.abc import Sequence

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def nicta_piboso(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """One of six roles of each sentence."""
    train, dev, test = (sentences(folder, f"{part}_clean.txt") for part in ("train", "dev", "test"))
    return Splits(train, dev, test)


def sentences(folder: DataFolder, name: str) -> list[LabelledText]:
    """The sentences of a file: `###ID` begins an abstract, each line behind it is a role, a tab and a sentence; abstracts are groups.

    Raises:
        DataError: the file is missing, or a line is none of these.
    """
    found: list[LabelledText] = []
    abstract, position = "", 0
    for number, line in folder.lines(name):
        role, tab, sentence = line.partition("\t")
        if line.startswith("###"):
            abstract, position = line.removeprefix("###").strip(), 0
        elif tab and abstract:
            position += 1
            found.append(LabelledText(f"{abstract}-{position}", sentence, (role,), group=abstract))
        elif line.strip():
            raise folder.damaged(folder.find(name), "neither `###ID` nor a role, a tab and a sentence below one", f"line {number}")
    return found
