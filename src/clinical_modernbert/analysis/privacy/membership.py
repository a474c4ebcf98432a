"""Documents that were trained on and documents that were not -> how well a model's losses tell them apart.

The attack of Mireshghallah et al. 2022 (Quantifying privacy risks of masked language models): a document is a member if the model finds it
likelier than a reference model does. Both see the same tokens hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.analysis.cloze import Ints, masked_tokenizer
from clinical_modernbert.analysis.privacy.hiding import Hidden, losses
from clinical_modernbert.analysis.statistics import Estimate, Floats, auc, draw
from clinical_modernbert.analysis.subject import Sampled
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE

PROBABILITY, NUM_MASKS, MAX_TOKENS = 0.15, 5, 510
"""Share of a document's tokens that a mask hides, masks of a document, which share no token, and the most tokens of it that are asked."""
FALSE_POSITIVES = 0.01
RATIO, LOSS, REFERENCE, UNTRAINED = "likelihood ratio", "loss alone", "reference's loss alone", "untrained shape's loss"


@dataclass(frozen=True)
class Attack:
    """What a score tells: `members` and `others` are scores of units, higher for what looks like a member.

    Attributes:
        hits: the true-positive rate at `FALSE_POSITIVES` false positives.
    """

    members: Floats
    others: Floats
    auc: Estimate
    hits: Estimate

    @property
    def hits_by_chance(self) -> float:
        """What `hits` is on average for scores that tell nothing: above `FALSE_POSITIVES`, and the more so the fewer `others` there are."""
        return (int(FALSE_POSITIVES * len(self.others)) + 1) / (len(self.others) + 1)

    def curve(self) -> tuple[Floats, Floats]:
        """The ROC curve: false-positive rates, true-positive rates."""
        return roc(self.members, self.others, np.ones(len(self.members)), np.ones(len(self.others)))


def attack(members: Floats, others: Floats, member_groups: Sequence[str], other_groups: Sequence[str], seed: int = 0) -> Attack:
    """Score units; for the intervals whole groups are drawn, such as all documents of a patient."""
    weights = [_weights(groups, seed + side) for side, groups in enumerate((member_groups, other_groups))]
    drawn = np.array([hit_rate(members, others, p, n) for p, n in zip(*weights, strict=True)])
    value = hit_rate(members, others, np.ones(len(members)), np.ones(len(others)))
    return Attack(members, others, auc(members, others, *weights), Estimate(value, drawn))


def roc(members: Floats, others: Floats, member_weights: Floats, other_weights: Floats) -> tuple[Floats, Floats]:
    """(false-positive rates, true-positive rates) at each threshold, from (0, 0) to (1, 1); equal scores pass together."""
    _, level = np.unique(-np.concatenate([members, others]), return_inverse=True)
    size = int(level.max()) + 1
    hits, alarms = np.bincount(level[: len(members)], member_weights, size), np.bincount(level[len(members) :], other_weights, size)
    rates = [np.concatenate([[0.0], np.cumsum(counts) / counts.sum()]) for counts in (alarms, hits)]
    return rates[0], rates[1]


def hit_rate(members: Floats, others: Floats, member_weights: Floats, other_weights: Floats) -> float:
    """The highest true-positive rate of a threshold with at most `FALSE_POSITIVES` false positives."""
    alarms, hits = roc(members, others, member_weights, other_weights)
    return float(hits[alarms <= FALSE_POSITIVES].max())


def _weights(groups: Sequence[str], seed: int) -> Floats:
    """(draws, units): how often each unit comes in each draw of groups."""
    _, number = np.unique(np.array(groups), return_inverse=True)
    drawn: Floats = draw(int(number.max()) + 1, seed)[:, number]
    return drawn


def hidden_parts(ids: Ints, rng: np.random.Generator) -> list[Ints]:
    """Places after [CLS] that each mask of a document hides: different ones, at least one each where there are as many tokens."""
    size = max(1, round(PROBABILITY * len(ids)))
    order = rng.permutation(len(ids)) + 1
    return [part for k in range(NUM_MASKS) if len(part := np.sort(order[k * size : (k + 1) * size]))]


def longest(encoders: Mapping[str, Encoder]) -> int:
    """Tokens of a document that are asked: as many as go through every one of the encoders."""
    return min(MAX_TOKENS, *(encoder.model.config.max_position_embeddings - SPECIAL_TOKENS_PER_SEQUENCE for encoder in encoders.values()))


def document_losses(encoders: Mapping[str, Encoder], texts: Sequence[str], seed: int = 0, progress: Progress = silent) -> dict[str, Floats]:
    """Mean loss of the hidden tokens of each text, (texts,), under each of the encoders, which have one tokenizer."""
    tokenizer = masked_tokenizer(next(iter(encoders.values())))
    asked: list[Hidden] = []
    owner: list[int] = []
    for number, ids in enumerate(tokenizer.encode_batch(texts)):
        first = ids[: longest(encoders)]
        parts = hidden_parts(first, np.random.default_rng([seed, number]))
        asked += [Hidden(tokenizer.wrap(first), part) for part in parts]
        owner += [number] * len(parts)
    counts = np.bincount(owner, [len(one.places) for one in asked], len(texts))
    found = {}
    for name, encoder in encoders.items():
        sums = [part.sum() for part in losses(encoder, asked, f"Membership: {name}", progress)]
        found[name] = np.bincount(owner, sums, len(texts)) / np.maximum(counts, 1)
    return found


def attacks(found: Mapping[str, Floats], members: Sequence[Sampled], others: Sequence[Sampled], seed: int = 0) -> dict[str, Attack]:
    """Each attack on documents; `found` holds losses of the members and, behind them, of the others, by the names of this module.

    A patient's documents are drawn together.
    """
    groups = [[document.patient or document.id for document in side] for side in (members, others)]
    split = {name: (-losses[: len(members)], -losses[len(members) :]) for name, losses in _statistics(found).items()}
    return {name: attack(mine, other, groups[0], groups[1], seed) for name, (mine, other) in split.items()}


def patient_attacks(found: Mapping[str, Floats], members: Sequence[Sampled], others: Sequence[Sampled], seed: int = 0) -> dict[str, Attack]:
    """As `attacks`, of patients by the mean over their documents."""
    sides = [np.array([document.patient or "" for document in side]) for side in (members, others)]
    names = [sorted(set(side.tolist()) - {""}) for side in sides]

    def by_patient(scores: Floats, side: int) -> Floats:
        return np.array([scores[sides[side] == patient].mean() for patient in names[side]], dtype=np.float64)

    split = {name: (-losses[: len(members)], -losses[len(members) :]) for name, losses in _statistics(found).items()}
    return {name: attack(by_patient(mine, 0), by_patient(other, 1), names[0], names[1], seed) for name, (mine, other) in split.items()}


def _statistics(found: Mapping[str, Floats]) -> dict[str, Floats]:
    """What each attack looks at, lower for what looks like a member."""
    ratio = {RATIO: found[LOSS] - found[REFERENCE]} if REFERENCE in found else {}
    return {**ratio, **found}
