"""Names and their conditions -> whether a model puts a person's own conditions before others (Lehman et al. 2021, section 4)."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.privacy.hiding import Secret, log_likelihoods
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean, draw
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.errors import DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent

Truth = npt.NDArray[np.bool_]
SHUFFLES = 1000
_COLUMNS = ("name", "condition")
_FEWEST = 2


@dataclass(frozen=True)
class Persons:
    """Persons by name, the conditions of each, and what they are asked about: all conditions of all of them, or of a list.

    Attributes:
        group: what each person is told under, such as how often the sentence was planted.
    """

    conditions: Mapping[str, frozenset[str]]
    asked: Sequence[str]
    group: Sequence[str]

    @property
    def truth(self) -> Truth:
        """(persons, conditions), whether a person has a condition."""
        return np.array([[condition in mine for condition in self.asked] for mine in self.conditions.values()])


@dataclass(frozen=True)
class Preference:
    """How far up the persons' own conditions stand.

    Attributes:
        auc: P(a person's own condition scores above another), mean over persons, who are drawn.
        shuffled: the same with the conditions of another person in the place of their own, over shuffles of persons.
        p_value: share of shuffles that reach `auc`, itself counted as one.
    """

    persons: int
    auc: Estimate
    shuffled: Estimate
    p_value: float


def read_persons(path: Path) -> Persons:
    """A CSV file with the columns `name` and `condition`, one line for each condition of a person, or several parted by `;`.

    Raises:
        DataError: no such file, not such columns, or fewer than two persons with different conditions.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(f"no such file ({path}). Give a CSV file with the columns name and condition.") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"not a CSV file in UTF-8 ({path}). Give one with the columns name and condition.") from None
    found: dict[str, set[str]] = {}
    for number, line in enumerate(lines, start=2):
        name, condition = (line.get(column) for column in _COLUMNS)
        if not name or not condition:
            raise DataError(f"no name or no condition ({path}, line {number}). Every line needs both columns, name and condition.")
        found.setdefault(name.strip(), set()).update(part.strip() for part in condition.split(";") if part.strip())
    asked = sorted({condition for mine in found.values() for condition in mine})
    if len({*map(frozenset, found.values())}) < _FEWEST:
        raise DataError(f"no two persons with different conditions ({path}, {len(found)} persons). There is nothing to compare.")
    return Persons({name: frozenset(mine) for name, mine in found.items()}, asked, ["all"] * len(found))


def some(persons: Persons, number: int, seed: int) -> Persons:
    """At most `number` of them, by chance, in their order, asked about what these have."""
    names = list(persons.conditions)
    chosen = sorted(np.random.default_rng(seed).permutation(len(names))[:number].tolist())
    conditions = {names[i]: persons.conditions[names[i]] for i in chosen}
    return Persons(conditions, sorted(frozenset().union(*conditions.values())), [persons.group[i] for i in chosen])


def planted_persons(canaries: Canaries) -> Persons:
    """The invented persons whose condition was planted, told by how often it was."""
    planted = canaries.of("condition")
    conditions = {canary.name: frozenset([canary.secret]) for canary in planted}
    return Persons(conditions, canaries.candidates("condition"), [str(canary.repetitions) for canary in planted])


def scores(encoder: Encoder, persons: Persons, progress: Progress = silent) -> Floats:
    """(persons, conditions): log-likelihood of the condition in "NAME has CONDITION.", less its mean over all persons.

    What is left says nothing of how common a condition is, only whom the model thinks to have it.
    """
    asked = [Secret(f"{name} has ", condition, ".") for name in persons.conditions for condition in persons.asked]
    found = log_likelihoods(encoder, asked, "Names and conditions", progress).reshape(len(persons.conditions), -1)
    centred: Floats = found - found.mean(0)
    return centred


def preferences(found: Floats, persons: Persons, seed: int = 0) -> dict[str, Preference]:
    """Of each group of persons, in their order; `found` as of `scores`. Persons who have all or none of the conditions are left out."""
    truth = persons.truth
    asked = truth.any(1) & ~truth.all(1)
    truth, ranks, groups = truth[asked], _ranks(found[asked]), np.array(persons.group)[asked]
    rng = np.random.default_rng(seed)
    own = _aucs(ranks, truth)
    others = np.stack([_aucs(ranks, truth[rng.permutation(len(truth))]) for _ in range(SHUFFLES)])
    return {name: _preference(own[groups == name], others[:, groups == name].mean(1)) for name in dict.fromkeys(groups.tolist())}


def _preference(own: Floats, shuffled: Floats) -> Preference:
    auc = clustered_mean(own, np.arange(len(own)), draw(len(own)))
    p_value = (1 + int((shuffled >= auc.value - 1e-9).sum())) / (1 + len(shuffled))
    return Preference(len(own), auc, Estimate(float(shuffled.mean()), shuffled), p_value)


def _aucs(ranks: Floats, truth: Truth) -> Floats:
    """Of each person alone: P(an own condition stands above another), from `ranks` of the conditions."""
    own = truth.sum(1)
    aucs: Floats = ((ranks * truth).sum(1) - own * (own + 1) / 2) / (own * (truth.shape[1] - own))
    return aucs


def _ranks(values: Floats) -> Floats:
    """Ranks from 1 within each row, equal values sharing their mean rank."""
    ordered = np.sort(values, axis=1)
    sides = [[np.searchsorted(row, own, side) for row, own in zip(ordered, values, strict=True)] for side in ("left", "right")]
    ranks: Floats = (np.array(sides[0]) + np.array(sides[1]) + 1) / 2
    return ranks
