"""Medical Abstracts: which of five kinds of condition an abstract is about."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.csv_table import csv_table
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_LABEL, _TEXT, _NAME = "condition_label", "medical_abstract", "condition_name"


def medical_abstracts(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Abstracts with one class; some stand there again with another one, all of one text are a group."""
    labels = {row[_LABEL]: row[_NAME] for _, row in csv_table(folder, "medical_tc_labels.csv", columns=(_LABEL, _NAME))}
    train, test = (_part(folder, part, labels) for part in ("train", "test"))
    return Splits(*set_aside(train), test)


def _part(folder: DataFolder, part: str, labels: Mapping[str, str]) -> list[LabelledText]:
    name = f"medical_tc_{part}.csv"
    found = []
    for number, row in csv_table(folder, name, columns=(_LABEL, _TEXT)):
        if row[_LABEL] not in labels:
            raise folder.damaged(folder.find(name), "a class that medical_tc_labels.csv does not name", f"line {number}")
        group = sha256(row[_TEXT].encode()).hexdigest()[:16]
        found.append(LabelledText(f"{part}-{number}", row[_TEXT], (labels[row[_LABEL]],), group=group))
    return found
