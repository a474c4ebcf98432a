"""NLM-Gene, in BioC's XML, a file for each abstract."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import nlm_gene
from clinical_modernbert.tasks.reading.data_folder import DataFolder

XML = """<?xml version='1.0' encoding='utf-8' standalone='yes'?>
<!DOCTYPE collection SYSTEM 'BioC.dtd'>
<collection><source>PubTator</source><date/><key>BioC.key</key><document><id>{id}</id>
<passage><infon key="type">title</infon><offset>0</offset><text>ABC1 &lt;new&gt;</text>
<annotation id="0"><infon key="type">GENERIF</infon><infon key="NCBI Gene identifier">7</infon>
<location offset="0" length="4"/><text>ABCα</text></annotation></passage>
<passage><infon key="type">abstract</infon><offset>11</offset><text>DEF2 or 3 and the SH2 domain.</text>
<annotation id="1"><infon key="type">Gene</infon>
<location offset="11" length="4"/><location offset="19" length="1"/><text>DEF2 3</text></annotation>
<annotation id="2"><infon key="type">Domain</infon><location offset="29" length="3"/><text>SH2</text></annotation></passage>
</document></collection>"""


def write(folder: Path, train: int) -> DataFolder:
    (folder / "Corpus" / "FINAL").mkdir(parents=True)
    ids = [str(number) for number in range(train + 1)]
    (folder / "Corpus" / "Pmidlist.Test.txt").write_text("0\n")
    (folder / "Corpus" / "Pmidlist.Train.txt").write_text("\n".join(ids[1:]) + "\n")
    for id in ids:
        (folder / "Corpus" / "FINAL" / f"{id}.BioC.XML").write_text(XML.format(id=id))
    return DataFolder(folder, "")


def test_genes_of_all_types_are_spans_and_others_are_counted(tmp_path: Path) -> None:
    splits = nlm_gene.nlm_gene(write(tmp_path, 1))
    (example,) = splits.test
    assert example.text == "ABC1 <new>\nDEF2 or 3 and the SH2 domain."
    assert example.spans == (Span(0, 4, "Gene"), Span(11, 20, "Gene"))
    assert splits.counted["annotation of no gene"] == 2
    assert splits.counted["span in fragments"] == 2
    assert splits.counted["mention of other words than stand at its place"] == 2


def test_dev_is_set_aside_from_train(tmp_path: Path) -> None:
    splits = nlm_gene.nlm_gene(write(tmp_path, 40))
    assert [example.id for example in splits.test] == ["0"]
    assert 0 < len(splits.dev) < 15
    assert {example.id for example in (*splits.train, *splits.dev)} == {str(number) for number in range(1, 41)}


def test_an_abstract_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    (tmp_path / "Corpus" / "FINAL" / "0.BioC.XML").unlink()
    with pytest.raises(DataError, match=r"no 0\.BioC\.XML"):
        nlm_gene.nlm_gene(DataFolder(folder.path, ""))


def test_an_entity_that_only_a_dtd_could_explain_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    bomb = XML.format(id=0).replace("SYSTEM 'BioC.dtd'", "[<!ENTITY a 'lol'>]").replace("ABC1 &lt;", "&a; &lt;")
    (tmp_path / "Corpus" / "FINAL" / "0.BioC.XML").write_text(bomb)
    with pytest.raises(DataError, match="an XML entity"):
        nlm_gene.nlm_gene(folder)
