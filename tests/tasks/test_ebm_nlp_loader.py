"""EBM-NLP, in the folders of its version 2.0."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import ebm_nlp
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TOKENS = ["40\u2009kg", "adults", "took", "aspirin", "for", "pain", "."]
LABELS = {"participants": "1100000", "interventions": "0001000", "outcomes": "0100010"}


def write(folder: Path, train: int = 1) -> DataFolder:
    root = folder / "ebm_nlp_2_00"
    (root / "documents").mkdir(parents=True)
    for id in range(train + 1):
        (root / "documents" / f"{id}.tokens").write_text("\n".join(TOKENS))
        (root / "documents" / f"{id}.text").write_text("40\u2009kg adults took aspirin for pain.")
        for element, labels in LABELS.items():
            part = root / "annotations" / "aggregated" / "starting_spans" / element / ("train" if id else "test/gold")
            part.mkdir(parents=True, exist_ok=True)
            (part / f"{id}.AGGREGATED.ann").write_text("\n".join(labels))
    return DataFolder(folder, "")


def annotations(folder: Path, element: str, part: str) -> Path:
    return folder / "ebm_nlp_2_00" / "annotations" / "aggregated" / "starting_spans" / element / part


def test_runs_of_labelled_tokens_are_spans(tmp_path: Path) -> None:
    (example,) = ebm_nlp.ebm_nlp(write(tmp_path)).test
    assert example.text == "40\u2009kg adults took aspirin for pain ."
    assert example.spans == (
        Span(0, 12, "Participants"),
        Span(6, 12, "Outcomes"),
        Span(18, 25, "Interventions"),
        Span(30, 34, "Outcomes"),
    )
    assert [example.text[start:end] for start, end in example.words or ()] == TOKENS


def test_documents_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, 4)
    annotations(tmp_path, "outcomes", "train").joinpath("1.AGGREGATED.ann").write_text("0 0 1")
    annotations(tmp_path, "outcomes", "train").joinpath("2.AGGREGATED.ann").unlink()
    for element, labels in LABELS.items():
        annotations(tmp_path, element, "train").joinpath("0.AGGREGATED.ann").write_text(" ".join(labels))
    splits = ebm_nlp.ebm_nlp(DataFolder(folder.path, ""))
    assert {example.id for example in (*splits.train, *splits.dev)} == {"3", "4"}
    assert splits.counted == {
        "document with not as many labels as tokens": 1,
        "document without outcomes": 1,
        "training document that is in the test part": 1,
    }


def test_dev_is_set_aside_from_train(tmp_path: Path) -> None:
    splits = ebm_nlp.ebm_nlp(write(tmp_path, 40))
    assert 0 < len(splits.dev) < 15
    assert len(splits.train) + len(splits.dev) == 40


def test_labels_without_their_document_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, 2)
    (tmp_path / "ebm_nlp_2_00" / "documents" / "2.tokens").unlink()
    with pytest.raises(DataError, match=r"no 2\.tokens in documents"):
        ebm_nlp.ebm_nlp(DataFolder(folder.path, ""))
