"""The model that a report is about, and what its sections may read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.sources import Codes

MODEL, UNTRAINED, BAG = "model", "untrained", "token embeddings"
"""What the columns are called that every comparison has."""
UNTRAINED_SEEDS = (0, 1, 2)
"""Of the untrained shape, whose figures are averaged."""


@dataclass(frozen=True)
class Sampled:
    """A document of the corpus."""

    id: str
    text: str
    source: str
    patient: str | None


@dataclass(frozen=True)
class Subject:
    """A model and what it is compared with and asked about; all but the model may be missing.

    Attributes:
        references: other models by a short name; the first is what a section compares weights and losses with.
        corpus: what the model was trained on.
        tables: code tables to ask about.
        gem: CMS's file of equivalence mappings of ICD-9-CM to ICD-10-CM.
        templates: what the section on bias asks, in the place of ours.
        task_model: a folder of `cmbert finetune`; task_data: texts of its task.
        limit: how much of its material a section samples, where it samples.
        pubmed: PubMed XML, for abstracts in other languages.
        texts: files of other text by a short name.
        canaries: the `canaries.json` of another corpus, in the place of the corpus's own.
        patients: a CSV file of names and conditions.
    """

    model: Path
    references: Mapping[str, Path] = field(default_factory=dict)
    corpus: Path | None = None
    tables: Sequence[Codes] = ()
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    gem: Path | None = None
    pubmed: Path | None = None
    texts: Mapping[str, Path] = field(default_factory=dict)
    templates: Path | None = None
    task_model: Path | None = None
    task_data: Path | None = None
    canaries: Path | None = None
    patients: Path | None = None

    @cached_property
    def encoder(self) -> Encoder:
        """The model, loaded."""
        return Encoder.from_pretrained(self.model, device=self.device)

    @cached_property
    def compared(self) -> dict[str, Encoder]:
        """The references, loaded."""
        return {name: Encoder.from_pretrained(folder, device=self.device) for name, folder in self.references.items()}

    @cached_property
    def opened_corpus(self) -> Corpus:
        """The corpus.

        Raises:
            ConfigError: none was given.
        """
        if self.corpus is None:
            raise ConfigError("the model's corpus is needed. Pass --corpus.")
        return Corpus.open(self.corpus)

    def documents(self, split: Split, number: int, min_characters: int = 0) -> list[Sampled]:
        """At most `number` documents of one part of the corpus, by chance, in its order; each of at least so many characters.

        Raises:
            ConfigError: no corpus was given.
        """
        rng = np.random.default_rng(self.seed)
        return sample(self.opened_corpus, split, pl.col("text").str.len_chars() >= min_characters, pl.lit(True), pl.lit(number), rng)


def sample(corpus: Corpus, split: Split, kept: pl.Expr, by: pl.Expr, most: pl.Expr, rng: np.random.Generator) -> list[Sampled]:
    """Documents of one part of a corpus that are `kept`, by chance, in its order; at most `most` of those that `by` puts together."""
    found = pl.DataFrame(schema={"id": pl.String, "text": pl.String, "source": pl.String, "patient": pl.String, "key": pl.Float64})
    for _, frame in corpus.shards(split):
        of_shard = frame.filter(kept).select("id", "text", "source", "patient")
        both = pl.concat([found, of_shard.with_columns(key=rng.random(len(of_shard)))])
        found = both.filter(pl.col("key").rank().over(by) <= most)
    return [Sampled(*row) for row in found.drop("key").iter_rows()]


def reference_names(folders: Sequence[Path]) -> dict[str, Path]:
    """A short name for each folder: its own, with as many of its parents as it takes to tell them apart and from the other columns."""
    taken = {MODEL, UNTRAINED, BAG}
    names: dict[str, Path] = {}
    for folder in folders:
        parts = folder.absolute().parts
        options = ["/".join(parts[-i:]) for i in range(1, len(parts))] + [f"{parts[-1]} (reference)"]
        names[next(name for name in options if name not in taken | names.keys())] = folder
    return names
