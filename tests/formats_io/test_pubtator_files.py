"""PubTator: the corpora that come in it, with their own ways, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Attribute, Refusal, Relation, Span, pubtator

FILE = """\
1|t|Drug A and renal or hepatic pain.
1|a|It was drug A.
1\t0\t6\tDrug A\tChemical\tD01
1\t11\t32\trenal or hepatic pain\tDisease\tD02|D03\trenal pain|hepatic pain
1\t41\t47\tdrug A\tChemical\t-1
1\tCID\tD01\tD03

2|t|Only a title.
2\t5\t6\ta\tLetter
2\tAssociation\tD01\tD01\tNovel
"""


def write(folder: Path, content: str, name: str = "x.pubtator") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def read(path: Path) -> tuple[list[AnnotatedDocument], list[Refusal]]:
    refusals: list[Refusal] = []
    return list(formats.open(path, "pubtator", refusals.append)), refusals


def test_spans_concepts_names_and_relations_are_read(tmp_path: Path) -> None:
    first, second = formats.open(write(tmp_path, FILE.replace("2\tAss", "2\t5\t6\ta\tLetter\tD01\n2\tAss")))
    text = "Drug A and renal or hepatic pain.\nIt was drug A."
    assert first == AnnotatedDocument(
        "1",
        text,
        (
            Span("T1", "Chemical", ((0, 6),), "Drug A"),
            Span("T2", "Disease", ((11, 32),), "renal or hepatic pain"),
            Span("T3", "Chemical", ((41, 47),), "drug A"),
        ),
        (Relation.binary("CID", "D01", "D03", "R1", between="concepts"),),
        (
            Attribute("T1", "Reference", "D01", "concept"),
            Attribute("T2", "Reference", "D02", "concept", "renal pain"),
            Attribute("T2", "Reference", "D03", "concept", "hepatic pain"),
        ),
    )
    assert (second.text, len(second.spans)) == ("Only a title.", 2)
    assert second.attributes[-1] == Attribute("R1", "novelty", "Novel")


def test_a_file_written_again_is_the_same_bytes(tmp_path: Path) -> None:
    content = FILE.replace("2\t5\t6\ta\tLetter", "2\t5\t6\ta\tLetter\tD01") + "\n"
    formats.write(formats.open(write(tmp_path, content)), tmp_path / "out", "pubtator")
    assert (tmp_path / "out" / "documents.pubtator").read_text() == content


@pytest.mark.parametrize("concept", ["D1+D2", "D1,D2", "D1;D2", "D1|D2"])
def test_identifiers_are_found_whatever_joins_them(concept: str) -> None:
    assert pubtator.identifiers(concept) == ["D1", "D2"]


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("\n\n", "\n"), ("\n\n", "\n\n\n \n"), ("1|t", "\ufeff1|t", 1)])
def test_line_ends_and_gaps_do_not_matter(tmp_path: Path, change: tuple[str, str]) -> None:
    content = FILE.partition("2\tAss")[0]
    assert read(write(tmp_path, content.replace(*change))) == read(write(tmp_path, content))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1\t0\t5\tDrug A\tChemical\tD01", "not what stands at its offsets"),
        ("1\t0\t99\tDrug A\tChemical\tD01", "outside of the text"),
        ("1\t6\t0\tDrug A\tChemical\tD01", "empty or reversed"),
        ("2\t0\t6\tDrug A\tChemical\tD01", "document above"),
        ("1\t0\t6\tDrug A", "not `ID START"),
        ("1\t0\t6\tDrug A\tChemical\tD01\tx\ty", "not `ID START"),
        ("1\tCID\tD01\tD99", "names a concept that no span has"),
        ("1\tCID\tD01", "neither a span nor a relation"),
        ("1|a|It was drug A.", "document above"),
    ],
)
def test_a_wrong_line_is_an_error_with_its_number_and_no_text(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, FILE.partition("\n\n")[0] + f"\n{line}\n")
    with pytest.raises(DataError, match=r"x\.pubtator, line 7\)") as error:
        list(formats.open(path))
    assert reason in str(error.value)
    assert "rug" not in str(error.value)
    (document,), refusals = read(path)
    assert [refusal.where for refusal in refusals] == ["line 7"]
    assert len(document.spans) == 3


@pytest.mark.parametrize("start", ["", "1|a|It was drug A.\n", "no title\n"])
def test_a_document_without_a_title_line_is_refused_and_the_next_is_read(tmp_path: Path, start: str) -> None:
    content = start + FILE.partition("\n\n")[0].partition("drug A.\n")[2] + "\n\n3|t|Next.\n"
    documents, refusals = read(write(tmp_path, content))
    assert [document.id for document in documents] == ["3"]
    assert [refusal.where for refusal in refusals] == ["line 1"]


def test_bytes_that_are_no_utf8_end_the_file_but_not_what_came_before(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    path.write_bytes(path.read_bytes().replace(b"Only", b"\xff"))
    documents, refusals = read(path)
    assert [document.id for document in documents] == ["1"]
    assert refusals == [Refusal(str(path), "line 8 and all behind it", "not UTF-8 at byte 4")]


def test_a_folders_text_files_count_only_where_none_is_named_for_the_format(tmp_path: Path) -> None:
    write(tmp_path, "1|t|One.\n", "sub/one.txt")
    write(tmp_path, "2|t|Two.\n", "two.txt")
    assert [document.id for document in formats.open(tmp_path)] == ["1", "2"]
    write(tmp_path, "3|t|Three.\n", "Three.PubTator.txt")
    assert [document.id for document in formats.open(tmp_path)] == ["3"]


def test_what_pubtator_cannot_hold_is_listed(tmp_path: Path) -> None:
    text = "a b\nc"
    spans = (Span.over(text, "T1", "X", (0, 1), (2, 3)), Span.over(text, "T2", "X", (2, 3)), Span.over(text, "T3", "X", (4, 5)))
    relations = (Relation.binary("at", "T2", "T3", "R1"), Relation.binary("CID", "D1", "D2", "R2", between="concepts"))
    attributes = (Attribute("T2", "negated"), Attribute("T3", "Reference", "D1", "concept"))
    refusals: list[Refusal] = []
    documents = [
        AnnotatedDocument("1", text, spans, relations, attributes),
        AnnotatedDocument("2", "a\nb\nc"),
        AnnotatedDocument("3|", "a"),
    ]
    formats.write(documents, tmp_path, "pubtator", refusals.append)
    assert [refusal.where for refusal in refusals] == [
        "document '1', span 'T1'",
        "document '1', span 'T2'",
        "document '1', relation 'R1'",
        "document '1', relation 'R2'",
        "document '1', attribute ''",
        "document '2'",
        "document '3|'",
    ]
    assert (tmp_path / "documents.pubtator").read_text() == "1|t|a b\n1|a|c\n1\t4\t5\tc\tX\tD1\n\n"


@pytest.mark.parametrize(
    ("part", "chemicals", "diseases", "relations"),
    [("Training", 5203, 4182, 1038), ("Development", 5347, 4244, 1012), ("Test", 5385, 4424, 1066)],
)
def test_bc5cdr_has_the_published_numbers(shared_data: Path, part: str, chemicals: int, diseases: int, relations: int) -> None:
    path = shared_data / "benchmarks" / "bc5cdr" / f"CDR_{part}Set.PubTator.txt"
    documents = list(formats.open(path))
    assert len({document.id for document in documents}) == len(documents) == 500
    assert Counter(span.label for document in documents for span in document.spans) == {"Chemical": chemicals, "Disease": diseases}
    assert sum(len(document.relations) for document in documents) == relations
    assert all(not list(document.faults()) for document in documents)


@pytest.mark.parametrize(("part", "documents", "spans"), [("train", 593, 5145), ("devel", 100, 787), ("test", 100, 960)])
def test_ncbi_disease_says_the_same_in_pubtator_and_standoff(shared_data: Path, part: str, documents: int, spans: int) -> None:
    folder = shared_data / "benchmarks" / "ncbi-disease"
    one, other = formats.open(folder / "original-data" / part), formats.open(folder / "standoff" / part)
    original = sorted(((document.id, document.spans) for document in one), key=str)
    standoff = sorted(((document.id.removesuffix(".1"), document.spans) for document in other), key=str)  # a document comes twice
    assert original == standoff
    assert (len(original), sum(len(found) for _, found in original)) == (documents, spans)


def test_real_files_written_again_are_read_as_they_were(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "benchmarks" / "bc5cdr" / "CDR_TestSet.PubTator.txt"
    documents = list(formats.open(path))
    formats.write(documents, tmp_path, "pubtator")
    assert list(formats.open(tmp_path)) == documents


def test_a_sequence_variant_is_one_concept_whatever_its_spelling_divides(tmp_path: Path) -> None:
    variant = "c|DEL|1314_1328|"
    content = f"1|t|A deletion and pain.\n1|a|\n1\t2\t10\tdeletion\tSequenceVariant\t{variant}\n1\t15\t19\tpain\tDisease\tD1\n"
    path = write(tmp_path, f"{content}1\tAssociation\tD1\t{variant}\tNovel\n\n")
    (document,) = formats.open(path)
    assert [attribute.value for attribute in document.attributes if attribute.kind == "concept"] == [variant, "D1"]
    assert document.relations[0].tail == variant
    formats.write([document], tmp_path / "again", "pubtator")
    assert list(formats.open(tmp_path / "again")) == [document]
