"""MIMIC-IV: discharge summaries and the ICD codes that their admissions were billed with."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.codes.entry import concept_id
from clinical_modernbert.sources.document import Document, Rejection
from clinical_modernbert.sources.mimic_notes import MimicNotes
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import identifier
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts

_MIN_NOTES = 10


def full(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """All codes that ten or more notes to train on have."""
    return _splits(folder, lambda times: {code for code, count in times.items() if count >= _MIN_NOTES})


def top_50(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """The fifty codes that most notes to train on have."""
    return _splits(folder, lambda times: sorted(times, key=lambda code: (-times[code], code))[:50])


def _splits(folder: DataFolder, choose: Callable[[Counter[str]], Collection[str]]) -> Splits[Sequence[LabelledText]]:
    counted: Counter[str] = Counter()
    parts = own_parts(list(_notes(folder, counted)))
    chosen = frozenset(choose(Counter(code for note in parts[0] for code in note.labels)))
    train, dev, test = (_with_codes(part, chosen, counted) for part in parts)
    return Splits(train, dev, test, counted)


def _notes(folder: DataFolder, counted: Counter[str]) -> Iterator[LabelledText]:
    notes, diagnoses = folder.find("discharge.csv"), folder.find("diagnoses_icd.csv")
    procedures = _procedures(folder, counted)
    for record in MimicNotes(notes.parent, diagnoses=diagnoses).read(notes):
        if isinstance(record, Document):
            codes = record.metadata.get("codes", ())
            assert isinstance(codes, Sequence)
            labels = dict.fromkeys((*map(str, codes), *procedures.get(str(record.metadata.get("hadm_id")), ())))
            yield LabelledText(record.id.partition(":")[2], record.text, tuple(labels), group=record.patient or "")
        elif isinstance(record, Rejection):
            counted[f"note not read: {record.reason}"] += 1


def _procedures(folder: DataFolder, counted: Counter[str]) -> Mapping[str, Sequence[str]]:
    """Codes of ICD-9-CM's third volume and of ICD-10-PCS by admission."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for item in named_rows(
        folder.find("procedures_icd.csv"), ("hadm_id", "icd_code", "icd_version"), (), "Give MIMIC's procedures_icd table."
    ):
        if isinstance(item, Rejection):
            counted[f"procedure not read: {item.reason}"] += 1
            continue
        admission, code, version = (identifier(value) for value in item[1].values())
        if version == "9":
            found[admission].append(concept_id("ICD-9-CM", icd.with_dot(code, 2)))
        else:
            found[admission].append(concept_id("ICD-10-PCS", code))
    return found


def _with_codes(notes: Sequence[LabelledText], chosen: frozenset[str], counted: Counter[str]) -> list[LabelledText]:
    """The notes with chosen codes alone; one that has none of them is left out."""
    kept = [replace(note, labels=tuple(code for code in note.labels if code in chosen)) for note in notes]
    counted["code that is not among the chosen"] += sum(len(note.labels) for note in notes) - sum(len(note.labels) for note in kept)
    counted["note without a chosen code"] += sum(not note.labels for note in kept)
    return [note for note in kept if note.labels]
