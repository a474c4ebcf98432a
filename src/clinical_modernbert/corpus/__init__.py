"""In: records of sources. Out: a folder of Parquet shards with a manifest; text normalised, each drop counted and listed with its reason.

Next: `tokenization` learns a vocabulary from it, `batching` packs it.
Flow: `reading` -> `cleaning` (each document by itself, rules in `text`) -> `resolving` (documents among each other, by `joins` of an
`index`) -> `writing`; `build` leads, `executor` has the work done by one process, several or a cluster.
"""

from clinical_modernbert.corpus.build import build_corpus
from clinical_modernbert.corpus.manifest import Corpus, Manifest
from clinical_modernbert.corpus.settings import CorpusSettings

__all__ = ["Corpus", "CorpusSettings", "Manifest", "build_corpus"]
