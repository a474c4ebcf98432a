"""i2b2/UTHealth 2014: protected health information in notes of diabetic patients, and their risk factors of heart disease."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.annotated_files import read_each
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_FACTORS = ("CAD", "DIABETES", "FAMILY_HIST", "HYPERLIPIDEMIA", "HYPERTENSION", "MEDICATION", "OBESE", "SMOKER")
_FIELDS = ("indicator", "status", "type1", "type2", "time")


def deid(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Protected health information by its type, such as `DOCTOR`."""
    counted: Counter[str] = Counter()
    train, test = (
        [replace(text, group=_patient(text.id)) for text in tagged(part, counted, lambda label: label.rpartition(":")[2])]
        for part in _parts(folder, ("training-PHI-Gold-Set1", "training-PHI-Gold-Set2"), "testing-PHI-Gold-fixed", counted)
    )
    return Splits(*set_aside(train), test, counted)


def risk_factors(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """The tags of a note as the challenge compares them: a factor, what shows it, and when, `hypertension|mention|before dct`."""
    counted: Counter[str] = Counter()
    train, test = (
        [LabelledText(document.id, document.text, _tags(document, counted), group=_patient(document.id)) for document in part]
        for part in _parts(
            folder, ("training-RiskFactors-Gold-Set1", "training-RiskFactors-Gold-Set2"), "testing-RiskFactors-Gold", counted
        )
    )
    return Splits(*set_aside(train), test, counted)


def _parts(
    folder: DataFolder, train: Sequence[str], test: str, counted: Counter[str]
) -> tuple[list[AnnotatedDocument], list[AnnotatedDocument]]:
    first, second = (
        read_each(folder, [file for name in names for file in folder.below(name, ".xml")], "i2b2-xml", counted)
        for names in (train, (test,))
    )
    return first, second


def _tags(document: AnnotatedDocument, counted: Counter[str]) -> tuple[str, ...]:
    fields = {(attribute.target, attribute.name): attribute.value for attribute in document.attributes}
    tags = set()
    for label in document.labels:
        values = [fields[label.id, name] for name in _FIELDS if (label.id, name) in fields]
        if label.name in _FACTORS:
            tags.add("|".join((label.name, *values)).lower())
        else:
            counted["tag of no risk factor"] += 1
    return tuple(sorted(tags))


def _patient(id: str) -> str:
    """`320` of note `320-03`."""
    return id.partition("-")[0]
