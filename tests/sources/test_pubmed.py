import gzip
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
  <Language>ger</Language><Language>nor</Language><VernacularTitle>Das Gen</VernacularTitle>
  <PublicationTypeList><PublicationType UI="D016428">Retracted Publication</PublicationType></PublicationTypeList></Article>
  <MeshHeadingList><MeshHeading><DescriptorName UI="D019398">Genes, BRCA1</DescriptorName></MeshHeading></MeshHeadingList>
  <OtherAbstract Language="ger"><AbstractText>Eins.</AbstractText></OtherAbstract>
  <OtherAbstract Language="ger"><AbstractText>Zwei.</AbstractText></OtherAbstract>
  <OtherAbstract Type="plain-language-summary" Language="eng"><AbstractText>Plainly.</AbstractText></OtherAbstract>
  <KeywordList><Keyword>gene <i>BRCA1</i></Keyword><Keyword/><Keyword>breast </Keyword></KeywordList></MedlineCitation>"""
IDS = """<PubmedData><ArticleIdList><ArticleId IdType="pubmed">11</ArticleId><ArticleId IdType="doi">10.1000/x</ArticleId>
  <ArticleId IdType="pmc">PMC77</ArticleId></ArticleIdList></PubmedData>"""
DELETED = "<DeleteCitation><PMID Version='1'>7</PMID><PMID>8</PMID></DeleteCitation>"
ARTICLE_SET = f"<PubmedArticleSet><PubmedArticle>{CITATION}{IDS}</PubmedArticle>{DELETED}</PubmedArticleSet>"


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
        "time": "1998-12",
        "article_languages": ["deu", "nor"],
        "journal": "J Test",
        "publication_types": ["Retracted Publication"],
        "mesh": ["Genes, BRCA1"],
        "mesh_ui": ["D019398"],
        "version": 2,
        "retracted": True,
        "vernacular_title": "Das Gen",
        "keywords": ["gene BRCA1", "breast"],
        "doi": "10.1000/x",
        "pmcid": "PMC77",
        "language": "eng",
        "abstract_paragraphs": 1,
    }


def test_an_abstract_in_another_language_is_a_document_of_its_own(tmp_path: Path) -> None:
    others = [record for record in read(tmp_path, ARTICLE_SET)[1:] if isinstance(record, Document)]
    assert [(other.id, other.text, other.metadata["language"]) for other in others] == [
        ("pubmed:11#ger", "Das Gen\n\nEins.", "deu"),
        ("pubmed:11#ger-2", "Das Gen\n\nZwei.", "deu"),
        ("pubmed:11#eng", "Plainly.", "eng"),
    ]
    assert all(other.metadata["version"] == 2 and other.metadata["doi"] == "10.1000/x" for other in others)


def cited(folder: Path, inside: str, article: str = "") -> Document:
    """The document of one citation in NLM's old layout."""
    body = f"<PMID>5</PMID><Article><ArticleTitle>T</ArticleTitle>{article}</Article>{inside}"
    document = read(folder, f"<MedlineCitationSet><MedlineCitation>{body}</MedlineCitation></MedlineCitationSet>")[0]
    assert isinstance(document, Document)
    return document


def test_a_journal_without_a_title_goes_by_its_abbreviation(tmp_path: Path) -> None:
    assert cited(tmp_path, "<MedlineJournalInfo><MedlineTA>J T</MedlineTA></MedlineJournalInfo>").metadata["journal"] == "J T"


@pytest.mark.parametrize(
    ("issue", "electronic", "time"),
    [
        ("<Year>2019</Year><Month>May</Month><Day>03</Day>", "", "2019-05-03"),
        ("<Year>2019</Year><Month>5</Month>", "", "2019-05"),
        ("<Year>2019</Year><Season>Fall</Season>", "", "2019"),
        ("<Year>2019</Year><Month>Feb</Month><Day>31</Day>", "", "2019-02"),
        ("<Year>2019</Year><Month>Sept-Oct</Month>", "", "2019"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "", "1998-12"),
        ("<MedlineDate>1998 Spring</MedlineDate>", "", "1998"),
        ("<MedlineDate>2007 Aug 15-22</MedlineDate>", "", "2007-08-15"),
        ("<MedlineDate>Winter 1944-1945</MedlineDate>", "", "1944"),
        ("<Year>2019</Year>", "<Year>2019</Year><Month>05</Month><Day>03</Day>", "2019-05-03"),
        ("<Year>2020</Year>", "<Year>2019</Year><Month>05</Month><Day>03</Day>", "2020"),
        ("", "<Year>2019</Year><Month>05</Month>", "2019-05"),
        ("<Year>unknown</Year>", "", None),
    ],
)
def test_the_time_of_publication_is_told_as_far_as_it_is_known(tmp_path: Path, issue: str, electronic: str, time: str | None) -> None:
    article = f"<Journal><JournalIssue><PubDate>{issue}</PubDate></JournalIssue></Journal><ArticleDate>{electronic}</ArticleDate>"
    metadata = cited(tmp_path, "", article).metadata
    assert (metadata["time"], metadata["year"]) == (time, time and int(time[:4]))


