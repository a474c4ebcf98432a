"""Documents -> patients, and the row that a patient fills. What private training samples, clips and promises is by patient."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.batching.samples import Samples
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.counterfactuals import MARK
from clinical_modernbert.corpus.records import Split

Key = tuple[str] | tuple[str, str]
"""A patient, or the source and the id of a document without one."""


def patients_of(corpus: Corpus, split: Split = "train") -> Ints:
    """(documents,) the number of each document's patient, in the order of the token store.

    Patients of one name are one, whatever source they come from: a guarantee for both is one for each. A document without a patient is its
    own, together with its counterfactual copy. Numbers go from 0 in the order in which patients first come, without a gap.
    """
    paths = [corpus.folder / shard.path for shard in corpus.manifest.shards if shard.split == split]
    known: dict[Key, int] = {}
    return np.array([known.setdefault(key, len(known)) for path in paths for key in _keys(path)], dtype=np.int64)


def count_patients(corpus: Corpus) -> int:
    """Patients of the training split; a document without one counts as one."""
    return int(patients_of(corpus).max(initial=-1)) + 1


class PatientSamples:
    """The samples of each patient.

    Args:
        samples: those of an epoch.
        patients: (documents,) see `patients_of`.
    """

    def __init__(self, samples: Samples, patients: Ints) -> None:
        owner = patients[samples.document]
        self._lengths = samples.lengths
        self._order = np.argsort(owner, kind="stable")
        self._begins = np.searchsorted(owner[self._order], np.arange(int(patients.max(initial=-1)) + 2))

    def __len__(self) -> int:
        return len(self._begins) - 1

    def row(self, patient: int, max_tokens: int, rng: np.random.Generator) -> list[int]:
        """Samples of one patient in an order drawn from `rng`, as many as fit a row: each in turn, if there is still room for it."""
        own = self._order[self._begins[patient] : self._begins[patient + 1]]
        taken, left = [], max_tokens
        for sample in rng.permutation(own):
            if self._lengths[sample] <= left:
                taken.append(int(sample))
                left -= int(self._lengths[sample])
        return taken


def _keys(shard: Path) -> Iterator[Key]:
    table = pl.read_parquet(shard, columns=["patient", "source", "id"])
    for patient, source, document in table.iter_rows():
        yield (patient,) if patient else (source, document.removesuffix(MARK))
