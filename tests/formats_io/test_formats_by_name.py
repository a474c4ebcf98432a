"""The room's doors: open, write and detect."""

from pathlib import Path

import pytest

from clinical_modernbert import formats
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.formats import AnnotatedDocument, Span

DOCUMENT = AnnotatedDocument("1", "some text", (Span("T1", "X", ((0, 4),), "some"),))


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_is_detected_from_what_it_writes(tmp_path: Path, name: str) -> None:
    formats.write([DOCUMENT], tmp_path, name)
    assert formats.detect(tmp_path) == name
    assert all(formats.detect(file) == name for file in tmp_path.iterdir())
    (document,) = formats.open(str(tmp_path))
    assert [(span.label, span.text) for span in document.spans] == [("X", "some")]


def test_a_folder_of_several_formats_is_one_error_that_lists_them(shared_data: Path) -> None:
    with pytest.raises(DataError, match=r"several formats .*brat in '.*\.ann', conll in '.*\.tsv'"):
        formats.detect(shared_data / "benchmarks" / "ncbi-disease")


@pytest.mark.parametrize("content", ["plain prose\n", "", "a,b\n1,2\n"])
def test_a_folder_of_no_format_is_one_error_that_lists_what_is_there(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    (tmp_path / "b.csv").write_text(content)
    with pytest.raises(DataError, match=r"1 \.csv, 1 \.txt\)\. Read are brat, conll, i2b2-2006"):
        formats.detect(tmp_path)


def test_an_empty_folder_and_no_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no files"):
        formats.detect(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        formats.detect(tmp_path / "gone")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_path_without_files_of_the_format_is_one_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        next(formats.open(tmp_path / "gone", name))
    (tmp_path / "a.pdf").touch()
    with pytest.raises(DataError, match=r"no \.\w+.* file in this folder"):
        next(formats.open(tmp_path, name))


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="i2b2-2010"):
        formats.open(tmp_path, "bioc")
    with pytest.raises(ConfigError, match="pubtator"):
        formats.write([], tmp_path, "bioc")


def test_a_document_that_contradicts_itself_or_comes_twice_is_not_written(tmp_path: Path) -> None:
    wrong = AnnotatedDocument("2", "other text", DOCUMENT.spans)
    refusals: list[formats.Refusal] = []
    formats.write([DOCUMENT, wrong, DOCUMENT], tmp_path, "pubtator", refusals.append)
    assert [(refusal.where, refusal.reason[:20]) for refusal in refusals] == [
        ("document '2'", "span T1: its text is"),
        ("document '1'", "a document of this i"),
    ]
    assert [document.id for document in formats.open(tmp_path)] == ["1"]
    with pytest.raises(DataError, match="document '2'"):
        formats.write([wrong], tmp_path, "pubtator")


def test_nothing_is_left_behind_when_writing_one_file_stops(tmp_path: Path) -> None:
    formats.write([DOCUMENT], tmp_path, "conll")
    before = (tmp_path / "documents.conll").read_bytes()
    with pytest.raises(DataError):
        formats.write([DOCUMENT, DOCUMENT], tmp_path, "conll")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("documents.conll", before)]
