"""In: records of sources. Out: a folder of Parquet shards with a manifest, text normalised, each drop counted under its reason.

Next: `tokenization` learns a vocabulary from it, `batching` packs it.
Flow: `staging` reads each input file once -> `merge` applies versions, deletions, duplicates, held-out concepts, split -> `build`.
"""

from clinical_modernbert.corpus.build import build_corpus
from clinical_modernbert.corpus.manifest import Corpus, Manifest
from clinical_modernbert.corpus.settings import CorpusSettings

__all__ = ["Corpus", "CorpusSettings", "Manifest", "build_corpus"]
