"""PubMedQA's labelled part."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import pubmedqa
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def write(folder: Path, truth: dict[str, str]) -> DataFolder:
    items = {
        str(id): {
            "QUESTION": f"Does {id} work?",
            "CONTEXTS": ["We tried.", "It did."],
            "LABELS": ["METHODS", "RESULTS"],
            "MESHES": [],
            "final_decision": ("yes", "no", "maybe")[id % 3],
            "LONG_ANSWER": "It works.",
        }
        for id in range(42)
    }
    (folder / "data").mkdir()
    (folder / "data" / "ori_pqal.json").write_text(json.dumps(items))
    (folder / "data" / "test_ground_truth.json").write_text(json.dumps(truth))
    return DataFolder(folder, "")


def test_the_official_test_part_is_kept_and_dev_is_set_aside(tmp_path: Path) -> None:
    splits = pubmedqa.pubmedqa(write(tmp_path, {"0": "yes", "1": "no"}))
    first, second = splits.test
    assert (first.text, first.second, first.labels) == ("Does 0 work?", "We tried.\nIt did.", ("yes",))
    assert second.labels == ("no",)
    assert 0 < len(splits.dev) < 15
    assert {example.id for example in (*splits.train, *splits.dev)} == {str(id) for id in range(2, 42)}


@pytest.mark.parametrize("truth", [{"0": "no"}, {"99": "yes"}])
def test_answers_to_other_questions_are_refused(tmp_path: Path, truth: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"not answers of ori_pqal\.json \(.*test_ground_truth\.json\)"):
        pubmedqa.pubmedqa(write(tmp_path, truth))


def test_an_item_without_an_answer_is_refused_by_its_id(tmp_path: Path) -> None:
    folder = write(tmp_path, {})
    (tmp_path / "data" / "ori_pqal.json").write_text('{"7": {"QUESTION": "Why?", "CONTEXTS": []}}')
    with pytest.raises(DataError, match=r"no questions with contexts and an answer \(.*, id 7\)"):
        pubmedqa.pubmedqa(folder)
