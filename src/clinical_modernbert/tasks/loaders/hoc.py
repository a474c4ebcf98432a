"""HoC: which hallmarks of cancer an abstract gives evidence of."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.whole_files import text_of

_HALLMARKS = {
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
}
_BETWEEN = re.compile("<|AND")


def hoc(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Abstracts with the hallmarks of their sentences, any number of the ten at the top of the taxonomy."""
    texts, labels = ({path.stem: path for path in folder.below(name, ".txt")} for name in ("text", "labels"))
    train, dev, test = (_part(folder, part, texts, labels) for part in ("train", "dev", "test"))
    return Splits(train, dev, test)


def _part(folder: DataFolder, part: str, texts: Mapping[str, Path], labels: Mapping[str, Path]) -> list[LabelledText]:
    names = (f"HoC/{part}_pmid.tsv", f"{part}_pmid.tsv")
    ids = [id for _, line in folder.lines(*names) for id in re.findall(r"\d+", line)]
    found = []
    for id in ids:
        if id not in texts or id not in labels:
            raise folder.damaged(folder.find(*names), f"names {id}, which is not in both text and labels")
        found.append(LabelledText(id, text_of(folder, texts[id]).strip(), _hallmarks(folder, labels[id])))
    return found


def _hallmarks(folder: DataFolder, path: Path) -> tuple[str, ...]:
    """The hallmarks in a file: `<` begins a sentence, `AND` divides its labels, `--` the levels of one."""
    said = {label.partition("--")[0].strip().lower() for label in _BETWEEN.split(text_of(folder, path))} - {"", "null"}
    if not said <= _HALLMARKS:
        raise folder.damaged(path, "a label that is none of the ten hallmarks")
    return tuple(sorted(said))
