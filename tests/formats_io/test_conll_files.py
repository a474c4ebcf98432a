"""CoNLL: columns, documents and sentences, real corpora, words for documents that have none, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Attribute, Refusal, Span, Token

FOUR = """\
-DOCSTART- -X- -X- O

Chest NN B-NP B-Problem
pain NN I-NP I-Problem
. . O O

None NN O O

-DOCSTART- -X- -X- O

Aspirin NN B-NP S-Drug
"""


def write(folder: Path, content: str, name: str = "x.conll") -> Path:
    (folder / name).write_bytes(content.encode())
    return folder / name


def read(path: Path) -> tuple[list[AnnotatedDocument], list[Refusal]]:
    refusals: list[Refusal] = []
    return list(formats.open(path, "conll", refusals.append)), refusals


def test_documents_sentences_columns_and_spans_are_read(tmp_path: Path) -> None:
    first, second = formats.open(write(tmp_path, FOUR))
    assert first == AnnotatedDocument(
        "x-1",
        "Chest pain .\nNone",
        (Span("T1", "Problem", ((0, 10),), "Chest pain"),),
        tokens=(Token(0, 5, ("NN", "B-NP")), Token(6, 10, ("NN", "I-NP")), Token(11, 12, (".", "O")), Token(13, 17, ("NN", "O"))),
        sentences=((0, 3), (3, 4)),
    )
    assert (second.id, second.spans) == ("x-2", (Span("T1", "Drug", ((0, 7),), "Aspirin"),))


def test_without_document_marks_each_sentence_is_a_document(tmp_path: Path) -> None:
    documents, refusals = read(write(tmp_path, "a\tO\nb\tB-X\n\n\nc\tI-X\n", "train.tsv"))
    assert [(document.id, document.text, len(document.spans)) for document in documents] == [("train-1", "a b", 1), ("train-2", "c", 1)]
    assert refusals == []


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("-DOCSTART- (7 (x))", "7 (x)"),
        ("-DOCSTART-\tO", "x-1"),
        ("-DOCSTART-", "x-1"),
        ("-DOCSTART- -X- (O", "x-1"),
        ("###MEDLINE:123", "MEDLINE:123"),
        ("###MEDLINE:123\tO", "MEDLINE:123"),
    ],
)
def test_a_document_mark_may_carry_an_id(tmp_path: Path, line: str, id: str) -> None:
    (document,) = formats.open(write(tmp_path, f"{line}\n\na O\n"))
    assert document.id == id


def test_white_space_behind_the_last_column_is_nothing(tmp_path: Path) -> None:
    documents, refusals = read(write(tmp_path, "EU\tB-ORG \nleft\tO\t\n", "train.tsv"))
    assert ([span.label for document in documents for span in document.spans], refusals) == (["ORG"], [])


@pytest.mark.parametrize(
    ("row", "line"), [("token", 3), ("a\tb\tO", 4), ("\tO", 3), ("a\tX-Drug", 3), ("a\t", 3), ("a O O", 4), ("a\tB-", 3), ("a\to", 3)]
)
def test_a_sentence_with_a_wrong_line_is_refused_whole(tmp_path: Path, row: str, line: int) -> None:
    path = write(tmp_path, f"one\tO\n\n{row}\nb\tO\n\ntwo\tO\n")
    documents, refusals = read(path)
    assert [document.text for document in documents] == ["one", "two"]
    assert [refusal.where for refusal in refusals] == [f"line {line}"]
    with pytest.raises(DataError, match=rf"x\.conll, line {line}\)"):
        list(formats.open(path, "conll"))


def test_damage_in_the_middle_leaves_the_sentences_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, "one\tO\n\ntwo\tO\nthree\tO\n")
    path.write_bytes(path.read_bytes().replace(b"three", b"\xe9"))
    documents, refusals = read(path)
    assert [document.text for document in documents] == ["one"]
    assert refusals == [Refusal(str(path), "line 4 and all behind it", "not UTF-8 at byte 0")]


def test_a_document_without_tokens_gets_words_cut_where_spans_begin_and_end(tmp_path: Path) -> None:
    text = "Aspirin100mg, β-blocker\n\nNo."
    spans = (Span.over(text, "T1", "Drug", (0, 7)), Span.over(text, "T2", "Dose", (7, 12)), Span.over(text, "T3", "Drug", (14, 23)))
    formats.write([AnnotatedDocument("1", text, spans)], tmp_path, "conll")
    assert (tmp_path / "documents.conll").read_text().split("\n") == [
        "-DOCSTART- (1)",
        "",
        "Aspirin\tB-Drug",
        "100mg\tB-Dose",
        ",\tO",
        "β\tB-Drug",
        "-\tI-Drug",
        "blocker\tI-Drug",
        "",
        "No\tO",
        ".\tO",
        "",
        "",
    ]


def test_what_conll_cannot_hold_is_listed(tmp_path: Path) -> None:
    text = "a b c\nd e"
    spans = (
        Span.over(text, "T1", "X", (0, 1), (4, 5)),
        Span.over(text, "T2", "X", (0, 3)),
        Span.over(text, "T3", "X", (2, 3)),
        Span.over(text, "T4", "X", (4, 7)),
        Span.over(text, "T5", "X", (8, 9)),
        Span.over(text, "T6", "X", (1, 3)),
    )
    refusals: list[Refusal] = []
    formats.write([AnnotatedDocument("1", text, spans, attributes=(Attribute("T5", "negated"),))], tmp_path, "conll", refusals.append)
    assert {refusal.where.partition(", ")[2]: refusal.reason.split()[0] for refusal in refusals} == {
        "attribute ''": "CoNLL",
        "span 'T1'": "discontinuous,",
        "span 'T3'": "overlaps",
        "span 'T4'": "goes",
        "span 'T6'": "discontinuous,",
    }
    (document,) = formats.open(tmp_path)
    assert [span.text for span in document.spans] == ["a b", "e"]


@pytest.mark.parametrize(("id", "token"), [("1\n2", "a"), ("1", "a\tb"), ("1", "-DOCSTART-"), ("1", "###MEDLINE:1")])
def test_an_id_or_token_that_would_break_the_lines_is_refused(tmp_path: Path, id: str, token: str) -> None:
    with pytest.raises(DataError, match="cannot have"):
        formats.write([AnnotatedDocument(id, token, tokens=(Token(0, len(token)),))], tmp_path, "conll")


@pytest.mark.parametrize(
    ("corpus", "part", "sentences", "spans"),
    [
        ("bc2gm", "train", 12574, 15197),
        ("bc2gm", "devel", 2519, 3061),
        ("bc2gm", "test", 5038, 6325),
        ("anatem", "train", 5861, 6946),
        ("anatem", "devel", 2118, 2139),
        ("anatem", "test", 3830, 4616),
    ],
)
def test_real_corpora_have_their_numbers_and_the_same_tags_when_written(
    shared_data: Path, tmp_path: Path, corpus: str, part: str, sentences: int, spans: int
) -> None:
    path = shared_data / "benchmarks" / corpus / f"{part}.tsv"
    documents = list(formats.open(path))
    assert (len(documents), sum(len(document.spans) for document in documents)) == (sentences, spans)
    formats.write(documents, tmp_path, "conll")
    lines = [line for line in path.read_text().splitlines() if line]
    written = [line for line in (tmp_path / "documents.conll").read_text().splitlines() if line and not line.startswith("-DOCSTART-")]
    assert written == lines


def test_ncbi_diseases_tags_are_its_spans_mentions(shared_data: Path) -> None:
    folder = shared_data / "benchmarks" / "ncbi-disease"
    for part, spans in (("train", 5145), ("devel", 787), ("test", 960)):
        documents = formats.open(folder / "conll" / f"{part}.tsv")
        assert Counter(span.label for document in documents for span in document.spans) == {"Disease": spans}
