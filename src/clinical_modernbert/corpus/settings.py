"""What `cmbert corpus build` reads."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from clinical_modernbert.settings import Settings
from clinical_modernbert.sources import AnySource, Files

PairKind = Literal["synonym", "inclusion_term", "definition", "code_sentence", "parent", "title_abstract", "note_codes"]
"""What two texts of a pair are to each other."""
PAIR_KINDS: tuple[PairKind, ...] = get_args(PairKind)


class CorpusSettings(Settings):
    """A corpus: where its text comes from and how it is split."""

    sources: Annotated[list[AnySource], Field(min_length=1)]
    """Read in this order; where texts are equal, the first one stays."""
    validation_fraction: float = Field(0.01, ge=0, lt=1)
    """Share of patients (of documents, where no patient is known) in the validation split, chosen by hash; not for code tables."""
    held_out_concepts: float = Field(0.05, ge=0, lt=1)
    """Share of code-table concepts whose entries are validation, and whose synonyms stand in no training document."""
    pairs: list[PairKind] = Field(default_factory=lambda: list(PAIR_KINDS))
    """Kinds of text pairs written to `pairs/` for alignment; empty: none."""
    seed: int = 0
    """Enters the hashes of the split."""
    shard_megabytes: int = Field(64, ge=1)
    """Text of one Parquet shard, before compression."""

    @model_validator(mode="after")
    def _files_have_names_of_their_own(self) -> "CorpusSettings":
        names = [source.name for source in self.sources if isinstance(source, Files)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two sources of type files are called {repeated[0]!r}; give each a `name`")
        return self