@pytest.mark.parametrize(
    ("inside", "article", "retracted", "of"),
    [
        ("", "<PublicationType UI='D016441'>Withdrawn by any other name</PublicationType>", True, None),
        ("<CommentsCorrections RefType='RetractionIn'><PMID>6</PMID></CommentsCorrections>", "", True, None),
        ("<CommentsCorrections RefType='RetractedandRepublishedIn'/>", "", True, None),
        ("<CommentsCorrections RefType='RetractionOf'><PMID>7</PMID></CommentsCorrections>", "", False, ["pubmed:7"]),
        ("<CommentsCorrections RefType='RetractionOf'/>", "<PublicationType>Retraction of Publication</PublicationType>", False, []),
        ("", "<PublicationType>Retraction Notice</PublicationType>", False, []),
        ("<CommentsCorrections RefType='ErratumIn'><PMID>6</PMID></CommentsCorrections>", "", False, None),
    ],
)
def test_retracted_articles_and_notices_of_retraction_are_told_apart(
    tmp_path: Path, inside: str, article: str, retracted: bool, of: list[str] | None
) -> None:
    types = f"<PublicationTypeList>{article}</PublicationTypeList>"
    metadata = cited(tmp_path, f"<CommentsCorrectionsList>{inside}</CommentsCorrectionsList>", types).metadata
    assert metadata["retracted"] is retracted
    assert metadata.get("retraction_notice", False) is (of is not None)
    assert metadata.get("retraction_of", []) == (of or [])


def test_ids_of_an_article_are_its_own_and_never_those_of_what_it_cites(tmp_path: Path) -> None:
    cited_ids = "<ArticleIdList><ArticleId IdType='doi'>10.1/cited</ArticleId><ArticleId IdType='pmc'>PMC1</ArticleId></ArticleIdList>"
    data = f"<ReferenceList><Reference>{cited_ids}</Reference></ReferenceList>"
    bare = "<MedlineCitation><PMID>5</PMID><Article><ArticleTitle>T</ArticleTitle></Article></MedlineCitation>"
    (document,) = read(tmp_path, f"<PubmedArticle>{bare}<PubmedData>{data}</PubmedData></PubmedArticle>")
    assert isinstance(document, Document)
    assert document.metadata.keys().isdisjoint({"doi", "pmcid"})
    wrong = "<ELocationID EIdType='doi' ValidYN='N'>10.1/wrong</ELocationID><ELocationID EIdType='pii'>S1</ELocationID>"
    old = cited(tmp_path, "<OtherID Source='NLM'>PMC12 [Available on 01/01/15]</OtherID>", wrong)
    assert (old.metadata.get("doi"), old.metadata["pmcid"]) == (None, "PMC12")


def test_the_title_of_the_original_stands_in_for_one_that_nlm_does_not_have(tmp_path: Path) -> None:
    own = "<Language>ger</Language><VernacularTitle>Das Herz.</VernacularTitle>"
    body = f"<PMID>5</PMID><Article><ArticleTitle>[Not Available].</ArticleTitle>{{}}{own}"
    for abstract, text, language in (
        ("", "Das Herz.", "deu"),
        ("<Abstract><AbstractText>A.</AbstractText></Abstract>", "Das Herz.\n\nA.", "eng"),
    ):
        (document,) = read(tmp_path, f"<MedlineCitation>{body.format(abstract)}</Article></MedlineCitation>")
        assert isinstance(document, Document)
        assert (document.text, document.metadata["language"]) == (text, language)


