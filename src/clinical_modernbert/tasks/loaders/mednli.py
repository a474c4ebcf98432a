"""MedNLI: sentences of patients' histories, and whether another sentence follows."""

from collections.abc import Sequence
from hashlib import blake2b

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def mednli(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """Entailment, contradiction or neither; the hypotheses of one premise belong together."""
    train, dev, test = (_pairs(folder, f"mli_{part}_v1.jsonl") for part in ("train", "dev", "test"))
    return Splits(train, dev, test)


def _pairs(folder: DataFolder, name: str) -> list[LabelledText]:
    return [
        LabelledText(
            str(item["pairID"]),
            item["sentence1"],
            (item["gold_label"],),
            second=item["sentence2"],
            group=blake2b(item["sentence1"].encode(), digest_size=8).hexdigest(),
        )
        for _, item in folder.json_lines(name, needed=("pairID", "sentence1", "sentence2", "gold_label"))
    ]
