"""What the rooms of a corpus call things: splits, columns of its files, reasons why a document is not in it."""

from typing import Any, Literal

import polars as pl

Split = Literal["train", "validation"]
SPLITS: tuple[Split, Split] = ("train", "validation")
Row = dict[str, Any]

_COLUMNS = ("id", "text", "source", "access", "patient", "metadata")
SCHEMA = pl.Schema([(column, pl.String()) for column in _COLUMNS])
"""Columns of every shard of a corpus."""
DROPPED = pl.Schema([(column, pl.String()) for column in ("id", "source", "reason")])
"""Columns of `dropped/documents.parquet`."""

QUARANTINED = "quarantined"
"""No rule could look at it; it is listed among what was refused too."""
EMPTY = "empty"
RETRACTED = "retracted"
OTHER_LANGUAGE = "other_language"
CONTAMINATED = "contaminated"
"""It shares a run of words, or its id, with a benchmark that the user named."""
HELD_OUT = "held_out_synonym"
"""It contains a synonym of a held-out concept and would be training text."""

SUPERSEDED = "superseded"
"""A later file or version of the same record took its place."""
WITHDRAWN = "withdrawn"
"""Its publisher deleted the record."""
DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
COPIED = "copied_forward"
"""Nearly all of it stands in another note of the same patient."""
BEFORE_SPLIT = "patient_in_validation"
"""A training document of a patient who has later documents in the validation split."""
VERDICTS = ("", SUPERSEDED, WITHDRAWN, DUPLICATE, NEAR_DUPLICATE, COPIED, BEFORE_SPLIT)
"""What can become of a document when all others are known; its place here is what arrays hold, 0 for a document that stays."""