BOOKS = """<PubmedArticleSet><PubmedBookArticle><BookDocument><PMID Version="1">21</PMID>
  <ArticleIdList><ArticleId IdType="bookaccession">NBK9</ArticleId><ArticleId IdType="doi">10.1000/b</ArticleId></ArticleIdList>
  <Book><Publisher><PublisherName>P</PublisherName></Publisher><BookTitle book="b">A <i>Book</i> of Tests</BookTitle>
    <PubDate><Year>1993</Year></PubDate></Book>
  <ArticleTitle book="b" part="c1">A Chapter</ArticleTitle><Language>eng</Language><PublicationType UI="D016454">Review</PublicationType>
  <Abstract><AbstractText Label="Summary">Short.</AbstractText><AbstractText>More.</AbstractText></Abstract>
  <Sections><Section><LocationLabel Type="chapter">1</LocationLabel><SectionTitle book="b" part="c1">Introduction</SectionTitle>
    <Section><SectionTitle book="b" part="c1.s1">Inside</SectionTitle></Section></Section></Sections>
  <KeywordList><Keyword>tests</Keyword></KeywordList>
  <ContributionDate><Year>2010</Year><Month>3</Month><Day>23</Day></ContributionDate></BookDocument>
  <PubmedBookData><ArticleIdList><ArticleId IdType="pubmed">21</ArticleId></ArticleIdList></PubmedBookData></PubmedBookArticle>
<PubmedBookArticle><BookDocument><PMID Version="1">22</PMID><ArticleIdList/>
  <Book><BookTitle book="d">Ein Buch</BookTitle><PubDate><Year>2016</Year><Month>Aug</Month></PubDate></Book><Language>ger</Language>
  <Abstract><AbstractText>Kurz.</AbstractText></Abstract></BookDocument></PubmedBookArticle>
<DeleteDocument><PMID>23</PMID></DeleteDocument></PubmedArticleSet>"""


def test_a_chapter_and_a_whole_book_are_documents(tmp_path: Path) -> None:
    chapter, book, deletion = read(tmp_path, BOOKS)
    assert isinstance(chapter, Document)
    assert isinstance(book, Document)
    assert chapter.text == "A Chapter\n\nSummary: Short.\nMore."
    known = {name: chapter.metadata.get(name) for name in ("time", "language", "journal", "book", "contents", "keywords", "doi")}
    assert known == {
        "time": "2010-03-23",
        "language": "eng",
        "journal": None,
        "book": "A Book of Tests",
        "contents": ["Introduction", "Inside"],
        "keywords": ["tests"],
        "doi": "10.1000/b",
    }
    assert (book.text, book.metadata["time"], book.metadata["language"]) == ("Ein Buch\n\nKurz.", "2016-08", "deu")
    assert deletion == Deletion("pubmed:23")


def test_a_set_of_bare_book_documents_holds_the_same_text(tmp_path: Path) -> None:
    bare = BOOKS.replace("PubmedArticleSet", "BookDocumentSet").replace("<PubmedBookArticle>", "").replace("</PubmedBookArticle>", "")
    found = [(record.id, record.text) for record in read(tmp_path, bare) if isinstance(record, Document)]
    assert found == [(record.id, record.text) for record in read(tmp_path, BOOKS) if isinstance(record, Document)]


def test_deletions_come_in_their_place(tmp_path: Path) -> None:
    assert read(tmp_path, ARTICLE_SET)[-2:] == [Deletion("pubmed:7"), Deletion("pubmed:8")]


@pytest.mark.parametrize("shape", ["<MedlineCitationSet>{}</MedlineCitationSet>", "<PubmedArticle>{}</PubmedArticle>", "{}"])
def test_old_and_single_roots_hold_the_same_citation(tmp_path: Path, shape: str) -> None:
    found = [(record.id, record.text) for record in read(tmp_path, shape.format(CITATION)) if isinstance(record, Document)]
    assert found == [(record.id, record.text) for record in read(tmp_path, ARTICLE_SET) if isinstance(record, Document)]
    assert len(found) == 4


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


def test_an_article_without_a_citation_repeats_no_other(tmp_path: Path) -> None:
    assert len(read(tmp_path, ARTICLE_SET.replace("<DeleteCitation>", f"<PubmedArticle>{IDS}</PubmedArticle><DeleteCitation>"))) == 4 + 2


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
        mine = {record.id: facts(record) for record in records if isinstance(record, Document)}
        theirs = dict(second_reading(path))
        assert mine == theirs
        documents, citations = documents + len(mine), citations + sum("#" not in key for key in mine)
        deletions += sum(isinstance(record, Deletion) for record in records)
    assert (documents, citations, deletions) == (703, 634, 271)


