"""i2b2's XML of 2006, 2012 and 2014: invented notes in the official layouts, their known slips, and what is refused."""

import logging
from collections import Counter
from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Attribute, Label, Refusal, Relation, Span

DEID = """<?xml version="1.0" encoding="UTF-8" ?>
<deIdi2b2>
<TEXT><![CDATA[

Record date: 2099-01-02
Seen by Dr. Testname & staff.
]]></TEXT>
<TAGS>
<DATE id="P0" start="15" end="25" text="2099-01-02" TYPE="DATE" comment="" />
<NAME id="P1" start="38" end="46" text="Testname" TYPE="DOCTOR" comment="sure" />
</TAGS>
</deIdi2b2>
"""
RISK = """<?xml version='1.0' encoding='UTF-8'?>
<root>
  <TEXT><![CDATA[High BP. Quit smoking.]]></TEXT>
  <TAGS>
    <HYPERTENSION id="DOC0" time="before DCT" indicator="mention">
      <HYPERTENSION id="M0" start="0" end="7" text="High BP" time="before DCT" indicator="mention" comment=""/>
      <HYPERTENSION id="M0" start="5" end="7" text="BP" time="before DCT" indicator="mention" comment=""/>
    </HYPERTENSION>
    <SMOKER id="DOC1" status="past"/>
    <FAMILY_HIST id="DOC2" start="-1" end="-1" indicator="not present"/>
  </TAGS>
</root>
"""
TIMES = """<?xml version="1.0" encoding="UTF-8" ?>
<ClinicalNarrativeTemporalAnnotation>
<TEXT><![CDATA[Admission Date :
03/30/1999
Fever & chills today .
]]></TEXT>
<TAGS>
<EVENT id="E0" start="1" end="10" text="Admission" modality="FACTUAL" polarity="POS" type="OCCURRENCE" />
<EVENT id="E1" start="29" end="43" text="Fever &amp; chills" modality="FACTUAL" polarity="NEG" type="PROBLEM" />
<TIMEX3 id="T0" start="44" end="49" text="today" type="DATE" val="1999-03-30" mod="NA" />
<SECTIME id="S0" start="18" end="28" text="03/30/1999" type="ADMISSION" dvalue="1999-03-30" />
<TLINK id="TL0" fromID="E1" fromText="Fever &amp; chills" toID="T0" toText="today" type="OVERLAP" />
<TLINK id="TL1" fromID="E1" fromText="Fever &amp; chills" toID="S0" toText="ADMISSION" type="" />
</TAGS>
</ClinicalNarrativeTemporalAnnotation>
"""
COHORT = """<?xml version="1.0" encoding="UTF-8" ?>
<PatientMatching>
<TEXT><![CDATA[A note.]]></TEXT>
<TAGS><ABDOMINAL met="not met" /><CREATININE met="met" /></TAGS>
</PatientMatching>
"""
RECORDS = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT>
<RECORD ID="1">
<TEXT>
Seen by <PHI TYPE="DOCTOR">Testname</PHI> on <PHI TYPE="DATE">1/2</PHI>/99 , T &lt; 38 .
[ report_end ]
</TEXT>
</RECORD>
<RECORD ID="2">
<SMOKING STATUS="NON-SMOKER"></SMOKING>
<TEXT>Never smoked .</TEXT>
</RECORD>
</ROOT>
"""
ALL = {"deid": DEID, "risk": RISK, "times": TIMES, "cohort": COHORT, "records": RECORDS}


def write(folder: Path, content: str, name: str = "100-01.xml") -> Path:
    (folder / name).write_bytes(content.encode())
    return folder / name


def read(path: Path, name: str = "i2b2-xml") -> tuple[list[AnnotatedDocument], list[Refusal]]:
    refusals: list[Refusal] = []
    return list(formats.open(path, name, refusals.append)), refusals


@pytest.mark.parametrize("name", ["Admission", "ADMISSION", "S0"])
def test_a_link_to_a_sections_time_has_its_type_for_an_id(tmp_path: Path, name: str) -> None:
    (tmp_path / "1.xml").write_text(TIMES.replace('toID="S0" toText="ADMISSION" type=""', f'toID="{name}" toText="Admission" type="AFTER"'))
    (document,) = formats.open(tmp_path)
    assert document.relations[-1] == Relation.binary("AFTER", "E1", "S0", "TL1")
    formats.write([document], tmp_path / "out", "i2b2-xml")
    assert 'toID="Admission" toText="Admission" type="AFTER"' in (tmp_path / "out" / "1.xml").read_text()


def test_a_link_to_a_section_without_a_time_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.xml").write_text(TIMES.replace('toID="S0"', 'toID="Discharge"'))
    refusals: list[Refusal] = []
    (document,) = formats.open(tmp_path, on_refusal=refusals.append)
    assert [relation.id for relation in document.relations] == ["TL0"]
    assert [refusal.reason for refusal in refusals] == ["names an id that is not here"]


def test_deidentification_of_2014_gives_spans_of_tag_and_type(tmp_path: Path) -> None:
    (document,) = formats.open(write(tmp_path, DEID))
    assert document.id == "100-01"
    assert document.spans == (
        Span("P0", "DATE:DATE", ((15, 25),), "2099-01-02"),
        Span("P1", "NAME:DOCTOR", ((38, 46),), "Testname"),
    )
    assert document.attributes == (Attribute("P1", "comment", "sure"),)
    assert document.metadata == {}


def test_risk_factors_of_2014_are_labels_with_their_evidence(tmp_path: Path) -> None:
    (document,) = formats.open(write(tmp_path, RISK))
    assert document.labels == (Label("HYPERTENSION", id="DOC0"), Label("SMOKER", id="DOC1"), Label("FAMILY_HIST", id="DOC2"))
    assert [(span.id, span.text) for span in document.spans] == [("M0", "High BP"), ("M0.2", "BP")]
    assert document.relations == (Relation.binary("evidence", "DOC0", "M0"), Relation.binary("evidence", "DOC0", "M0.2"))
    said = [(attribute.name, attribute.value) for attribute in document.attributes if attribute.target.startswith("DOC")]
    assert said == [("time", "before DCT"), ("indicator", "mention"), ("status", "past"), ("indicator", "not present")]


def test_times_of_2012_count_their_characters_from_one(tmp_path: Path) -> None:
    (document,) = formats.open(write(tmp_path, TIMES))
    assert [(span.label, span.text) for span in document.spans] == [
        ("EVENT:OCCURRENCE", "Admission"),
        ("EVENT:PROBLEM", "Fever & chills"),
        ("TIMEX3:DATE", "today"),
        ("SECTIME:ADMISSION", "03/30/1999"),
    ]
    assert document.relations == (Relation.binary("OVERLAP", "E1", "T0", "TL0"), Relation.binary("", "E1", "S0", "TL1"))
    assert Attribute("E1", "polarity", "NEG") in document.attributes
    assert document.metadata == {"root": "ClinicalNarrativeTemporalAnnotation", "first_offset": "1"}


def test_offsets_from_nought_are_read_as_such_in_the_same_layout(tmp_path: Path) -> None:
    shifted = TIMES.replace("CDATA[Admission", "CDATA[\nAdmission")
    (document,), refusals = read(write(tmp_path, shifted))
    assert ([span.text for span in document.spans][2:], refusals) == (["today", "03/30/1999"], [])
    assert "first_offset" not in document.metadata


def test_cohort_criteria_of_2018_are_labels(tmp_path: Path) -> None:
    (document,) = formats.open(write(tmp_path, COHORT))
    assert [label.name for label in document.labels] == ["ABDOMINAL", "CREATININE"]
    assert [(attribute.target, attribute.value) for attribute in document.attributes] == [("ABDOMINAL", "not met"), ("CREATININE", "met")]


def test_records_of_2006_are_documents_with_phi_or_a_smoking_status(tmp_path: Path) -> None:
    first, second = formats.open(write(tmp_path, RECORDS))
    assert first.text == "\nSeen by Testname on 1/2/99 , T < 38 .\n[ report_end ]\n"
    assert first.spans == (Span("T1", "DOCTOR", ((9, 17),), "Testname"), Span("T2", "DATE", ((21, 24),), "1/2"))
    assert second == AnnotatedDocument("2", "Never smoked .", labels=(Label("SMOKING", "NON-SMOKER"),))


@pytest.mark.parametrize("kind", ALL)
def test_what_is_read_is_written_and_read_again_as_it_was(tmp_path: Path, kind: str) -> None:
    name = "i2b2-2006" if kind == "records" else "i2b2-xml"
    documents = list(formats.open(write(tmp_path, ALL[kind]), name))
    formats.write(documents, tmp_path / "out", name)
    assert formats.detect(tmp_path / "out") == name
    assert list(formats.open(tmp_path / "out", name)) == documents


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("times", "Fever &amp; chills", "Fever & chills"),
        ("risk", "<?xml", "\n  <?xml"),
        ("risk", "<root>", "<?xml version='1.0' encoding='UTF-8'?>\n<root>"),
        ("records", "1/2</PHI>", '1/2<PHI TYPE="DOCTOR">'),
    ],
)
def test_known_slips_of_the_official_files_are_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, old: str, new: str
) -> None:
    name = "i2b2-2006" if kind == "records" else "i2b2-xml"
    whole = list(formats.open(write(tmp_path, ALL[kind]), name))
    with caplog.at_level(logging.WARNING):
        assert list(formats.open(write(tmp_path, ALL[kind].replace(old, new)), name)) == whole
    assert ("put right" in caplog.text) == (not new.startswith("\n"))
    assert not {"Fever", "Testname"} & set(caplog.text.split())


@pytest.mark.parametrize(
    ("kind", "old", "new", "reason"),
    [
        ("deid", 'start="38"', 'start="36"', "not what stands at its offsets"),
        ("deid", 'end="46"', 'end="4600"', "outside of the text"),
        ("deid", 'start="38"', 'start="58"', "empty or reversed"),
        ("deid", 'text="Testname"', "", "not what stands at its offsets"),
        ("deid", 'start="38"', 'start="x"', "no number"),
        ("deid", 'end="46"', 'end="-1"', "no number"),
        ("times", 'toID="T0"', 'toID="T9"', "names an id that is not here"),
        ("records", "Testname</PHI>", "<PHI/></PHI>", "an element of TEXT"),
        ("records", 'TYPE="DOCTOR"', "", "an element of TEXT"),
        ("records", 'RECORD ID="1"', "RECORD", "no RECORD with an ID"),
        ("records", ' STATUS="NON-SMOKER"', "", "nor a SMOKING"),
    ],
)
def test_a_wrong_element_is_an_error_with_its_line_and_no_text(tmp_path: Path, kind: str, old: str, new: str, reason: str) -> None:
    name = "i2b2-2006" if kind == "records" else "i2b2-xml"
    path = write(tmp_path, ALL[kind].replace(old, new, 1))
    with pytest.raises(DataError, match=r"100-01\.xml, line \d+, [A-Z0-9]+\)") as error:
        list(formats.open(path, name))
    assert reason in str(error.value)
    assert not {"Testname", "Fever"} & set(str(error.value).replace("'", " ").split())
    documents, refusals = read(path, name)
    assert len(refusals) == 1
    assert len(documents) == 1
    assert list(documents[0].faults()) == []


def test_relations_of_a_refused_span_are_refused_with_it(tmp_path: Path) -> None:
    (document,), refusals = read(write(tmp_path, TIMES.replace('start="29"', 'start="30"')))
    assert [refusal.where.split(", ")[1] for refusal in refusals] == ["EVENT", "TLINK", "TLINK"]
    assert document.relations == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<deIdi2b2><TEXT>",
        b"no xml",
        DEID.encode("utf-16"),
        DEID.replace("staff", "\x01").encode(),
        b"<a><TEXT>x</TEXT></a>",
        b"<a><TAGS/></a>",
        b"<a><TEXT>x<b/></TEXT><TAGS/></a>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><TEXT>&x;</TEXT><TAGS/></a>',
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a><TEXT>&y;</TEXT><TAGS/></a>',
        b"<a><TEXT>&nbsp;</TEXT><TAGS/></a>",
    ],
)
def test_a_file_that_is_no_such_xml_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    (tmp_path / "b.xml").write_text(DEID)
    with pytest.raises(DataError, match=r"\(.*a\.xml, (line \d+|the whole file)\)"):
        list(formats.open(tmp_path, "i2b2-xml"))
    documents, refusals = read(tmp_path)
    assert ([document.id for document in documents], len(refusals)) == (["b"], 1)


def test_a_billion_laughs_in_an_attribute_are_one_error(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    content = f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><a><TEXT>x</TEXT><TAGS><A id="&l11;"/></TAGS></a>'
    with pytest.raises(DataError):
        list(formats.open(write(tmp_path, content), "i2b2-xml"))


def test_what_the_xml_cannot_hold_is_listed(tmp_path: Path) -> None:
    text = "a b c"
    spans = (Span.over(text, "T1", "X", (0, 1), (4, 5)), Span.over(text, "T2", "X Y", (0, 1)), Span.over(text, "T3", "X", (2, 3)))
    relations = (Relation("E", (), "E1", "T3"), Relation.binary("r", "D1", "D2", "R1", between="concepts"))
    attributes = (Attribute("T3", "n", "v"), Attribute("T3", "n", "w"), Attribute("T3", "Ref", "D1", "concept"), Attribute("T3", "negated"))
    document = AnnotatedDocument("a", text, spans, relations, attributes, (Label("SMOKING", "UNKNOWN", "L1"),))
    refusals: list[Refusal] = []
    formats.write([document, AnnotatedDocument("b", "\x01")], tmp_path, "i2b2-xml", refusals.append)
    assert Counter(refusal.where.partition(", ")[2] for refusal in refusals) == Counter(
        ["label 'L1'", "span 'T1'", "span 'T2'", *["attribute ''"] * 3, "relation 'E1'", "relation 'R1'", ""]
    )
    (document,) = formats.open(tmp_path)
    assert [(attribute.name, attribute.value) for attribute in document.attributes] == [("n", "v")]


def test_what_2006_cannot_hold_is_listed(tmp_path: Path) -> None:
    text = "a b c"
    spans = (Span.over(text, "T1", "X", (0, 1), (4, 5)), Span.over(text, "T2", "X", (0, 3)), Span.over(text, "T3", "X", (2, 5)))
    refusals: list[Refusal] = []
    formats.write([AnnotatedDocument("1", text, spans, attributes=(Attribute("T2", "n"),))], tmp_path, "i2b2-2006", refusals.append)
    assert [refusal.where.partition(", ")[2] for refusal in refusals] == ["span 'T1'", "attribute ''", "span 'T3'"]
    (document,) = formats.open(tmp_path)
    assert [span.text for span in document.spans] == ["a b"]
