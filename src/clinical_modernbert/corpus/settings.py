"""What `cmbert corpus build` reads."""

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from clinical_modernbert.corpus.decontamination import Benchmark
from clinical_modernbert.corpus.text.quality import QualitySettings
from clinical_modernbert.corpus.text.swapping import Dimension
from clinical_modernbert.settings import Settings
from clinical_modernbert.sources import AnySource, Files

PairKind = Literal["synonym", "inclusion_term", "definition", "code_sentence", "parent", "title_abstract", "note_codes"]
"""What two texts of a pair are to each other."""
PAIR_KINDS: tuple[PairKind, ...] = get_args(PairKind)


class CounterfactualSettings(Settings):
    """Training documents whose group terms are swapped, so that less can be learnt from which group a text is about."""

    sources: Annotated[list[str], Field(min_length=1)]
    """Names of the sources whose documents may be swapped: notes; findings about groups would become false. Never code tables."""
    share: float = Field(0.5, gt=0, le=1)
    """Share of their training documents, chosen by hash; those without a term, and those that make no sense swapped, stay as they are."""
    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1)] = ("sex",)
    """Which groups' terms are swapped; English alone."""
    replace: bool = False
    """Put the swapped document in the place of the first one; else beside it."""


CANARIES = "canaries"
"""The source that planted documents have; a recipe with a `mixture` has to name it."""


class CanarySettings(Settings):
    """Made-up secrets in the training split, planted after all rules, so that `cmbert analyze privacy` can say what a model keeps."""

    per_count: int = Field(5, ge=1)
    """Secrets of each form, a number and a condition, for each of `counts`."""
    counts: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [1, 4, 16, 64], min_length=1)
    """How often the document of a secret is repeated."""
    candidates: int = Field(1023, ge=1000, le=100_000)
    """Numbers that are drawn beside those that are planted, for a planted one to be ranked among."""
    seed: int = 0


class CorpusSettings(Settings):
    """A corpus: where its text comes from, which of it stays, how it is split, and who does the work."""

    sources: Annotated[list[AnySource], Field(min_length=1)]
    """Read in this order; where texts are equal or nearly so, the first one stays."""
    validation_fraction: float = Field(0.01, ge=0, lt=1)
    """Share of patients (of documents, where no patient is known) in the validation split, chosen by hash; not for code tables."""
    validation_from: date | None = None
    """Documents of this day and later are validation too; earlier ones of the same patients are dropped."""
    held_out_concepts: float = Field(0.05, ge=0, lt=1)
    """Share of code-table concepts whose entries are validation, and whose synonyms stand in no training document."""
    retracted: Literal["keep", "drop"] = "keep"
    """What becomes of retracted articles."""
    languages: list[str] = Field(default_factory=list)
    """Keep only documents whose text is in one of these languages (ISO 639-3, such as `eng`); empty: all, and none is looked at."""
    quality: QualitySettings | None = Field(default_factory=QualitySettings)
    """Rules against rubbish; null: none. Never for code tables."""
    sections: bool = True
    """Note the section headers of a text in its metadata; they stay in the text."""
    near_duplicates: float | None = Field(0.8, gt=0.3, le=1)
    """Drop a document whose runs of five words are this similar (Jaccard) to another's that stays; null: keep it. Not for code tables."""
    copied_forward: float | None = Field(None, gt=0.5, le=1)
    """Drop a note if this share of its runs of five words stands in another note of the same patient."""
    decontaminate: list[Benchmark] = Field(default_factory=list)
    """Drop documents that share 13 words in a row, or a PMID, PMCID or DOI, with one of these benchmarks."""
    phi: Literal["ignore", "report", "refuse"] = "ignore"
    """`report`: count by kind what looks like an identifier of a patient; `refuse`: build nothing where anything does."""
    pairs: list[PairKind] = Field(default_factory=lambda: list(PAIR_KINDS))
    """Kinds of text pairs written to `pairs/` for alignment; empty: none."""
    counterfactuals: CounterfactualSettings | None = None
    """Training documents beside, or in place of, which the same with swapped group terms is written; null: none."""
    canaries: CanarySettings | None = None
    """Plant made-up secrets; null: none. Documents of the source `canaries`, listed in `canaries.json`."""
    seed: int = 0
    """Enters the hashes of the split."""
    shard_megabytes: int = Field(64, ge=1)
    """Text of one Parquet shard, before compression."""
    executor: Literal["local", "ray"] = Field("local", exclude=True)
    """Who does the work: processes of this machine, or a Ray cluster. The corpus is the same, byte for byte."""
    workers: int | None = Field(None, ge=1, exclude=True)
    """Processes of `local`; null: one for each core, or none but this one where there is little to read."""
    ray_address: str = Field("auto", exclude=True)
    """The cluster of `ray`: `auto` for the one that this machine belongs to, or `ray://HOST:10001`."""

    @model_validator(mode="after")
    def _files_have_names_of_their_own(self) -> "CorpusSettings":
        names = [source.name for source in self.sources if isinstance(source, Files)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two sources of type files are called {repeated[0]!r}; give each a `name`")
        if self.canaries and CANARIES in names:
            raise ValueError(f"a source of type files is called {CANARIES!r} as the planted documents are; give it another `name`")
        return self

    @model_validator(mode="after")
    def _counterfactuals_are_of_sources_that_there_are(self) -> "CorpusSettings":
        names = {source.name for source in self.sources}
        unknown = sorted(set(self.counterfactuals.sources) - names) if self.counterfactuals else []
        if unknown:
            raise ValueError(f"counterfactuals.sources names {unknown[0]!r}; the sources are {', '.join(sorted(names))}")
        return self
