"""Chest x-ray changes and social history: invented text in BRAT's format, in the folders of the official archives."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import TaggedText
from clinical_modernbert.tasks.loaders import uw_bionlp
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def test_snippets_are_the_lines_of_a_file_with_their_own_offsets(tmp_path: Path) -> None:
    data = tmp_path / "events-COS-corpus/release_Jan_1_2015/data"
    data.mkdir(parents=True)
    (data / "snippet1_100.txt").write_text("Made-up increase\nin haze .\n")
    annotations = ("T1\tCos 8 16\tincrease", "T2\tVal 20 24\thaze", "T3\tCos 8 19\tincrease in", "R1\tValue Arg1:T1 Arg2:T2")
    (data / "snippet1_100.ann").write_text("\n".join(annotations))
    splits = uw_bionlp.cos(DataFolder(tmp_path, ""))
    assert sorted([*splits.train, *splits.dev, *splits.test], key=lambda text: text.id) == [
        TaggedText("snippet1_100:1", "Made-up increase", (Span(8, 16, "Cos"),)),
        TaggedText("snippet1_100:2", "in haze .", (Span(3, 7, "Val"),)),
    ]
    assert splits.counted["span of several lines"] == 1


def test_social_history_is_one_example_of_a_report(tmp_path: Path) -> None:
    (tmp_path / "SocialHistoryMTSamples").mkdir()
    (tmp_path / "SocialHistoryMTSamples/7.txt").write_text("Drinks made-up wine.\n")
    (tmp_path / "SocialHistoryMTSamples/7.ann").write_text("T1\tAlcohol 0 6\tDrinks\nE1\tAlcohol:T1\nA1\tStatus E1 current\n")
    splits = uw_bionlp.social_history(DataFolder(tmp_path, ""))
    assert [*splits.train, *splits.dev, *splits.test] == [TaggedText("7", "Drinks made-up wine.\n", (Span(0, 6, "Alcohol"),))]


def test_another_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "7.ann").write_text("")
    with pytest.raises(DataError, match=r"no \.txt files in a folder SocialHistoryMTSamples \(.*\)\. Unpack\."):
        uw_bionlp.social_history(DataFolder(tmp_path, "Unpack."))
