"""BRAT's standoff: every kind of annotation, its variants in the field, and what is refused."""

import logging
from collections import Counter
from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Attribute, Refusal, Relation, Span

TEXT = "Aspirin and\r\nibuprofen help γ pain."
ANN = """\
T1\tDrug 0 7\tAspirin
T2\tDrug 13 22\tibuprofen
T3\tHelp 23 27\thelp
T4\tProblem 28 29;30 34\tγ pain
E1\tHelp:T3 Cause:T1 Cause2:T2 Theme:T4
E2\tHelp:T3
R1\tSame-As Arg1:T1 Arg2:T2
*\tEquiv T1 T2
A1\tNegated E1
A2\tStatus T1 past use
M1\tSpeculation E1
N1\tReference T1 RxNorm:1191\taspirin
#1\tAnnotatorNotes T1\tdose unknown, ask
"""


def folder(path: Path, text: str = TEXT, **annotations: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "a.txt").write_bytes(text.encode())
    for suffix, lines in annotations.items():
        (path / f"a.{suffix}").write_bytes(lines.encode())
    return path


def read(path: Path) -> tuple[AnnotatedDocument, list[Refusal]]:
    refusals: list[Refusal] = []
    (document,) = formats.open(path, "brat", refusals.append)
    return document, refusals


def test_every_kind_of_annotation_is_read(tmp_path: Path) -> None:
    (document,) = formats.open(folder(tmp_path, ann=ANN))
    assert document.id == "a"
    assert document.spans[1] == Span("T2", "Drug", ((13, 22),), "ibuprofen")
    assert document.spans[3] == Span("T4", "Problem", ((28, 29), (30, 34)), "γ pain")
    assert document.relations == (
        Relation("Help", (("Cause", "T1"), ("Cause2", "T2"), ("Theme", "T4")), "E1", "T3"),
        Relation("Help", (), "E2", "T3"),
        Relation.binary("Same-As", "T1", "T2", "R1"),
        Relation("Equiv", (("", "T1"), ("", "T2"))),
    )
    assert document.attributes == (
        Attribute("E1", "Negated", id="A1"),
        Attribute("T1", "Status", "past use", id="A2"),
        Attribute("E1", "Speculation", id="M1"),
        Attribute("T1", "Reference", "RxNorm:1191", "concept", "aspirin", "N1"),
        Attribute("T1", "AnnotatorNotes", "dose unknown, ask", "note", id="#1"),
    )
    assert list(document.faults()) == []


