"""PubMed-RCT, in the folders of its repository."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.loaders import pubmed_rct
from clinical_modernbert.tasks.reading.data_folder import DataFolder

TEXT = "###24293578\nOBJECTIVE\tTo test 5 mg .\nRESULTS\tIt worked .\n\n###24854809\nMETHODS\tWe did .\n\n"


def test_sentences_have_their_roles_and_abstracts_are_groups(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}.txt").write_text(TEXT)
    sentences = pubmed_rct.pubmed_rct(DataFolder(tmp_path, "")).dev
    assert [(sentence.group, sentence.labels, sentence.text) for sentence in sentences] == [
        ("24293578", ("OBJECTIVE",), "To test 5 mg ."),
        ("24293578", ("RESULTS",), "It worked ."),
        ("24854809", ("METHODS",), "We did ."),
    ]


def test_a_clone_of_the_repository_gives_the_variant_of_the_card(tmp_path: Path) -> None:
    for name in ("PubMed_20k_RCT", "PubMed_20k_RCT_numbers_replaced_with_at_sign", "PubMed_200k_RCT"):
        (tmp_path / "pubmed-rct" / name).mkdir(parents=True)
        for part in ("train", "dev", "test"):
            (tmp_path / "pubmed-rct" / name / f"{part}.txt").write_text(TEXT)
    with pytest.raises(DataError, match=r"train has 3 examples, not 180,040: another or a partial copy \(.*PubMed_20k_RCT\)"):
        catalogue.load("pubmed-rct-20k", tmp_path)
    (tmp_path / "pubmed-rct" / "PubMed_200k_RCT" / "train.txt").rename(tmp_path / "pubmed-rct" / "PubMed_200k_RCT" / "train.7z")
    with pytest.raises(DataError, match=r"no train\.txt \(.*\)\. Clone .* and unpack train\.7z"):
        catalogue.load("pubmed-rct-200k", tmp_path)
