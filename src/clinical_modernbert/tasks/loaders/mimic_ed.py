"""MIMIC-IV-ED: emergency visits told as notes, and what became of the patients."""

from collections import Counter
from collections.abc import Iterator, Sequence

from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.pseudo_notes import PseudoNotes
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import identifier
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts

_TOLD = ("triage", "medrecon", "vitalsign", "pyxis")
_AT_HOME = ("HOME", "HOME HEALTH CARE")
_AS_PUBLISHED = "Give the tables of MIMIC-IV as PhysioNet has them."


def disposition(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Whether a visit ended with `admitted` or `home`; other ends are left out."""
    counted: Counter[str] = Counter()
    examples = []
    for visit in _visits(folder, counted):
        end = str(visit.metadata.get("disposition", "")).lower()
        if end in ("admitted", "home"):
            examples.append(_example(visit, end))
        else:
            counted["visit that ended otherwise"] += 1
    return Splits(*own_parts(examples), counted)


def outcomes(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Of visits that ended with an admission: whether the patient `died`, needed `intensive_care`, or went `elsewhere` than home."""
    counted: Counter[str] = Counter()
    ends = {
        admission: ("died",) if died == "1" else () if place.upper() in _AT_HOME else ("elsewhere",)
        for admission, died, place in _rows(folder, "admissions.csv", ("hadm_id", "hospital_expire_flag", "discharge_location"), counted)
        if died == "1" or place
    }
    intensive = {admission for (admission,) in _rows(folder, "icustays.csv", ("hadm_id",), counted)}
    examples = []
    for visit in _visits(folder, counted):
        admission = str(visit.metadata.get("hadm_id", ""))
        if visit.metadata.get("disposition") != "ADMITTED":
            counted["visit without an admission"] += 1
        elif admission not in ends:
            counted["visit whose admission is not there or has no known end"] += 1
        else:
            examples.append(_example(visit, *ends[admission], *(("intensive_care",) if admission in intensive else ())))
    return Splits(*own_parts(examples), counted)


def _visits(folder: DataFolder, counted: Counter[str]) -> Iterator[Document]:
    """The notes of the visits, without diagnoses and disposition."""
    stays, patients = folder.find("ed/edstays.csv"), folder.find("hosp/patients.csv")
    if patients.parent.parent != stays.parent.parent:
        raise folder.damaged(patients, "the folder hosp is not beside the folder ed")
    for table in _TOLD:
        folder.find(f"ed/{table}.csv")
    for record in PseudoNotes(stays.parent.parent, leave_out=("diagnosis", "disposition")).read(stays):
        if isinstance(record, Document):
            yield record
        elif isinstance(record, Rejection):
            counted[f"row not read: {record.reason}"] += 1


def _example(visit: Document, *labels: str) -> LabelledText:
    return LabelledText(visit.id.partition(":")[2], visit.text, labels, group=visit.patient or "")


def _rows(folder: DataFolder, name: str, columns: Sequence[str], counted: Counter[str]) -> Iterator[list[str]]:
    for item in named_rows(folder.find(name), columns, (), _AS_PUBLISHED):
        if isinstance(item, Rejection):
            counted[f"row not read: {item.reason}"] += 1
        else:
            yield [identifier(value) for value in item[1].values()]
