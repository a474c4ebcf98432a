"""i2b2 2010: offsets in lines and words, the distribution's folders, and what is refused."""

from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Attribute, Refusal, Relation, Span

TEXT = "CHIEF COMPLAINT :\n\nHer  Chest Pain was\ttreated with Aspirin\nand rest .\n"
CON = """\
c="her chest pain" 3:0 3:2||t="problem"
c="aspirin and rest" 3:6 4:1||t="treatment"
c="aspirin" 3:6 3:6||t="treatment"
"""
AST = 'c="her chest pain" 3:0 3:2||t="problem"||a="absent"\n'
REL = 'c="aspirin" 3:6 3:6||r="TrAP"||c="her chest pain" 3:0 3:2\n'


def note(folder: Path, text: str = TEXT, con: str = CON, ast: str = AST, rel: str = REL) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in (("txt", text), ("con", con), ("ast", ast), ("rel", rel)):
        (folder / f"record-1.{suffix}").write_bytes(content.encode())
    return folder


def read(path: Path) -> tuple[AnnotatedDocument, list[Refusal]]:
    refusals: list[Refusal] = []
    (document,) = formats.open(path, "i2b2-2010", refusals.append)
    return document, refusals


def test_concepts_assertions_and_relations_are_read(tmp_path: Path) -> None:
    (document,) = formats.open(note(tmp_path))
    assert document.id == "record-1"
    assert document.spans == (
        Span("T1", "problem", ((19, 34),), "Her  Chest Pain"),
        Span("T2", "treatment", ((52, 68),), "Aspirin\nand rest"),
        Span("T3", "treatment", ((52, 59),), "Aspirin"),
    )
    assert document.attributes == (Attribute("T1", "assertion", "absent"),)
    assert document.relations == (Relation.binary("TrAP", "T3", "T1", "R1"),)
    assert [document.text[token.start : token.end] for token in document.tokens[:4]] == ["CHIEF", "COMPLAINT", ":", "Her"]
    assert document.sentences == ((0, 3), (3, 10), (10, 13))
    assert list(document.faults()) == []


def test_files_written_again_are_the_same_bytes(tmp_path: Path) -> None:
    formats.write(formats.open(note(tmp_path / "in"), "i2b2-2010"), tmp_path / "out", "i2b2-2010")
    for suffix in ("txt", "con", "ast", "rel"):
        assert (tmp_path / "out" / f"record-1.{suffix}").read_bytes() == (tmp_path / "in" / f"record-1.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("con", "text"),
    [
        ('c="chest pain" 3:2 3:3||t="problem"', "Chest Pain"),
        ('c="chest  pain" 3:2 3:3||t="problem"\r', "Chest Pain"),
        ('c="was treated" 3:3 3:4||t="problem"', "was\ttreated"),
        ('c="PAIN" 3:2 3:2||t="problem"   ', "Pain"),
    ],
)
def test_words_are_counted_by_white_space_or_single_blanks_as_the_text_fits(tmp_path: Path, con: str, text: str) -> None:
    document, refusals = read(note(tmp_path, con=con, ast="", rel=""))
    assert ([span.text for span in document.spans], refusals) == ([text], [])


@pytest.mark.parametrize(("con", "place"), [("pain", (22, 26)), ("no no", (13, 18)), ("chest pain", (0, 10))])
def test_white_space_that_begins_a_line_has_an_empty_word_before_it(tmp_path: Path, con: str, place: tuple[int, int]) -> None:
    words = {"pain": "2:4 2:4", "no no": "2:1 2:2", "chest pain": "1:0 1:1"}[con]
    line = f'c="{con}" {words}||t="x"\n'
    document, refusals = read(note(tmp_path / "in", "Chest Pain\n  no no no pain\n", line, "", ""))
    assert ([span.fragments for span in document.spans], refusals) == ([(place,)], [])
    assert len(document.tokens) == 6
    formats.write([document], tmp_path / "out", "i2b2-2010")
    assert (tmp_path / "out" / "record-1.con").read_text() == line


def test_a_concept_may_hold_quotes_and_bars(tmp_path: Path) -> None:
    text = 'a "b" ||t="c" d'
    document, refusals = read(note(tmp_path, text, 'c="a "b" ||t="c" d" 1:0 1:3||t="x"', "", 'c=""b"" 1:1 1:1||r="r"||c="d" 1:3 1:3'))
    assert [span.text for span in document.spans] == [text]
    assert [refusal.reason for refusal in refusals] == ["no such concept in the .con file"]


def test_windows_line_ends_count_as_characters_of_the_text(tmp_path: Path) -> None:
    document, refusals = read(note(tmp_path, *(part.replace("\n", "\r\n") for part in (TEXT, CON, AST, REL))))
    assert ([span.text for span in document.spans], refusals) == (["Her  Chest Pain", "Aspirin\r\nand rest", "Aspirin"], [])
    assert [document.text[token.start : token.end] for token in document.tokens][-4:] == ["Aspirin", "and", "rest", "."]