def test_reading_and_writing_gives_the_same_bytes(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", ann=ANN)
    formats.write(formats.open(source, "brat"), tmp_path / "out", "brat")
    for name in ("a.txt", "a.ann"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()


def test_the_shared_tasks_spread_files_are_one_document(tmp_path: Path) -> None:
    before, mark, after = ANN.partition("T3")
    parts = {"a1": before, "a2": mark + after}
    assert read(folder(tmp_path / "two", **parts)) == read(folder(tmp_path / "one", ann=ANN))


def test_a_joined_file_wins_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        document, _ = read(folder(tmp_path, ann="T1\tDrug 0 7\tAspirin\n", a1=ANN))
    assert len(document.spans) == 1
    assert "1 .a1" in caplog.text


@pytest.mark.parametrize(
    "ann",
    [
        "T1\tDrug 0 7\tAspirin\r",
        "\ufeffT1\tDrug 0 7\tAspirin\n\n",
        "T1\tX 0 22\tAspirin and ibuprofen",
        "T1\tX 0 22\tAspirin and\nibuprofen",
        "T1\tX 0 22\tAspirin and\r\nibuprofen\nT2\tDrug 0 7\tAspirin",
        "T1\tX 0 7;8 11\tAspirinand",
        "T1\tX 8 11;0 7\tand Aspirin",
        "T1\tDrug 0 7\tAspirin\nN1\tReference Annotation:T1 Referent:RxNorm:1191",
        "T1\tDrug 0 7\tAspirin\nN1\tReference Referent:RxNorm:1191 Annotation:T1",
        "T1\tDrug 0 7\tAspirin\nT2\tDrug 8 11\tand\nR1\tSame Arg1:T1 Arg2:T2\t",
    ],
)
def test_variants_of_the_field_are_read(tmp_path: Path, ann: str) -> None:
    document, refusals = read(folder(tmp_path, ann=ann))
    assert refusals == []
    assert len(document.spans) == ann.count("T1\t") + ann.count("\nT2\t")
    assert [attribute.value for attribute in document.attributes] in ([], ["RxNorm:1191"])


@pytest.mark.parametrize(
    ("line", "where", "reason"),
    [
        ("T9\tDrug 0 6\tAspirin", "line 2, T9", "not what stands at its offsets"),
        ("T9\tDrug 1 8\tAspirin", "line 2, T9", "not what stands at its offsets"),
        ("T9\tDrug 0 700\tAspirin", "line 2, T9", "outside of the text"),
        ("T9\tDrug 7 0\tAspirin", "line 2, T9", "empty or reversed"),
        ("T9\tDrug 0 7;3 9\tAspirin irin a", "line 2, T9", "overlap"),
        ("T9\tDrug 0 7", "line 2, T9", "and the text"),
        ("T9\tDrug 0\tAspirin", "line 2, T9", "START END"),
        ("T9\tDrug -1 7\tAspirin", "line 2, T9", "START END"),
        ("T9 Drug 0 7 Aspirin", "line 2", "not an annotation"),
        ("T1\tDrug 0 7\tAspirin", "line 2, T1", "came before"),
        ("X1\tDrug 0 7\tAspirin", "line 2", "not an annotation"),
        ("R1\tSame Arg1:T1 Arg2:T7", "line 2, R1", "names an id that is not here"),
        ("R1\tSame Arg1:T1", "line 2, R1", "ROLE:ID"),
        ("R1\tSame T1 T1", "line 2, R1", "ROLE:ID"),
        ("E1\tHelp:T7 Cause:T1", "line 2, E1", "names an id that is not here"),
        ("E1\t", "line 2, E1", "ROLE:ID"),
        ("*\tEquiv T1", "line 2, *", "TYPE ID ID"),
        ("A1\tNegated", "line 2, A1", "NAME ID"),
        ("A1\tNegated R7", "line 2, A1", "names an id that is not here"),
        ("N1\tReference T1", "line 2, N1", "VOCABULARY:ENTRY"),
        ("#1\tAnnotatorNotes", "line 2, #1", "the note"),
    ],
)
def test_a_wrong_line_is_an_error_with_its_place_and_no_text(tmp_path: Path, line: str, where: str, reason: str) -> None:
    path = folder(tmp_path, ann=f"T1\tDrug 0 7\tAspirin\n{line}\n")
    with pytest.raises(DataError) as error:
        list(formats.open(path, "brat"))
    assert f"a.ann, {where})" in str(error.value)
    assert reason in str(error.value)
    assert "spirin" not in str(error.value)
    document, refusals = read(path)
    assert [(refusal.where, reason in refusal.reason) for refusal in refusals] == [(where, True)]
    assert [span.id for span in document.spans] == ["T1"]
    assert document.relations == document.attributes == ()


def test_what_names_a_refused_annotation_is_refused_with_it(tmp_path: Path) -> None:
    ann = ANN.replace("13 22", "13 21")
    document, refusals = read(folder(tmp_path, ann=ann))
    assert [refusal.where.split(", ")[1] for refusal in refusals] == ["T2", "E1", "R1", "*", "A1", "M1"]
    assert [relation.id for relation in document.relations] == ["E2"]
    assert list(document.faults()) == []


@pytest.mark.parametrize(("missing", "reason"), [("a.ann", "no .ann file"), ("a.txt", "no .txt file")])
def test_half_a_pair_is_refused(tmp_path: Path, missing: str, reason: str) -> None:
    path = folder(tmp_path, ann=ANN)
    formats.write([AnnotatedDocument("b", "text")], path, "brat")
    (path / missing).unlink()
    with pytest.raises(DataError, match=reason):
        list(formats.open(path, "brat"))
    document, refusals = read(path)
    assert (document.id, [reason in refusal.reason for refusal in refusals]) == ("b", [True])


@pytest.mark.parametrize("name", ["a.txt", "a.ann"])
@pytest.mark.parametrize(("content", "reason"), [(b"\xff\xfe", "not UTF-8 at byte 0"), (b"a\0b", "NUL")])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (folder(tmp_path, ann=ANN) / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        list(formats.open(tmp_path, "brat"))


def test_pairs_come_sorted_by_path_and_hidden_files_stay_out(tmp_path: Path) -> None:
    documents = [AnnotatedDocument(id, "text") for id in ("b", "a.1", "sub/a", "a")]
    formats.write(documents, tmp_path, "brat")
    (tmp_path / ".hidden.ann").touch()
    assert [document.id for document in formats.open(tmp_path, "brat")] == ["a", "a.1", "b", "sub/a"]


@pytest.mark.parametrize("name", ["a.txt", "a.ann"])
def test_one_file_stands_for_its_pair(tmp_path: Path, name: str) -> None:
    assert list(formats.open(folder(tmp_path, ann=ANN) / name)) == list(formats.open(tmp_path))


def test_what_brat_cannot_hold_is_listed(tmp_path: Path) -> None:
    document = AnnotatedDocument(
        "a",
        "some text",
        (Span("P0", "NAME", ((0, 4),), "some"), Span("P1", "A B", ((5, 9),), "text")),
        (Relation.binary("CID", "D1", "D2", "X1", between="concepts"), Relation.binary("at", "P0", "P1", "X2")),
        (Attribute("P0", "TYPE", "PATIENT"), Attribute("P1", "TYPE", "DATE"), Attribute("P0", "Note", "two\nlines", "note")),
        (formats.Label("SMOKING", "UNKNOWN", "L1"),),
    )
    refusals: list[Refusal] = []
    formats.write([document], tmp_path, "brat", refusals.append)
    assert [refusal.where.split(", ")[1] for refusal in refusals] == [
        "label 'L1'",
        "span 'P1'",
        "relation 'X1'",
        "attribute ''",
        "relation 'X2'",
        "attribute ''",
    ]
    assert (tmp_path / "a.ann").read_text() == "T1\tNAME 0 4\tsome\nA1\tTYPE T1 PATIENT\n"


def test_ids_that_brat_cannot_have_are_numbered_anew(tmp_path: Path) -> None:
    text = "a b c"
    spans = tuple(Span.over(text, id, "X", (n, n + 1)) for id, n in (("T2", 0), ("P0", 2), ("T", 4)))
    attributes = tuple(Attribute(span.id, "y") for span in spans)
    formats.write([AnnotatedDocument("a", text, spans, attributes=attributes)], tmp_path, "brat")
    (document,) = formats.open(tmp_path)
    assert [(span.id, span.start) for span in document.spans] == [("T2", 0), ("T1", 2), ("T3", 4)]
    assert [attribute.target for attribute in document.attributes] == ["T2", "T1", "T3"]


def test_published_sample_is_read_but_for_spans_whose_letters_its_text_lost(shared_data: Path) -> None:
    path = shared_data / "formats" / "brat" / "medacy"
    with pytest.raises(DataError, match=r"PMC1257590\.ann, line 18, T36\)"):
        list(formats.open(path, "brat"))
    refusals: list[Refusal] = []
    documents = list(formats.open(path, "brat", refusals.append))
    assert [(document.id[-10:], len(document.spans), len(document.attributes)) for document in documents] == [
        ("PMC1257590", 101, 12),
        ("PMC1314908", 163, 23),
        ("PMC1392236", 138, 14),
    ]
    assert Counter(refusal.reason for refusal in refusals) == {
        "its text is not what stands at its offsets": 31,
        "names an id that is not here": 4,
    }


def test_a_published_corpus_written_again_has_the_same_lines(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "benchmarks" / "ncbi-disease" / "standoff" / "devel"
    formats.write(formats.open(folder), tmp_path, "brat")
    files = sorted(folder.iterdir())
    assert len(files) == 200
    assert [sorted((tmp_path / file.name).open()) == sorted(file.open()) for file in files] == [True] * 200
