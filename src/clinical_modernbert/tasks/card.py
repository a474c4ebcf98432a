"""In: a YAML file of `cards/`. Out: what is known of one task. Next: `catalogue`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from clinical_modernbert.settings import Settings
from clinical_modernbert.sources.document import Access

Kind = Literal["ner", "classify", "multilabel", "pairs", "regression", "retrieval"]
"""What a model has to say: spans; one label, or any number, of a text; one label of two texts; a number; which texts answer."""
Metric = Literal[
    "span_f1",
    "word_macro_f1",
    "accuracy",
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "auroc",
    "micro_auroc",
    "pearson",
    "spearman",
    "ndcg@10",
    "recall@1",
    "recall@10",
    "mrr",
    "precision@8",
]
"""`span_f1` is strict (start, end and label) and micro-averaged; `word_macro_f1` asks of each word whether it is inside of a span."""


class Published(Settings):
    """A figure that somebody printed; tables show it as published, not as ours."""

    model: str
    value: float = Field(ge=0, le=1)
    """The card's metric as a share, not in percent."""
    source: str
    """Where it is printed, such as `arXiv 2605.12438, table 3`."""
    note: str = ""
    """What a reader must know: another split, another metric, number of seeds."""


class Card(Settings):
    """A task: what it measures, how to get it, how it is scored and what others reached."""

    name: str = Field(pattern=r"[a-z0-9]+(-[a-z0-9]+)*")
    """What commands call it."""
    title: str
    """Name of the data set."""
    kind: Kind
    """What a model has to say."""
    measures: str
    """What a good score means, in a sentence."""
    loader: str = Field(pattern=r"[a-z0-9_]+\.[a-z0-9_]+")
    """Module of `loaders` and the function in it."""
    folder: str = ""
    """Where its files lie below the folder of all data sets; tasks of one data set share it."""
    package: str = ""
    """The installed distribution that holds the data, instead of a folder."""
    suites: tuple[Literal["paper"], ...] = ()
    """Lists of tasks that it belongs to: `paper`, those of arXiv 2504.03964, as far as it says which they are."""
    access: Access
    """`credentialed` where a data use agreement is needed; of its texts nothing is ever shown."""
    licence: str
    """Terms, in a few words."""
    get: str
    """How to get the files and which of them are needed, as official distributions call them."""
    url: str
    """Page of the distribution."""
    splits: str
    """Which parts are official, and how a missing one is made."""
    metric: Metric
    """The figure that the task is known by."""
    further_metrics: tuple[Metric, ...] = ()
    """Others worth a column."""
    no_class: tuple[str, ...] = ()
    """Labels that say that nothing holds, left out of F1, such as `false` of ChemProt."""
    counts: Mapping[Literal["train", "dev", "test"], int] = Field(default_factory=dict)
    """Examples of each part where the distribution is fixed; another number is another or a partial copy."""
    checksums: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of files of a fixed distribution, by their names."""
    published: tuple[Published, ...] = ()
    """What others reached."""
    citation: str
    """The paper, with its DOI or address."""
