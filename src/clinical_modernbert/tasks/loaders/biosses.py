"""BIOSSES: how much two sentences of biomedical articles say the same."""

from collections.abc import Sequence

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.csv_table import csv_table
from clinical_modernbert.tasks.reading.data_folder import DataFolder

_COLUMNS = ("sentence1", "sentence2", "score")


def biosses(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Pairs with the mean of five annotators' scores, from 0 (not related) to 4 (the same)."""
    train, dev, test = (_part(folder, part) for part in ("train", "dev", "test"))
    return Splits(train, dev, test)


def _part(folder: DataFolder, part: str) -> list[LabelledText]:
    names = (f"BIOSSES/{part}.tsv", f"{part}.tsv")
    found = []
    for number, row in csv_table(folder, *names, columns=_COLUMNS, delimiter="\t"):
        try:
            score = float(row["score"])
        except ValueError:
            raise folder.damaged(folder.find(*names), "a score that is no number", f"line {number}") from None
        found.append(LabelledText(f"{part}-{number}", row["sentence1"], second=row["sentence2"], value=score))
    return found
