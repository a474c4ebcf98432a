"""MedNLI: invented pairs in the official JSON Lines."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders.mednli import mednli
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def line(number: int, label: str) -> str:
    fields = {"gold_label": label, "pairID": f"23eb94b8-{number}", "sentence1": "Made-up premise.", "sentence2": f"Claim {number}."}
    return json.dumps({"sentence1_parse": "(ROOT)", "sentence1_binary_parse": "( )", **fields}) + "\n"


def write(folder: Path) -> DataFolder:
    for part in ("train", "dev", "test"):
        (folder / f"mli_{part}_v1.jsonl").write_text(line(1, "entailment") + line(2, "contradiction"))
    return DataFolder(folder, "Apply.")


def test_pairs_of_one_premise_belong_together(tmp_path: Path) -> None:
    one, other = mednli(write(tmp_path)).dev
    assert (one.text, one.second, one.labels, other.labels) == ("Made-up premise.", "Claim 1.", ("entailment",), ("contradiction",))
    assert one.group == other.group
    assert "premise" not in one.group


def test_a_line_without_a_label_is_an_error_without_text(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (tmp_path / "mli_test_v1.jsonl").write_text('{"pairID": "1", "sentence1": "Secret."}\n')
    with pytest.raises(DataError, match=r"no JSON object with pairID, .* \(.*mli_test_v1\.jsonl, line 1\)\. Apply\.$") as caught:
        mednli(folder)
    assert "Secret" not in str(caught.value)
