"""DDI, in the XML of SemEval-2013's task 9."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import ddi
from clinical_modernbert.tasks.reading.data_folder import DataFolder

XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<document id="DDI-{id}">
  <sentence id="DDI-{id}.s0" text="Aspirin raises loop or thiazide diuretics &amp; gin.">
    <entity id="DDI-{id}.s0.e0" charOffset="0-6" type="drug" text="Aspirin"/>
    <entity id="DDI-{id}.s0.e1" charOffset="15-18;32-40" type="group" text="loop diuretics"/>
    <entity id="DDI-{id}.s0.e2" charOffset="44-46" type="drug_n" text="rum"/>
    <pair id="DDI-{id}.s0.p0" e1="DDI-{id}.s0.e0" e2="DDI-{id}.s0.e1" ddi="true" type="mechanism"/>
    <pair id="DDI-{id}.s0.p1" e1="DDI-{id}.s0.e0" e2="DDI-{id}.s0.e2" ddi="false"/>
    <pair id="DDI-{id}.s0.p2" e1="DDI-{id}.s0.e1" e2="DDI-{id}.s0.e2" ddi="true"/>
  </sentence>
  <sentence id="DDI-{id}.s1" text="Nothing here."/>
</document>"""
TEST = "Test/Test for DDI Extraction task/MedLine"


def write(folder: Path, train: int = 1) -> DataFolder:
    root = folder / "DDICorpus"
    for part, ids in (("Train/DrugBank", range(train)), (TEST, (1000,)), ("Test/Test for DrugNER task/MedLine", (1000,))):
        (root / part).mkdir(parents=True)
        for id in ids:
            (root / part / f"{id}.xml").write_text(XML.format(id=id))
    return DataFolder(folder, "")


def test_each_pair_is_an_example_with_its_drugs_marked(tmp_path: Path) -> None:
    splits = ddi.ddi(write(tmp_path))
    assert [(example.id, example.labels) for example in splits.test] == [
        ("DDI-1000.s0.p0", ("mechanism",)),
        ("DDI-1000.s0.p1", ("false",)),
    ]
    assert splits.test[0].text == "<< Aspirin >> raises [[ loop ]] or thiazide [[ diuretics ]] & gin."
    assert splits.test[1].text.endswith("[[ gin ]].")
    assert {example.group for example in splits.test} == {"DDI-1000"}
    assert splits.counted == {"interaction without a type": 2, "drug of other words than stand at its place": 2}


def test_dev_has_whole_documents_of_train(tmp_path: Path) -> None:
    splits = ddi.ddi(write(tmp_path, 40))
    train, dev = ({example.group for example in part} for part in (splits.train, splits.dev))
    assert train
    assert dev
    assert not train & dev
    assert len(splits.train) + len(splits.dev) == 80


def test_a_pair_of_an_unknown_drug_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (tmp_path / "DDICorpus" / TEST / "1000.xml").write_text(XML.format(id=1000).replace('e2="DDI-1000.s0.e1"', 'e2="DDI-1000.s9.e1"'))
    with pytest.raises(DataError, match=r"no interaction of two drugs of its sentence \(.*1000\.xml, pair 'DDI-1000\.s0\.p0'\)"):
        ddi.ddi(folder)


def test_a_copy_without_the_test_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Train").mkdir()
    (tmp_path / "Train" / "1.xml").write_text(XML.format(id=1))
    with pytest.raises(DataError, match=r"no \.xml files in a folder Test for DDI Extraction task"):
        ddi.ddi(DataFolder(tmp_path, ""))
