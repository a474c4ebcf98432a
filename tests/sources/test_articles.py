import gzip
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Articles, Document, Rejection

JATS = """<!DOCTYPE article PUBLIC "-//NLM//DTD" "JATS.dtd">
<article xmlns:mml="http://www.w3.org/1998/Math/MathML" xmlns:xlink="http://www.w3.org/1999/xlink">
<front><journal-meta><journal-title-group><journal-title>J Test</journal-title></journal-title-group></journal-meta>
<article-meta><article-id pub-id-type="pmc">12</article-id><article-id pub-id-type="pmid">34</article-id>
<title-group><article-title>On CO<sub>2</sub><xref ref-type="fn"><sup>a</sup></xref></article-title></title-group>
<pub-date><year>2012</year></pub-date><pub-date><year>2011</year></pub-date>
<permissions><license xlink:href="http://creativecommons.org/licenses/by/2.0"/></permissions>
<abstract><sec><title>Aims</title><p>To measure.</p></sec></abstract></article-meta></front>
<body><sec><title>Methods</title><sec><title>Patients</title>
<p>We saw
  <italic>many</italic><sup><xref ref-type="bibr">1</xref></sup>, see [<xref ref-type="bibr">2</xref>].
  <fig><label>Fig 1</label><caption><p>A curve.</p></caption><graphic/></fig></p>
<p>With <inline-formula><alternatives><graphic/><tex-math>\\begin{document}$x$\\end{document}</tex-math>
<mml:math><mml:mi>x</mml:mi></mml:math>
</alternatives></inline-formula> = 1.</p>
<list><list-item><p>first</p></list-item><list-item><p>second</p></list-item></list>
<table-wrap><label>Table 1</label><caption><title>Ages.</title></caption><table><tr><td>77</td></tr></table></table-wrap></sec>
<sec><title>Statistics</title><p>None.</p></sec></sec></body>
<back><ref-list><ref>Nobody 1999</ref></ref-list></back></article>"""
LAYOUT = """On CO2a

Abstract
Aims
To measure.

Methods
Patients
We saw many, see [2].

Fig 1 A curve.

With x = 1.

first

second

Table 1 Ages.

Statistics
None."""
LINE = {
    "pmcid": "PMC9",
    "license": "CC BY 4.0",
    "title": "T",
    "abstract": [{"label": "Aims", "text": "A."}, {"label": "", "text": "B."}],
    "body": [{"section": "Methods", "paragraphs": ["one", "two"]}, {"section": "Methods > Patients", "paragraphs": ["three"]}],
}


def read(folder: Path, name: str, content: str) -> list[object]:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return list(Articles(path).read(path))


@pytest.mark.parametrize("name", ["a.nxml", "a.nxml.gz"])
def test_jats_becomes_titles_and_paragraphs_without_tables_and_references(tmp_path: Path, name: str) -> None:
    (document,) = read(tmp_path, name, JATS)
    assert isinstance(document, Document)
    assert document.text == LAYOUT


def test_jats_metadata_names_the_articles_own_licence(tmp_path: Path) -> None:
    (document,) = read(tmp_path, "a.nxml", JATS)
    assert isinstance(document, Document)
    assert document.id == "articles:PMC12"
    known = {"pmcid": "PMC12", "pmid": "34", "journal": "J Test", "year": 2011, "licence": "CC BY 2.0", "abstract_paragraphs": 1}
    assert document.metadata == known


def test_json_lines_have_the_same_layout(tmp_path: Path) -> None:
    (document,) = read(tmp_path, "a.jsonl.gz", json.dumps(LINE))
    assert isinstance(document, Document)
    assert document.text == "T\n\nAbstract\nAims\nA.\n\nB.\n\nMethods\none\n\ntwo\n\nPatients\nthree"
    assert (document.id, document.metadata["licence"]) == ("articles:PMC9", "CC BY 4.0")


@pytest.mark.parametrize(
    "broken", ['{"title": 3}', '{"body": {"section": "x"}}', '{"body": [{"paragraphs": [1]}]}', '{"abstract": ["x"]}', "{"]
)
def test_a_line_of_another_shape_is_rejected_and_the_rest_is_read(tmp_path: Path, broken: str) -> None:
    first, second = read(tmp_path, "a.jsonl", f"{broken}\n{json.dumps(LINE)}\n")
    assert isinstance(first, Rejection)
    assert first.where == "line 1"
    assert isinstance(second, Document)


def test_an_entity_of_the_dtd_rejects_the_article_instead_of_losing_a_character(tmp_path: Path) -> None:
    (record,) = read(tmp_path, "a.nxml", JATS.replace("A curve", "A&nbsp;curve"))
    assert isinstance(record, Rejection)


@pytest.mark.parametrize(("depth", "fits"), [(200, True), (5000, False)])
def test_deep_nesting_is_read_or_refused(tmp_path: Path, depth: int, fits: bool) -> None:
    content = JATS.replace("A curve.", "<i>" * depth + "deep" + "</i>" * depth)
    if fits:
        (document,) = read(tmp_path, "a.nxml", content)
        assert isinstance(document, Document)
        assert "Fig 1 deep" in document.text
    else:
        with pytest.raises(DataError, match="not well-formed"):
            read(tmp_path, "a.nxml", content)


def test_every_real_article_is_read_with_its_sections(shared_data: Path) -> None:
    source = Articles(shared_data / "articles")
    documents = [record for path in source.files() for record in source.read(path)]
    assert len(documents) == 2398 + 27
    assert all(isinstance(document, Document) for document in documents)
    assert sum(len(document.text) > 20_000 for document in documents if isinstance(document, Document)) > 1000


def test_every_plain_paragraph_of_real_jats_stands_in_the_text_as_it_is(shared_data: Path) -> None:
    source = Articles(shared_data / "articles/nxml")
    checked = 0
    for path in source.files():
        with gzip.open(path) as stream:
            body = ElementTree.parse(stream).getroot().find("body")
        assert body is not None
        (document,) = source.read(path)
        assert isinstance(document, Document)
        kept = [
            p
            for sec in body.iter("sec")
            for p in sec.findall("p")
            if {part.tag for part in p.iter()} <= {"p", "italic", "bold", "sub", "xref"}
        ]
        lines = document.text.split("\n")
        assert all(" ".join(re.split(r"[ \t\r\n]+", "".join(p.itertext()))).strip() in lines for p in kept)
        checked += len(kept)
    assert checked > 400
