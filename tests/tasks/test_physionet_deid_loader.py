"""PhysioNet's nursing notes: invented ones in the layout of `id.text` and `id-phi.phrase`."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import TaggedText
from clinical_modernbert.tasks.loaders.physionet_deid import deid
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TEXT = """
START_OF_RECORD=1||||2||||
Seen by Test
Name at noon.

||||END_OF_RECORD

START_OF_RECORD=3||||1||||
Nothing here.
||||END_OF_RECORD
"""
PHRASES = "1 2 8 17 HCPName Test Name\n1 2 21 25 Date moon\n9 1 0 4 Date noon\n"


def write(folder: Path, text: str = TEXT, phrases: str = PHRASES) -> DataFolder:
    (folder / "id.text").write_text(text)
    (folder / "id-phi.phrase").write_text(phrases)
    return DataFolder(folder, "Apply.")


def test_places_are_characters_of_the_note_and_others_are_counted(tmp_path: Path) -> None:
    splits = deid(write(tmp_path))
    assert sorted([*splits.train, *splits.dev, *splits.test], key=lambda text: text.id) == [
        TaggedText("1-2", "Seen by Test\nName at noon.\n", (Span(8, 17, "HCPName"),), group="1"),
        TaggedText("3-1", "Nothing here.", (), group="3"),
    ]
    assert splits.counted == {"place with another phrase": 1, "place in a note that is not there": 1}


@pytest.mark.parametrize(
    ("text", "phrases", "message"),
    [
        (TEXT.replace("||||END_OF_RECORD\n\n", ""), PHRASES, r"does not begin or end \(.*id\.text, line 6\)\. Apply\."),
        (TEXT.rpartition("||||END")[0], PHRASES, r"a record that does not end \(.*id\.text, line 9\)\. Apply\."),
        (TEXT, "1 2 8 Secret Name\n", r"and a phrase \(.*id-phi\.phrase, line 1\)\. Apply\."),
    ],
)
def test_a_damaged_file_is_an_error_with_a_line_and_no_text(tmp_path: Path, text: str, phrases: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        deid(write(tmp_path, text, phrases))
    assert "Secret" not in str(caught.value)
