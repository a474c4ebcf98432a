"""What is written in a format is read again as it was."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_documents import MADE

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError


def words(span: formats.Span) -> tuple[str, str]:
    return span.label, "".join(span.text.split())


@pytest.mark.parametrize("name", sorted(MADE))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_again_as_it_was(name: str, data: st.DataObject) -> None:
    document = data.draw(MADE[name])
    assert list(document.faults()) == []
    documents = [document, replace(document, id=f"{document.id}2")]
    with TemporaryDirectory() as folder:
        formats.write(documents, folder, name)
        assert list(formats.open(folder, name)) == documents


@pytest.mark.parametrize("target", sorted(MADE))
@pytest.mark.parametrize("made", sorted(MADE))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_document_goes_into_every_format_but_for_what_is_listed(made: str, target: str, data: st.DataObject) -> None:
    document = data.draw(MADE[made])
    refusals: list[formats.Refusal] = []
    with TemporaryDirectory() as folder:
        formats.write([document], folder, target, refusals.append)
        documents = list(formats.open(folder, target))
    if not refusals:
        (read,) = documents
        assert Counter(map(words, read.spans)) == Counter(map(words, document.spans))
        assert len(read.relations) == len(document.relations)
        assert len(read.labels) == len(document.labels)


def test_a_written_folder_is_the_same_whatever_was_there_before(tmp_path: Path) -> None:
    document = formats.AnnotatedDocument("a", "some text", (formats.Span("T1", "X", ((0, 4),), "some"),))
    for _ in range(2):
        formats.write([document], tmp_path, "brat")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ann", "a.txt"]
    assert (tmp_path / "a.ann").read_text() == "T1\tX 0 4\tsome\n"


@pytest.mark.parametrize("id", ["../a", "/a", ".a", "a//b", "", "a\\b", "a\nb"])
@pytest.mark.parametrize("name", ["brat", "i2b2-2010", "i2b2-xml"])
def test_an_id_never_names_a_file_outside_of_the_folder(tmp_path: Path, name: str, id: str) -> None:
    with pytest.raises(DataError, match="cannot name a file"):
        formats.write([formats.AnnotatedDocument(id, "text")], tmp_path / "out", name)
    assert not (tmp_path / "a.txt").exists()


def test_edges_of_sentences_are_kept(tmp_path: Path) -> None:
    tokens = tuple(formats.Token(start, start + 1) for start in (0, 2, 4))
    document = formats.AnnotatedDocument("a", "a b\nc", tokens=tokens, sentences=tuple(pairwise((0, 2, 3))))
    formats.write([document], tmp_path, "conll")
    assert (tmp_path / "documents.conll").read_text() == "-DOCSTART- (a)\n\na\tO\nb\tO\n\nc\tO\n\n"
    assert list(formats.open(tmp_path)) == [document]