def test_books_read_as_a_second_parser_reads_them(tmp_path: Path) -> None:
    records = read(tmp_path, BOOKS)
    assert {record.id: facts(record) for record in records if isinstance(record, Document)} == dict(second_reading(tmp_path / "a.xml"))


def facts(document: Document) -> tuple[object, ...]:
    found = document.metadata
    names = ("language", "article_languages", "retracted", "retraction_of", "doi", "pmcid", "keywords", "year")
    return (document.text, *(found.get(name) or None for name in names))


THREE_LETTERS = {"chi": "zho", "dut": "nld", "fre": "fra", "geo": "kat", "ger": "deu"}


def second_reading(path: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The same from the whole tree of another library, by paths from the citation down."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        root = ElementTree.parse(stream).getroot()
    parents = {child: parent for parent in root.iter() for child in parent}
    for citation in root.iter():
        if citation.tag in ("MedlineCitation", "BookDocument"):
            article = citation if citation.tag == "BookDocument" else citation.find("Article")
            assert article is not None
            behind = [] if parents.get(citation) is None else parents[citation].findall("PubmedData/ArticleIdList/ArticleId")
            pmid, common = citation.findtext("PMID"), second_facts(citation, article, behind)
            languages = common[0]
            title = inner(article.find("ArticleTitle")) or inner(article.find("Book/BookTitle"))
            own = languages[0] if citation is article and languages else "eng"
            yield f"pubmed:{pmid}", (joined(title, article.findall("Abstract/AbstractText")), own, *common)
            seen: list[str] = []
            for other in citation.findall("OtherAbstract"):
                seen.append(code := other.get("Language", "eng"))
                language = THREE_LETTERS.get(code, code)
                title = inner(article.find("VernacularTitle")) if language != "eng" and language in (languages or ()) else ""
                number = f"-{seen.count(code)}" if seen.count(code) > 1 else ""
                yield f"pubmed:{pmid}#{code}{number}", (joined(title, other.findall("AbstractText")), language, *common)


def second_facts(citation: ElementTree.Element, article: ElementTree.Element, behind: list[ElementTree.Element]) -> tuple[Any, ...]:
    languages = [THREE_LETTERS.get(e.text or "", e.text) for e in article.findall("Language")]
    refs = [(e.get("RefType"), e.findtext("PMID")) for e in citation.findall("CommentsCorrectionsList/CommentsCorrections")]
    retracted = "Retracted Publication" in {e.text for e in article.iter("PublicationType")} or "RetractionIn" in dict(refs)
    ids = [*behind, *citation.findall("ArticleIdList/ArticleId")]
    doi = [e.text for e in ids if e.get("IdType") == "doi" and e.text]
    doi += [e.text for e in article.findall("ELocationID[@EIdType='doi']") if e.get("ValidYN") != "N"]
    pmc = [e.text for e in ids if e.get("IdType") == "pmc" and e.text]
    pmc += [e.text.split()[0] for e in citation.findall("OtherID[@Source='NLM']") if e.text and e.text.startswith("PMC")]
    places = ("Journal/JournalIssue/PubDate", "ArticleDate", "ContributionDate", "Book/PubDate")
    dates = [" ".join(e.itertext()) for place in places for e in article.findall(place)]
    years = [int(found[0]) for text in dates if (found := re.search(r"\b[12]\d{3}\b", text))]
    keywords = [text for e in citation.findall("KeywordList/Keyword") if (text := inner(e))]
    of = [f"pubmed:{pmid}" for kind, pmid in refs if kind == "RetractionOf" and pmid]
    return (
        languages or None,
        retracted or None,
        of or None,
        *((found[0].strip() if found else None) for found in (doi, pmc)),
        keywords or None,
        *(years[:1] or [None]),
    )


def inner(element: ElementTree.Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()


def joined(title: str, sections: list[ElementTree.Element]) -> str:
    lines = [f"{section.attrib['Label']}: {inner(section)}" if section.get("Label") else inner(section) for section in sections]
    return "\n\n".join(part for part in (title, "\n".join(filter(None, lines))) if part)
