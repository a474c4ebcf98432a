"""Documents -> patients, and the row that a patient fills. What private training samples, clips and promises is by patient."""

from pathlib import Path

import numpy as np
import polars as pl

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.batching.samples import Samples
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import Split


def patients_of(corpus: Corpus, split: Split = "train") -> Ints:
    """(documents,) the number of each document's patient, in the order of the token store; a document without one is its own.

    Patients of one name are one, whatever source they come from: a guarantee for both is one for each.
    """
    paths = [corpus.folder / shard.path for shard in corpus.manifest.shards if shard.split == split]
    return number_patients([name for path in paths for name in _names(path)])


def count_patients(corpus: Corpus) -> int:
    """Patients of the training split; a document without one counts as one."""
    return int(patients_of(corpus).max(initial=-1)) + 1


def number_patients(names: list[str | None]) -> Ints:
    """Equal names get the same number, a missing one a number of its own; numbers go from 0 without a gap.

    Example:
        >>> number_patients(["p1", None, "p1", "p2", None]).tolist()
        [0, 2, 0, 1, 3]
    """
    known = {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name))}
    alone = iter(range(len(known), len(known) + len(names)))
    return np.array([known[name] if name else next(alone) for name in names], dtype=np.int64)


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


def _names(shard: Path) -> list[str | None]:
    names: list[str | None] = pl.read_parquet(shard, columns=["patient"])["patient"].to_list()
    return names
