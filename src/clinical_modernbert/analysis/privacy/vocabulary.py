"""A vocabulary and the corpus that it was learnt from -> tokens that few have, such as a name: what a tokenizer.json may give away."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.corpus import Corpus
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer, encode_batches

Ints = npt.NDArray[np.int64]
FEW = 5
"""k: a token that fewer patients or documents have is rare."""
_BATCH = 256
_LETTERS = 4


@dataclass(frozen=True)
class Owners:
    """Who has each token.

    Attributes:
        ids: tokens that stand for text.
        counts: (ids,), patients who have a token in the training split, and documents of no known patient; counted to `few`.
        is_word: (ids,), whether a token spells four letters or more, and nothing but letters.
        patients, documents: how many there are of either, the latter without a patient.
    """

    ids: Ints
    counts: Ints
    is_word: npt.NDArray[np.bool_]
    few: int
    patients: int
    documents: int

    @property
    def rare(self) -> Ints:
        """Ids that somebody has, and fewer than `few`."""
        found: Ints = self.ids[(self.counts > 0) & (self.counts < self.few)]
        return found


def owners(corpus: Corpus, tokenizer: Tokenizer, few: int = FEW, progress: Progress = silent, processes: int | None = None) -> Owners:
    """Tokenize the training split and keep for each token the first `few` who have it; memory grows with vocabulary and patients."""
    first = np.full((len(tokenizer), few), -1, dtype=np.int64)
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    patients: dict[str, int] = {}
    documents = 0
    total = corpus.manifest.documents("train")
    batches = list[list[str | None]]()  # whose texts are on their way

    def texts() -> Iterator[list[str]]:
        for _, frame in corpus.shards("train"):
            for part in frame.select("text", "patient").iter_slices(_BATCH):
                batches.append(part["patient"].to_list())
                yield part["text"].to_list()

    with progress("Whose tokens", total=total, unit="documents") as advance:
        for encoded in encode_batches(tokenizer, texts(), processes):
            for patient, ids in zip(batches.pop(0), encoded, strict=True):
                documents += patient is None
                owner = -documents - 1 if patient is None else patients.setdefault(patient, len(patients))
                open_ids = np.unique(ids[counts[ids] < few])
                new = open_ids[~(first[open_ids] == owner).any(1)]
                first[new, counts[new]] = owner
                counts[new] += 1
                advance(1)
    ids = tokenizer.ordinary_ids
    is_word = np.array([len(text := tokenizer.decode([index]).strip()) >= _LETTERS and text.isalpha() for index in ids.tolist()])
    return Owners(ids, counts[ids], is_word, few, len(patients), documents)
