"""In: documents with spans. Out: rows of NOTE_NLP (OHDSI's Common Data Model 5.4), written and never read. Next: a database."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from clinical_modernbert.errors import DataError
from clinical_modernbert.formats.document import AnnotatedDocument, Span

_LOG = logging.getLogger(__name__)
COLUMNS: Mapping[str, type[pl.DataType]] = {
    "note_id": pl.Int64,
    "section_concept_id": pl.Int64,
    "snippet": pl.String,
    "offset": pl.Int64,
    "lexical_variant": pl.String,
    "note_nlp_concept_id": pl.Int64,
    "note_nlp_source_concept_id": pl.Int64,
    "nlp_system": pl.String,
    "nlp_date": pl.Date,
    "nlp_datetime": pl.Datetime,
    "term_exists": pl.String,
    "term_temporal": pl.String,
    "term_modifiers": pl.String,
}
"""All but the first, `note_nlp_id`, which `join` counts."""
MAX_CHARACTERS = 250
"""Of `snippet` and `lexical_variant`."""
_NO_CONCEPT = 0
"""How the model says that no concept of the vocabularies is known."""


def table(documents: Iterable[AnnotatedDocument], system: str, day: date) -> pl.DataFrame:
    """A row for each span: where it stands in its note, what it says with the characters around it, its label in `term_modifiers`.

    `nlp_datetime`, `term_exists` and `term_temporal` are empty, as nothing is known of them.

    Raises:
        DataError: a document's id, behind the name of its source, is no whole number, which `note_id` has to be.
    """
    rows = [row | {"nlp_system": system, "nlp_date": day} for document in documents for row in _rows(document)]
    return pl.DataFrame(rows, schema=COLUMNS)


def join(parts: Sequence[Path], output: Path) -> None:
    """Write Parquet files of such rows as one CSV file, `note_nlp_id` counted from 1."""
    pl.scan_parquet([*parts], glob=False).with_row_index("note_nlp_id", offset=1).sink_csv(output)


def _rows(document: AnnotatedDocument) -> Iterator[dict[str, object]]:
    note = document.id.rpartition(":")[2]
    if not re.fullmatch(r"[0-9]{1,18}", note):
        raise DataError(f"the id {note!a} is no whole number, and NOTE_NLP takes no other. Name a column of numbers: --id-column note_id.")
    for span in document.spans:
        if span.end - span.start > MAX_CHARACTERS:
            _LOG.warning("cut to %d characters: a span of %d (note %s)", MAX_CHARACTERS, span.end - span.start, note)
        yield {
            "note_id": int(note),
            "section_concept_id": _NO_CONCEPT,
            "snippet": _around(document.text, span),
            "offset": span.start,
            "lexical_variant": span.text[:MAX_CHARACTERS],
            "note_nlp_concept_id": _NO_CONCEPT,
            "note_nlp_source_concept_id": _NO_CONCEPT,
            "term_modifiers": f"label={span.label}",
        }


def _around(text: str, span: Span) -> str:
    """The span with as much of the text on either side as the column holds."""
    room = max(MAX_CHARACTERS - (span.end - span.start), 0) // 2
    return text[max(span.start - room, 0) : span.end + room][:MAX_CHARACTERS]
