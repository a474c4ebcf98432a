"""i2b2/VA 2010: invented notes in the folders of the official archives."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders import i2b2_2010
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TEXT = "Made-up Fever after Pillum .\nNo cough .\n"
CONCEPTS = (
    'c="fever" 1:1 1:1||t="problem"\nc="pillum" 1:3 1:3||t="treatment"\nc="cough" 2:1 2:1||t="problem"\n'
    'c="not there" 2:7 2:8||t="problem"\n'
)
ASSERTIONS = 'c="fever" 1:1 1:1||t="problem"||a="present"\nc="cough" 2:1 2:1||t="problem"||a="absent"\n'
RELATIONS = 'c="pillum" 1:3 1:3||r="TrCP"||c="fever" 1:1 1:1\n'
TRAIN, GOLD = "concept_assertion_relation_training_data", "reference_standard_for_test_data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, texts, concepts, name in (
        (f"{TRAIN}/beth", f"{TRAIN}/beth/txt", "concept", "record-1"),
        (f"{TRAIN}/partners", f"{TRAIN}/partners/txt", "concept", "0001_XX"),
        (GOLD, "test_data", "concepts", "0002"),
    ):
        files = {f"{texts}/{name}.txt": TEXT, f"{place}/{concepts}/{name}.con": CONCEPTS}
        files |= {f"{place}/ast/{name}.ast": ASSERTIONS, f"{place}/rel/{name}.rel": RELATIONS}
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
    (tmp_path / f"{TRAIN}/partners/unannotated").mkdir()
    for name in ("0002", "0003"):
        (tmp_path / f"{TRAIN}/partners/unannotated/{name}.txt").write_text("Nothing is known of this.")
    return tmp_path


def test_concepts_are_spans_of_whole_notes_with_the_files_words(folder: Path) -> None:
    splits = i2b2_2010.concepts(DataFolder(folder, ""))
    (test,) = splits.test
    assert {text.id for text in [*splits.train, *splits.dev]} == {"record-1", "0001_XX"}
    assert (test.id, test.text) == ("0002", TEXT)
    assert test.spans == (Span(8, 13, "problem"), Span(20, 26, "treatment"), Span(32, 37, "problem"))
    assert (test.words or ())[:2] == ((0, 7), (8, 13))
    assert splits.counted["not read: its text is not what stands at its line and words"] == 3
    assert splits.counted["note without annotations"] == 2


def test_assertions_are_of_the_problem_that_is_marked_in_its_line(folder: Path) -> None:
    fever, cough = i2b2_2010.assertions(DataFolder(folder, "")).test
    assert fever == LabelledText("0002:T1", "Made-up << Fever >> after Pillum .", ("present",), group="0002")
    assert (cough.text, cough.labels) == ("No << cough >> .", ("absent",))


def test_relations_are_of_pairs_in_a_line_with_a_problem_second(folder: Path) -> None:
    (pair,) = i2b2_2010.relations(DataFolder(folder, "")).test
    assert (pair.text, pair.labels, pair.group) == ("Made-up [[ Fever ]] after << Pillum >> .", ("TrCP",), "0002")
    (folder / GOLD / "rel/0002.rel").write_text("")
    (pair,) = i2b2_2010.relations(DataFolder(folder, "")).test
    assert pair.labels == ("none",)


def test_missing_notes_or_annotations_are_an_error(folder: Path) -> None:
    (folder / "test_data/0002.txt").rename(folder / "test_data/0004.txt")
    with pytest.raises(DataError, match=r"3 \.con files, 2 of them with a note \(.*\)\. Apply\."):
        i2b2_2010.concepts(DataFolder(folder, "Apply."))
    (folder / GOLD / "ast/0002.ast").unlink()
    with pytest.raises(DataError, match=rf"no \.ast files in a folder {GOLD}"):
        i2b2_2010.assertions(DataFolder(folder, "Apply."))
