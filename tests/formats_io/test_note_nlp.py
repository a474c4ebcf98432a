import csv
import logging
from datetime import date

import polars as pl
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.formats import AnnotatedDocument, Span, note_nlp

DAY = date(2026, 1, 31)
# OHDSI's Common Data Model 5.4, table NOTE_NLP, in its order
CDM = [
    *("note_nlp_id", "note_id", "section_concept_id", "snippet", "offset", "lexical_variant", "note_nlp_concept_id"),
    *("note_nlp_source_concept_id", "nlp_system", "nlp_date", "nlp_datetime", "term_exists", "term_temporal", "term_modifiers"),
]


def document(id: str, text: str, *ranges: tuple[int, int]) -> AnnotatedDocument:
    return AnnotatedDocument(id, text, tuple(Span.over(text, f"T{n}", "Drug", span) for n, span in enumerate(ranges)))


def written(tmp_path, *documents: AnnotatedDocument) -> list[dict[str, str]]:
    """What a reader of CSV finds, each document in a part of its own."""
    parts = [tmp_path / f"{number}" for number in range(len(documents))]
    for one, part in zip(documents, parts, strict=True):
        note_nlp.table([one], "a system", DAY).write_parquet(part)
    note_nlp.join(parts, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_columns_are_those_of_the_common_data_model(tmp_path):
    assert [*written(tmp_path, document("files:7", "aspirin", (0, 7)))[0]] == CDM


def test_a_row_says_where_the_span_stands_and_what_it_is(tmp_path):
    text = 'Größe "178" cm,\nASS 100 mg'
    (row,) = written(tmp_path, document("files:7", text, (16, 19)))
    assert text[int(row["offset"]) :][: len(row["lexical_variant"])] == row["lexical_variant"] == "ASS"
    assert row["snippet"] == text
    assert (row["note_id"], row["term_modifiers"], row["nlp_date"], row["nlp_system"]) == ("7", "label=Drug", "2026-01-31", "a system")


def test_what_is_not_known_is_0_or_empty(tmp_path):
    (row,) = written(tmp_path, document("files:7", "aspirin", (0, 7)))
    assert {row[name] for name in CDM if name.endswith("concept_id")} == {"0"}
    assert {row[name] for name in ("nlp_datetime", "term_exists", "term_temporal")} == {""}


def test_rows_are_counted_from_1_over_all_parts(tmp_path):
    rows = written(tmp_path, document("n:7", "a b", (0, 1), (2, 3)), document("n:8", "no drug"), document("n:9", "c", (0, 1)))
    assert [(row["note_nlp_id"], row["note_id"], row["lexical_variant"]) for row in rows] == [
        ("1", "7", "a"),
        ("2", "7", "b"),
        ("3", "9", "c"),
    ]


def test_nothing_found_gives_a_header_alone(tmp_path):
    assert written(tmp_path, document("n:7", "no drug")) == []
    assert (tmp_path / "out.csv").read_text() == ",".join(CDM) + "\n"


@pytest.mark.parametrize("place", [0, 200, 990])
def test_a_snippet_holds_the_span_and_fits_the_column(tmp_path, place):
    text = "x" * place + "aspirin" + "y" * (990 - place)
    (row,) = written(tmp_path, document("n:7", text, (place, place + 7)))
    assert "aspirin" in row["snippet"]
    assert row["snippet"] in text
    assert len(row["snippet"]) <= 250


def test_a_span_longer_than_the_column_is_cut_and_told_without_its_text(caplog):
    with caplog.at_level(logging.WARNING):
        table = note_nlp.table([document("n:7", "secret" * 50, (0, 300))], "a system", DAY)
    assert table["lexical_variant"].str.len_chars().to_list() == [250]
    assert caplog.messages == ["cut to 250 characters: a span of 300 (note 7)"]


@pytest.mark.parametrize("id", ["files:10000032-DS-21", "files:notes.jsonl-3", "files:", "files:-1", "files:1.0", "files:٣"])
def test_an_id_that_is_no_whole_number_is_refused_with_the_remedy(id):
    with pytest.raises(DataError, match=r"no whole number.*--id-column"):
        note_nlp.table([document(id, "aspirin", (0, 7))], "a system", DAY)


def test_numbers_are_numbers_in_the_table():
    table = note_nlp.table([document("n:7", "aspirin", (0, 7))], "a system", DAY)
    assert table.schema["note_id"] == table.schema["offset"] == pl.Int64