def test_the_distributions_folders_side_by_side_are_one_corpus(tmp_path: Path) -> None:
    for site, text in (("beth", TEXT), ("partners", TEXT.replace("Her", "His"))):
        note(tmp_path / site / "txt", text, CON if site == "beth" else CON.replace("her", "his"), ast="", rel="")
        (tmp_path / site / "concept").mkdir()
        (tmp_path / site / "txt" / "record-1.con").rename(tmp_path / site / "concept" / "record-1.con")
    documents = list(formats.open(tmp_path))
    assert [document.id for document in documents] == ["beth/txt/record-1", "partners/txt/record-1"]
    assert [document.spans[0].text[:3] for document in documents] == ["Her", "His"]


@pytest.mark.parametrize("name", ["record-1.txt", "record-1.con"])
def test_one_file_stands_for_its_note(tmp_path: Path, name: str) -> None:
    assert list(formats.open(note(tmp_path) / name)) == list(formats.open(tmp_path))


@pytest.mark.parametrize(
    ("suffix", "line", "reason"),
    [
        ("con", 'c="pain" 3:1 3:1||t="problem"', "not what stands at its line and words"),
        ("con", 'c="pain" 3:9 3:9||t="problem"', "not what stands at its line and words"),
        ("con", 'c="pain" 9:0 9:0||t="problem"', "not what stands at its line and words"),
        ("con", 'c="pain" 0:0 0:0||t="problem"', "not what stands at its line and words"),
        ("con", 'c="chief" 1:1 1:0||t="problem"', "not what stands at its line and words"),
        ("con", 'c="pain" 3:2||t="problem"', "LINE:WORD"),
        ("con", 'c="her chest pain" 3:0 3:2', "no `||t="),
        ("con", 'c="her chest pain" 3:0 3:2||t=problem', "no `||t="),
        ("ast", 'c="her chest pain" 3:0 3:2||t="test"||a="absent"', "no such concept"),
        ("ast", 'c="her chest pain" 3:0 3:2||t="problem"', "no `||a="),
        ("rel", 'c="aspirin" 3:6 3:6||r="TrAP"||c="chest" 3:1 3:1', "no such concept"),
        ("rel", 'c="aspirin" 3:6 3:6||r="TrAP"', "no `||c="),
    ],
)
def test_a_wrong_line_is_an_error_with_its_place_and_no_text(tmp_path: Path, suffix: str, line: str, reason: str) -> None:
    path = note(tmp_path, **{suffix: {"con": CON, "ast": AST, "rel": REL}[suffix] + line})
    number = 4 if suffix == "con" else 2
    with pytest.raises(DataError, match=rf"record-1\.{suffix}, line {number}\)") as error:
        list(formats.open(path, "i2b2-2010"))
    assert reason in str(error.value)
    assert "pain" not in str(error.value)
    document, refusals = read(path)
    assert [refusal.where for refusal in refusals] == [f"line {number}"]
    assert (len(document.spans), len(document.attributes), len(document.relations)) == (3, 1, 1)


@pytest.mark.parametrize(("gone", "reason"), [("con", "no .con file"), ("txt", "no .txt file")])
def test_a_note_without_its_other_half_is_refused(tmp_path: Path, gone: str, reason: str) -> None:
    (note(tmp_path) / f"record-1.{gone}").unlink()
    with pytest.raises(DataError, match=reason):
        list(formats.open(tmp_path, "i2b2-2010"))


def test_two_files_equally_near_are_refused(tmp_path: Path) -> None:
    for folder in ("txt", "one", "two"):
        note(tmp_path / folder)
    for path in (*(tmp_path / "txt").glob("*.con"), *(tmp_path / "one").glob("*.txt"), *(tmp_path / "two").glob("*.txt")):
        path.unlink()
    with pytest.raises(DataError, match="equally near"):
        list(formats.open(tmp_path, "i2b2-2010"))


def test_what_the_format_cannot_hold_is_listed(tmp_path: Path) -> None:
    text = "a b c"
    spans = (
        Span.over(text, "T1", "x", (0, 1), (4, 5)),
        Span.over(text, "T2", 'a "type"', (0, 1)),
        Span.over(text, "T3", "x", (2, 3)),
        Span.over(text, "T4", "x", (2, 3)),
    )
    attributes = (Attribute("T3", "negated"), Attribute("T4", "assertion", "present"), Attribute("T1", "assertion", "present"))
    relations = (Relation.binary("r", "T3", "T4", "R1"), Relation("E", (), "E1", "T3"))
    refusals: list[Refusal] = []
    formats.write([AnnotatedDocument("a", text, spans, relations, attributes)], tmp_path, "i2b2-2010", refusals.append)
    named = [refusal.where.partition(", ")[2] for refusal in refusals]
    assert named == ["span 'T1'", "span 'T2'", "relation 'R1'", "relation 'E1'", "attribute ''", "attribute ''", "attribute ''"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.con", "a.txt"]


def test_a_published_example_is_read_and_written_as_it_is(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats" / "i2b2-2010" / "data" / "examples"
    (document,) = formats.open(folder)
    assert len(document.spans) == len((folder / "ex_doc.con").read_text().splitlines())
    formats.write([document], tmp_path, "i2b2-2010")
    for name in ("ex_doc.txt", "ex_doc.con"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
