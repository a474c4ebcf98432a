"""i2b2 2012: invented notes in the official XML."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders import i2b2_2012
from clinical_modernbert.tasks.reading.data_folder import DataFolder

NOTE = """<?xml version="1.0" encoding="UTF-8" ?>
<ClinicalNarrativeTemporalAnnotation>
<TEXT><![CDATA[Admission Date :
03/30/2099
Fever today & more .
]]></TEXT>
<TAGS>
<EVENT id="E0" start="1" end="10" text="Admission" modality="FACTUAL" polarity="POS" type="OCCURRENCE" />
<EVENT id="E1" start="29" end="34" text="Fever" modality="FACTUAL" polarity="POS" type="PROBLEM" />
<TIMEX3 id="T0" start="35" end="40" text="today" type="DATE" val="2099-03-30" mod="NA" />
<SECTIME id="S0" start="18" end="28" text="03/30/2099" type="ADMISSION" dvalue="2099-03-30" />
<TLINK id="TL0" fromID="E1" fromText="Fever" toID="T0" toText="today" type="SIMULTANEOUS" />
<TLINK id="TL1" fromID="E1" fromText="Fever" toID="T0" toText="today" type="BEFORE" />
<TLINK id="TL2" fromID="E0" fromText="Admission" toID="Admission" toText="Admission" type="BEFORE_OVERLAP" />
<TLINK id="TL4" fromID="E1" fromText="Fever" toID="E1" toText="Fever" type="OVERLAP" />
<TLINK id="TL3" fromID="E0" fromText="Admission" toID="E1" toText="" type="" />
</TAGS>
</ClinicalNarrativeTemporalAnnotation>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("2012-07-15.original-annotation.release/1.xml", "ground_truth/merged_xml/2.xml", "ground_truth/unmerged_i2b2/2.xml"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(NOTE)
    (tmp_path / "2012-07-15.original-annotation.release/1.xml.txt").write_text("the text alone")
    return tmp_path


def test_events_and_times_are_spans_by_their_type(folder: Path) -> None:
    (test,) = i2b2_2012.events(DataFolder(folder, "")).test
    assert (test.id, test.spans) == ("2", (Span(0, 9, "OCCURRENCE"), Span(28, 33, "PROBLEM")))
    splits = i2b2_2012.times(DataFolder(folder, ""))
    assert splits.test[0].spans == (Span(34, 39, "DATE"),)
    assert [text.id for text in [*splits.train, *splits.dev]] == ["1"]


def test_links_have_three_types_and_what_is_left_out_is_counted(folder: Path) -> None:
    splits = i2b2_2012.links(DataFolder(folder, ""))
    same, before = splits.test
    assert same == LabelledText("2:TL0", "<< Fever >> [[ today ]] & more .", ("OVERLAP",), group="2")
    assert (before.text, before.labels) == ("<< Admission >> Date :\n[[ 03/30/2099 ]]", ("BEFORE",))
    assert splits.counted == {"second link of a pair": 2, "link without a known type": 2, "link of something to itself": 2}


def test_a_file_that_is_no_xml_is_an_error_with_its_line(folder: Path) -> None:
    (folder / "ground_truth/merged_xml/2.xml").write_text("<ClinicalNarrativeTemporalAnnotation>\n<TEXT>Fever")
    with pytest.raises(DataError, match=r"not well-formed XML \(.*merged_xml/2\.xml, line 2\)\. Apply\."):
        i2b2_2012.links(DataFolder(folder, "Apply."))
