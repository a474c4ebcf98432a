import gzip
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Deletion, Document, PubMed, Rejection

CITATION = """<MedlineCitation><PMID Version="2">11</PMID><Article>
  <Journal><JournalIssue><PubDate><MedlineDate>1998 Dec-1999 Jan</MedlineDate></PubDate></JournalIssue><Title>J Test</Title></Journal>
  <ArticleTitle>The <i>BRCA1</i> gene, LE<sub>min</sub> and CO<sub>2</sub></ArticleTitle>
  <Abstract>
    <AbstractText Label="AIMS" NlmCategory="OBJECTIVE">One<!-- no --> &amp; t<?pi no?>wo.</AbstractText>
    <AbstractText Label="RESULTS:">p &lt; 0.05</AbstractText>
    <CopyrightInformation>(c) nobody</CopyrightInformation>
  </Abstract>
  <Language>ger</Language><VernacularTitle>Das Gen</VernacularTitle>
  <PublicationTypeList><PublicationType UI="D016428">Retracted Publication</PublicationType></PublicationTypeList></Article>
  <MeshHeadingList><MeshHeading><DescriptorName UI="D019398">Genes, BRCA1</DescriptorName></MeshHeading></MeshHeadingList>
  <OtherAbstract Language="ger"><AbstractText>Eins.</AbstractText></OtherAbstract>
  <OtherAbstract Language="ger"><AbstractText>Zwei.</AbstractText></OtherAbstract></MedlineCitation>"""
DELETED = "<DeleteCitation><PMID Version='1'>7</PMID><PMID>8</PMID></DeleteCitation>"
ARTICLE_SET = f"<PubmedArticleSet><PubmedArticle>{CITATION}<PubmedData/></PubmedArticle>{DELETED}</PubmedArticleSet>"


def read(folder: Path, content: str | bytes, name: str = "a.xml") -> list[object]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(PubMed(path).read(path))


def test_text_is_the_elements_text_with_no_character_added_or_lost(tmp_path: Path) -> None:
    document = read(tmp_path, ARTICLE_SET)[0]
    assert isinstance(document, Document)
    assert document.text == "The BRCA1 gene, LEmin and CO2\n\nAIMS: One & two.\nRESULTS: p < 0.05"


def test_metadata_says_what_the_citation_says(tmp_path: Path) -> None:
    document = read(tmp_path, ARTICLE_SET)[0]
    assert isinstance(document, Document)
    assert document.id == "pubmed:11"
    assert document.metadata == {
        "year": 1998,
        "language": "ger",
        "journal": "J Test",
        "publication_types": ["Retracted Publication"],
        "mesh": ["Genes, BRCA1"],
        "mesh_ui": ["D019398"],
        "version": 2,
        "retracted": True,
        "abstract_paragraphs": 1,
    }


def test_an_abstract_in_another_language_is_a_document_of_its_own(tmp_path: Path) -> None:
    others = [record for record in read(tmp_path, ARTICLE_SET)[1:] if isinstance(record, Document)]
    assert [(other.id, other.text) for other in others] == [("pubmed:11#ger", "Das Gen\n\nEins."), ("pubmed:11#ger-2", "Das Gen\n\nZwei.")]
    assert all(other.metadata["language"] == "ger" and other.metadata["version"] == 2 for other in others)


def test_deletions_come_in_their_place(tmp_path: Path) -> None:
    assert read(tmp_path, ARTICLE_SET)[-2:] == [Deletion("pubmed:7"), Deletion("pubmed:8")]


@pytest.mark.parametrize("shape", ["<MedlineCitationSet>{}</MedlineCitationSet>", "<PubmedArticle>{}</PubmedArticle>", "{}"])
def test_old_and_single_roots_hold_the_same_citation(tmp_path: Path, shape: str) -> None:
    assert read(tmp_path, shape.format(CITATION)) == read(tmp_path, ARTICLE_SET)[:3]


