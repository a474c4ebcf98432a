"""DDI: sentences of DrugBank and MEDLINE with two drugs, and how these interact."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_modernbert.formats.document import says
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.relations import marked
from clinical_modernbert.tasks.reading.splitting import set_aside
from clinical_modernbert.tasks.reading.whole_files import tree_of

_LABELS = {"false", "mechanism", "effect", "advise", "int"}
_RANGE = re.compile(r"(\d+)-(\d+)")


def ddi(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """An example for each two drugs of a sentence: one of four kinds of interaction, or `false`."""
    counted: Counter[str] = Counter()
    train, test = (
        [pair for path in folder.below(part, ".xml") for pair in _pairs(folder, path, counted)]
        for part in ("Train", "Test for DDI Extraction task")
    )
    return Splits(*set_aside(train), test, counted)


def _pairs(folder: DataFolder, path: Path, counted: Counter[str]) -> Iterator[LabelledText]:
    document = tree_of(folder, path)
    for sentence in document.iter("sentence"):
        text = sentence.get("text", "")
        drugs = {entity.get("id"): _places(entity.get("charOffset", "")) for entity in sentence.iter("entity")}
        counted["drug of other words than stand at its place"] += sum(
            not says(text, drugs[entity.get("id")], entity.get("text", "")) for entity in sentence.iter("entity")
        )
        for pair in sentence.iter("pair"):
            id, arguments = pair.get("id", ""), (pair.get("e1"), pair.get("e2"))
            label = pair.get("type") if pair.get("ddi") == "true" else pair.get("ddi")
            if label is None and pair.get("ddi"):
                counted["interaction without a type"] += 1
                continue
            if label not in _LABELS or not all(drugs.get(argument) for argument in arguments):
                raise folder.damaged(path, "no interaction of two drugs of its sentence", f"pair {id!a}")
            both = marked(text, *(drugs[argument] for argument in arguments))
            yield LabelledText(id, both, (label,), group=document.get("id", path.stem))


def _places(offsets: str) -> list[tuple[int, int]]:
    """The ranges of `charOffset`, `;` between those of a drug in several pieces; its ends are last characters."""
    return [(int(first), int(last) + 1) for first, last in _RANGE.findall(offsets)]
