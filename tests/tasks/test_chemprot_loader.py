"""ChemProt in SciBERT's files."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.loaders import chemprot
from clinical_modernbert.tasks.reading.data_folder import DataFolder

LINES = (
    {"text": "<< Xanol >> inhibits [[ ABC1 ]] and DEF2.", "label": "INHIBITOR", "metadata": []},
    {"text": "<< Xanol >> inhibits ABC1 and [[ DEF2 ]].", "label": "INHIBITOR", "metadata": []},
    {"text": "[[ ABC1 ]] is activated by << Yanol >>.", "label": "ACTIVATOR", "metadata": []},
)


def write(folder: Path, *more: dict[str, object]) -> DataFolder:
    for name in ("train", "dev", "test"):
        (folder / f"{name}.txt").write_text("".join(json.dumps(line) + "\n" for line in (*LINES, *more)))
    return DataFolder(folder, "Copy it.")


def test_a_pair_has_its_relation_and_pairs_of_one_sentence_are_a_group(tmp_path: Path) -> None:
    splits = chemprot.chemprot(write(tmp_path))
    assert [example.labels for example in splits.train] == [("INHIBITOR",), ("INHIBITOR",), ("ACTIVATOR",)]
    assert [example.id for example in splits.train] == ["train-1", "train-2", "train-3"]
    one, two, other = (example.group for example in splits.test)
    assert one == two != other
    assert splits.test[0].text == LINES[0]["text"]


def test_a_text_without_marks_is_an_error_that_does_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"both arguments marked and a label \(.*train\.txt, line 4\)") as error:
        chemprot.chemprot(write(tmp_path, {"text": "Zanol binds [[ ABC1 ]].", "label": "ACTIVATOR"}))
    assert "Zanol" not in str(error.value)


def test_the_files_of_scibert_have_the_counts_and_labels_of_the_card(shared_data: Path) -> None:
    splits = catalogue.load("chemprot", shared_data / "benchmarks").splits
    assert len({label for example in splits.train for label in example.labels}) == 13
    assert 0 < len({example.group for example in splits.test}) < len(splits.test)