def test_a_citation_without_abstract_or_pmid_is_never_lost(tmp_path: Path) -> None:
    content = "<MedlineCitation><PMID>3</PMID><Article><ArticleTitle>T</ArticleTitle></Article></MedlineCitation><MedlineCitation/>"
    document, rejection = read(tmp_path, f"<MedlineCitationSet>{content}</MedlineCitationSet>")
    assert isinstance(document, Document)
    assert document.text == "T"
    assert isinstance(rejection, Rejection)
    assert rejection.where == "citation 2"


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_a_cut_off_gzip_yields_what_came_before_then_one_clear_error(tmp_path: Path, keep: float) -> None:
    articles = "".join(f"<PubmedArticle>{CITATION.replace('>11<', f'>{i}<')}</PubmedArticle>" for i in range(3000))
    packed = gzip.compress(f"<PubmedArticleSet>{articles}</PubmedArticleSet>".encode(), 0)
    path = tmp_path / "cut.xml.gz"
    path.write_bytes(packed[: int(len(packed) * keep)])
    seen = []
    with pytest.raises(DataError, match=r"cut-off gzip file \(.*cut\.xml\.gz\)\. Fetch it again\."):
        seen.extend(PubMed(path).read(path))
    assert len(seen) > 9000 * keep - 300


def test_malformed_xml_names_file_and_line_but_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not well-formed XML \(.*a\.xml, line 1\)") as error:
        read(tmp_path, "<PubmedArticleSet><Secret>mellitus</Wrong></PubmedArticleSet>")
    assert "Secret" not in str(error.value)
    assert "mellitus" not in str(error.value)


def test_another_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="root element is not PubmedArticleSet"):
        read(tmp_path, "<html/>")


def test_entities_neither_read_files_nor_expand(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("stolen")
    doctype = f'<!DOCTYPE S [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "grown">]>'
    body = ARTICLE_SET.replace("One", "&x;&y;")
    first = read(tmp_path, doctype + body)[0]
    assert first == Rejection(str(tmp_path / "a.xml"), "pubmed:11", "an XML entity that only its DTD could explain")


def test_an_entity_bomb_is_one_clear_error(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    with pytest.raises(DataError, match="not well-formed XML"):
        read(tmp_path, f'<!DOCTYPE S [<!ENTITY a0 "ha">{entities}]>' + ARTICLE_SET.replace('Label="AIMS"', 'Label="&a11;"'))


def test_folders_are_read_in_order_of_file_names(tmp_path: Path) -> None:
    for name in ("updatefiles/p26n1335.xml.gz", "baseline/p26n0002.xml", "baseline/p26n0001.xml.gz", "baseline/.p.xml", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name[:8] for file in PubMed(tmp_path).files()] == ["p26n0001", "p26n0002", "p26n1335"]


def test_a_missing_or_empty_folder_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="Check the path"):
            PubMed(path).files()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, len(ARTICLE_SET) - 1), st.binary(max_size=3)), max_size=6), packed=st.booleans())
def test_damaged_bytes_give_records_or_one_data_error(tmp_path: Path, edits: list[tuple[int, bytes]], packed: bool) -> None:
    content = bytearray(gzip.compress(ARTICLE_SET.encode()) if packed else ARTICLE_SET.encode())
    for position, replacement in edits:
        content[position % len(content) : position % len(content) + 1] = replacement
    try:
        records = read(tmp_path, bytes(content), "fuzz.xml.gz" if packed else "fuzz.xml")
    except DataError:
        return
    assert all(isinstance(record, Document | Deletion | Rejection) for record in records)


def test_every_real_file_reads_as_a_second_parser_reads_it(shared_data: Path) -> None:
    source = PubMed(shared_data / "pubmed")
    documents = citations = deletions = 0
    for path in source.files():
        records = list(source.read(path))
        mine = {record.id: record.text for record in records if isinstance(record, Document)}
        theirs = dict(second_reading(path))
        assert {key: mine[key] for key in theirs} == theirs
        documents, citations = documents + len(mine), citations + len(theirs)
        deletions += sum(isinstance(record, Deletion) for record in records)
    assert (documents, citations, deletions) == (703, 634, 271)


def second_reading(path: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        root = ElementTree.parse(stream).getroot()
    for citation in root.iter("MedlineCitation"):
        sections = []
        for section in citation.findall("Article/Abstract/AbstractText"):
            text = "".join(section.itertext()).strip()
            sections.append(f"{section.attrib['Label']}: {text}" if section.get("Label") else text)
        title = "".join(citation.find("Article/ArticleTitle").itertext()).strip()  # type: ignore[union-attr]
        yield f"pubmed:{citation.findtext('PMID')}", "\n\n".join(part for part in (title, "\n".join(filter(None, sections))) if part)
