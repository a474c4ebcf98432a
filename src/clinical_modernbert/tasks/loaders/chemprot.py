"""ChemProt as SciBERT has it: a sentence, a chemical and a protein marked in it, and what holds between them."""

from collections.abc import Sequence

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.relations import HEAD, TAIL

_MARKS = (*HEAD, *TAIL)


def chemprot(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Which of 13 relations it is; pairs without a relation are not in these files."""
    train, dev, test = (_read(folder, part) for part in ("train", "dev", "test"))
    return Splits(train, dev, test)


def _read(folder: DataFolder, part: str) -> list[LabelledText]:
    """The examples of a file; those of one sentence are a group."""
    name = f"{part}.txt"
    found = []
    groups: dict[str, str] = {}
    for number, item in folder.json_lines(name, needed=("text", "label")):
        text, label = item["text"], item["label"]
        if not isinstance(text, str) or not isinstance(label, str) or not all(mark in text for mark in _MARKS):
            raise folder.damaged(folder.find(name), "no text with both arguments marked and a label", f"line {number}")
        sentence = text
        for mark in _MARKS:
            sentence = sentence.replace(mark, "")
        group = groups.setdefault(sentence, f"{part}-sentence-{len(groups) + 1}")
        found.append(LabelledText(f"{part}-{number}", text, (label,), group=group))
    return found
