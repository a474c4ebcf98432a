"""What `cmbert corpus build` reads."""

from typing import Annotated

from pydantic import Field

from clinical_modernbert.settings import Settings
from clinical_modernbert.sources import AnySource


class CorpusSettings(Settings):
    """A corpus: where its text comes from and how it is split."""

    sources: Annotated[list[AnySource], Field(min_length=1)]
    """Read in this order; where texts are equal, the first one stays."""
    validation_fraction: float = Field(0.01, ge=0, lt=1)
    """Share of patients (of documents, where no patient is known) in the validation split, chosen by hash."""
    held_out_concepts: float = Field(0.05, ge=0, lt=1)
    """Share of code-table concepts whose entries are validation, and whose synonyms stand in no training document."""
    seed: int = 0
    """Enters the hashes of the split."""
    shard_megabytes: int = Field(64, ge=1)
    """Text of one Parquet shard, before compression."""
