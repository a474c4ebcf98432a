"""i2b2 2006: discharge summaries with places of protected health information, or with the patient's smoking status."""

from collections import Counter
from collections.abc import Sequence

from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.annotated_files import read_each
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside


def deid(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Protected health information by its type."""
    counted: Counter[str] = Counter()
    names = ("deid_surrogate_train_all_version2.xml", "deid_surrogate_test_all_groundtruth_version2.xml")
    train, test = (tagged(read_each(folder, [folder.find(name)], "i2b2-2006", counted), counted) for name in names)
    return Splits(*set_aside(train), test, counted)


def smoking(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Whether the patient smokes, smoked, or whether nothing says so."""
    counted: Counter[str] = Counter()
    names = ("smokers_surrogate_train_all_version2.xml", "smokers_surrogate_test_all_groundtruth_version2.xml")
    train, test = (_statuses(folder, name, counted) for name in names)
    return Splits(*set_aside(train), test, counted)


def _statuses(folder: DataFolder, name: str, counted: Counter[str]) -> list[LabelledText]:
    examples = []
    for document in read_each(folder, [folder.find(name)], "i2b2-2006", counted):
        if len(document.labels) == 1:
            examples.append(LabelledText(document.id, document.text, (document.labels[0].value.lower(),)))
        else:
            counted["not one smoking status"] += 1
    return examples
