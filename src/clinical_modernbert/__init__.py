"""Clinical ModernBERT: from raw clinical text to a long-context encoder that serves.

In: your notes, articles and code tables. Out: a model that this package, transformers and others load. Next: `docs/architecture.md`.
Names are imported when they are first used, so that `import clinical_modernbert` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_modernbert import recipes, sources
    from clinical_modernbert.api import analyze, evaluate, finetune, pretrain
    from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
    from clinical_modernbert.inference import Encoder, Prediction
    from clinical_modernbert.pretraining.run import Run
    from clinical_modernbert.tokenization import Tokenizer

__version__ = "0.1.0"

_HOMES = {
    "Corpus": "clinical_modernbert.corpus",
    "CorpusSettings": "clinical_modernbert.corpus",
    "Encoder": "clinical_modernbert.inference",
    "Prediction": "clinical_modernbert.inference",
    "Run": "clinical_modernbert.pretraining.run",
    "Tokenizer": "clinical_modernbert.tokenization",
    "analyze": "clinical_modernbert.api",
    "build_corpus": "clinical_modernbert.corpus",
    "evaluate": "clinical_modernbert.api",
    "finetune": "clinical_modernbert.api",
    "pretrain": "clinical_modernbert.api",
}

__all__ = [
    "Corpus",
    "CorpusSettings",
    "Encoder",
    "Prediction",
    "Run",
    "Tokenizer",
    "analyze",
    "build_corpus",
    "evaluate",
    "finetune",
    "pretrain",
    "recipes",
    "sources",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"clinical_modernbert.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
