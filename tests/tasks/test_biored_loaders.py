"""BioRED, in BioC's JSON."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import biored
from clinical_modernbert.tasks.reading.data_folder import DataFolder

NAMES = ("Train.BioC.JSON", "Dev.BioC.JSON", "Test.BioC.JSON")


def annotation(offset: int, text: str, label: str, concept: str) -> dict[str, object]:
    infons = {"identifier": concept, "type": label}
    return {"id": "0", "infons": infons, "text": text, "locations": [{"offset": offset, "length": len(text)}]}


def relation(one: str, other: str, label: str) -> dict[str, object]:
    return {"id": "R0", "infons": {"entity1": one, "entity2": other, "type": label, "novel": "No"}}


DOCUMENT = {
    "id": "1",
    "passages": [
        {
            "offset": 0,
            "text": "GEN1 and drugs",
            "annotations": [annotation(0, "GEN1", "GeneOrGeneProduct", "11"), annotation(9, "drugs", "ChemicalEntity", "-")],
        },
        {
            "offset": 15,
            "text": "Aspirin treats fever and pain in rats with c.5del.",
            "annotations": [
                annotation(15, "Aspirin", "ChemicalEntity", "C1"),
                annotation(30, "fever and pain", "DiseaseOrPhenotypicFeature", "D1,D2"),
                annotation(48, "rats", "OrganismTaxon", "10116"),
                annotation(58, "c.5del", "SequenceVariant", "c|DEL|5|"),
                annotation(60, "Ibuprofen", "ChemicalEntity", "C2"),
            ],
        },
    ],
    "relations": [
        relation("D1", "C1", "Negative_Correlation"),
        relation("C1", "c|DEL|5|", "Association"),
        relation("C1", "D1", "Cause"),
        relation("11", "c|DEL|5|", "Association"),
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "BioRED").mkdir(exist_ok=True)
        (tmp_path / "BioRED" / name).write_text(json.dumps({"source": "PubTator", "documents": [DOCUMENT]}))
    return tmp_path


def test_mentions_have_the_characters_of_the_joined_passages(folder: Path) -> None:
    splits = biored.biored_ner(DataFolder(folder, ""))
    (example,) = splits.dev
    assert example.text == "GEN1 and drugs\nAspirin treats fever and pain in rats with c.5del."
    assert Span(15, 22, "ChemicalEntity") in example.spans
    assert example.text[58:64] == "c.5del"
    assert [span.label for span in example.spans if span.start >= 48] == ["OrganismTaxon", "SequenceVariant"]
    assert splits.counted["mention outside of its text"] == 3


def test_each_pair_of_annotated_kinds_is_an_example_with_its_relation(folder: Path) -> None:
    splits = biored.biored_relations(DataFolder(folder, ""))
    labels = {example.id: example.labels for example in splits.test}
    assert labels == {
        "1-11-C1": ("None",),
        "1-11-D1": ("None",),
        "1-11-D2": ("None",),
        "1-C1-D1": ("Negative_Correlation",),
        "1-C1-D2": ("None",),
        "1-C1-c|DEL|5|": ("Association",),
        "1-D1-c|DEL|5|": ("None",),
        "1-D2-c|DEL|5|": ("None",),
    }
    assert "<< Aspirin >> treats [[ fever and pain ]] in rats" in next(e.text for e in splits.test if e.id == "1-C1-D1")
    assert {example.group for example in splits.test} == {"1"}


def test_relations_that_are_left_out_are_counted(folder: Path) -> None:
    counted = biored.biored_relations(DataFolder(folder, "")).counted
    assert counted["second relation of a pair"] == 3
    assert counted["relation of concepts that are no pair"] == 3  # gene and variant, in three files
    assert counted["mention of no known concept"] == 3


def test_json_of_another_layout_is_refused_without_its_text(folder: Path) -> None:
    (folder / "BioRED" / NAMES[2]).write_text('{"documents": [{"id": "1", "passages": [{"text": "secret"}]}]}')
    with pytest.raises(DataError, match=r"not as BioC has it \(.*Test\.BioC\.JSON, documents\.0\.passages\.0\.offset\)") as error:
        biored.biored_ner(DataFolder(folder, ""))
    assert "secret" not in str(error.value)
