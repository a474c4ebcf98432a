"""In: a corpus and a tokenizer. Out: `PackedBatch`es of NumPy arrays: whole documents side by side, masked, never padded.

Next: `pretraining` feeds them to `model`.
Flow: `store` (ids on disk) -> `samples` (documents cut to the row length) -> `packing` (rows) -> `masking` -> `loader`.
Pairs of texts go a shorter way: `pairs` packs 2B texts and says which of them mean the same.
What a batch holds and how it is masked depends on (seed, phase, epoch, sample) alone.
"""

from clinical_modernbert.batching.batch import PackedBatch
from clinical_modernbert.batching.code_entries import CodeEntries
from clinical_modernbert.batching.loader import Cursor, Loader
from clinical_modernbert.batching.masking import Masker, MaskingSettings
from clinical_modernbert.batching.packing import pack
from clinical_modernbert.batching.pairs import PairBatch, PairLoader
from clinical_modernbert.batching.store import TokenStore

__all__ = ["CodeEntries", "Cursor", "Loader", "Masker", "MaskingSettings", "PackedBatch", "PairBatch", "PairLoader", "TokenStore", "pack"]
