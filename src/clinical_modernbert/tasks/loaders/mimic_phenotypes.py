"""MIMIC-III: notes whose patients' phenotypes two annotators marked."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.mimic3_notes import Mimic3Notes
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import identifier
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts

PHENOTYPES = (
    "advanced.cancer",
    "advanced.heart.disease",
    "advanced.lung.disease",
    "alcohol.abuse",
    "chronic.neurological.dystrophies",
    "chronic.pain.fibromyalgia",
    "dementia",
    "depression",
    "developmental.delay.retardation",
    "non.adherence",
    "obesity",
    "other.substance.abuse",
    "schizophrenia.and.other.psychiatric.disorders",
)
"""As the columns of the table are called."""


def phenotypes(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """What at least half of those who annotated a note marked; a note may have none."""
    counted: Counter[str] = Counter()
    return Splits(*own_parts(list(_notes(folder, counted))), counted)


def _notes(folder: DataFolder, counted: Counter[str]) -> Iterator[LabelledText]:
    marks = _marks(folder, counted)
    notes = folder.find("NOTEEVENTS.csv")
    for record in Mimic3Notes(notes).read(notes):
        if isinstance(record, Document) and (votes := marks.pop(record.id.partition(":")[2], None)):
            labels = tuple(name for name in PHENOTYPES if 2 * sum(name in vote for vote in votes) >= len(votes))
            counted["note on which annotators differ"] += len(set(votes)) > 1
            yield LabelledText(record.id.partition(":")[2], record.text, labels, group=record.patient or "")
    counted["annotated note that is not there"] += len(marks)


def _marks(folder: DataFolder, counted: Counter[str]) -> dict[str, list[frozenset[str]]]:
    """What each annotator marked, by the note's ROW_ID."""
    found: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    path = folder.find("ACTdb102003.csv")
    for item in named_rows(path, ("row_id", *PHENOTYPES), (), "Give the phenotype annotations as PhysioNet has them."):
        if isinstance(item, Rejection):
            counted[f"annotation not read: {item.reason}"] += 1
        else:
            values = {column: identifier(value) for column, value in item[1].items()}
            found[values.pop("row_id")].append(frozenset(name for name, value in values.items() if value == "1"))
    return dict(found)
