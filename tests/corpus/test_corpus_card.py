"""What a corpus says of itself: the card beside it, the page, the terminal."""

import re

from corpus_files import write_notes

from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.export.corpus_report import write_corpus_report
from clinical_modernbert.sources import Files, HpoTerms

SECRET = "Mrs Madeupname came with a cough of two weeks and was sent home."


def test_card_and_page_say_what_was_dropped_and_show_open_text_alone(tmp_path):
    mine = Files(write_notes(tmp_path / "a.jsonl", [{"text": SECRET}, {"text": SECRET}]), name="mine")
    public = Files(write_notes(tmp_path / "b.jsonl", [{"text": "Everybody may read this report of a case."}]), name="public", access="open")
    corpus = build_corpus(CorpusSettings(sources=[mine, public, HpoTerms()], validation_fraction=0, phi="report"), tmp_path / "corpus")
    card = (corpus.folder / "README.md").read_text()
    page = write_corpus_report(corpus, tmp_path / "report").read_text()
    for said in (card, page):
        assert "exact duplicate" in said
        assert "What looks like identifiers of patients" in said
        assert "Madeupname" not in said
    assert "**Credentialed.**" in card
    assert "Everybody may read this report" in page
    assert not re.search(r"(src|href)=[\"']?http", page)


def test_the_card_of_a_plain_corpus_has_no_empty_tables(corpus):
    card = (corpus.folder / "README.md").read_text()
    assert "| files |" in card
    assert "It was not scanned" in card
    assert "Nothing was dropped." in card
