"""n2c2 2018, track 2: invented notes in BRAT's format."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import n2c2_2018
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TEXT = f"Pillum 5 mg for\nmade-up pain.\n{'-' * 400}\nOther 7 mg."
ANNOTATIONS = f"""T1\tDrug 0 6\tPillum
T2\tStrength 7 11\t5 mg
T3\tReason 16 23;24 28\tmade-up pain
T4\tDrug {len(TEXT) - 11} {len(TEXT) - 6}\tOther
T5\tStrength {len(TEXT) - 5} {len(TEXT) - 1}\t7 mg
R1\tStrength-Drug Arg1:T2 Arg2:T1
R2\tReason-Drug Arg1:T3 Arg2:T4
"""


def write(folder: Path, *parts: str) -> DataFolder:
    for number, part in enumerate(parts):
        (folder / part).mkdir(parents=True)
        (folder / part / f"10{number}.txt").write_text(TEXT)
        (folder / part / f"10{number}.ann").write_text(ANNOTATIONS)
    return DataFolder(folder, "Apply.")


def test_entities_are_spans_and_fragments_one_span_counted(tmp_path: Path) -> None:
    splits = n2c2_2018.entities(write(tmp_path, "training_20180910", "gold-standard-test-data/test"))
    (test,) = splits.test
    assert test.spans[:3] == (Span(0, 6, "Drug"), Span(7, 11, "Strength"), Span(16, 28, "Reason"))
    assert (test.id, len(test.spans), splits.counted["span in fragments"]) == ("101", 5, 2)


def test_relations_are_of_a_medicine_and_what_is_near_it(tmp_path: Path) -> None:
    splits = n2c2_2018.relations(write(tmp_path, "track2-training_data_2", "track2-training_data_3", "gold-standard-test-data"))
    assert [(pair.id, pair.labels) for pair in splits.test] == [
        ("102:T2-T1", ("Strength-Drug",)),
        ("102:T3-T1", ("none",)),
        ("102:T5-T4", ("none",)),
    ]
    assert splits.test[1].text == "[[ Pillum ]] 5 mg for\n<< made-up pain >>."
    assert splits.counted["relation of no candidate pair"] == 3
    assert {pair.group for pair in [*splits.train, *splits.dev]} == {"100", "101"}


def test_annotations_without_their_note_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "training_20180910", "gold-standard-test-data")
    (tmp_path / "gold-standard-test-data/102.ann").write_text(ANNOTATIONS)
    with pytest.raises(DataError, match=r"no \.txt file beside it \(.*102\.ann, the whole file\)\. Apply\."):
        n2c2_2018.entities(DataFolder(tmp_path, "Apply."))
