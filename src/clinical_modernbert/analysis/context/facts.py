"""Invented notes: a fact of the admission section, text of a wanted length, the same fact hidden in the discharge section.

Does the model take the hidden fact from where it was stated? Two facts a and b of one kind are planted in turn, and neither of them; the
log-odds of a over b with a planted, less those with b planted, leave out what the model believes of a and b anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clinical_modernbert.analysis.cloze import Ints, MaskedModel, Query, ask
from clinical_modernbert.analysis.context.texts import Filler, words
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

DISTANCES = (16, 64, 256, 1024, 4096, 7936)
"""Tokens of other text between the sections."""


@dataclass(frozen=True)
class Kind:
    """A kind of fact: how the admission section states it and says nothing of it, how the discharge section repeats it, what it can be."""

    name: str
    stated: str
    unsaid: str
    repeated: str
    values: tuple[str, ...]


KINDS = (
    Kind(
        "drug",
        "Before admission the patient took {} every morning.",
        "The list of medicines was looked through.",
        "After discharge the patient goes on taking {} every morning.",
        ("aspirin", "metformin", "warfarin", "insulin", "prednisone", "digoxin", "furosemide", "amiodarone", "heparin", "lithium"),
    ),
    Kind(
        "diagnosis",
        "The reason for admission was {}.",
        "The reason for admission was discussed with the family.",
        "The main diagnosis of this stay was {}.",
        ("pneumonia", "sepsis", "stroke", "asthma", "epilepsy", "anemia", "pancreatitis", "cellulitis", "angina", "meningitis"),
    ),
    Kind(
        "allergy",
        "The patient is allergic to {}.",
        "Allergies were asked for.",
        "Known allergy: {}.",
        ("penicillin", "latex", "iodine", "peanuts", "eggs", "morphine", "codeine", "sulfa", "shellfish", "nickel"),
    ),
    Kind(
        "side of the body",
        "The complaints are on the {} side.",
        "The complaints are the same as before.",
        "At discharge there are no complaints on the {} side.",
        ("left", "right"),
    ),
    Kind(
        "age",
        "The patient is {} years old.",
        "The patient is well known here.",
        "This patient, who is {} years old, is discharged today.",
        ("23", "34", "41", "47", "52", "58", "63", "69", "74", "86"),
    ),
)


@dataclass(frozen=True)
class Note:
    """An invented note in its parts, as ids: `heads` by what is planted (a, b, neither), `tail` with hidden facts of `kinds`.

    `places` are those of the hidden tokens in the tail, `kind` (P,) the index of each one's kind, `targets` (P, 2) the tokens of a and b.
    [CLS] stands in the heads, [SEP] in the tail.
    """

    kinds: tuple[Kind, ...]
    heads: tuple[Ints, Ints, Ints]
    filler: Ints
    tail: Ints
    places: Ints
    kind: Ints
    targets: Ints

    @property
    def longest(self) -> int:
        """Tokens of the note without the text between its sections."""
        return max(map(len, self.heads)) + len(self.tail)

    def query(self, planted: int, distance: int) -> Query:
        """The whole note with `distance` tokens between its sections."""
        before = np.concatenate([self.heads[planted], self.filler[:distance]])
        return Query(np.concatenate([before, self.tail]), self.places + len(before), self.targets)


@dataclass(frozen=True)
class Copied:
    """What a model made of one note, for each distance (distances, kinds), in nats.

    Attributes:
        shift: half of how much higher the log-odds of a over b are with a planted than with b planted.
        mention: how much more likely a fact is where it is planted than where none is.
        other: how much more likely a fact is where the other one is planted than where none is.
    """

    shift: Floats
    mention: Floats
    other: Floats


def write(filler: Filler, tokenizer: Tokenizer, number: int, most: int) -> Note:
    """Note `number`: of each kind two facts of equally many tokens, the kinds' order by chance, `most` tokens to stand between.

    A kind is left out where the tokenizer gives no two of its facts equally many tokens.
    """
    rng = np.random.default_rng([1, number])
    options = {kind: _options(kind, tokenizer) for kind in KINDS}
    kinds = tuple(kind for kind in KINDS if options[kind])
    chosen = {kind: options[kind][rng.integers(len(options[kind]))][:: rng.choice([1, -1])] for kind in kinds}
    order = [kinds[k] for k in rng.permutation(len(kinds))]
    stated = [[kind.stated.format(chosen[kind][which]) for kind in order] for which in range(2)]
    heads = [_head(tokenizer, sentences) for sentences in (*stated, [kind.unsaid for kind in order])]
    parts, places, targets = tokenizer.encode_batch(["\nDISCHARGE\n"]), [], []
    for kind in order:
        before, after = kind.repeated.split(" {}")
        start, *values, end = tokenizer.encode_batch([f" {before}", *(f" {value}" for value in chosen[kind]), after])
        places.append(sum(map(len, parts)) + len(start) + np.arange(len(values[0])))
        targets.append(np.stack(values, 1))
        parts += [start, np.full(len(values[0]), tokenizer.mask_id), end]
    tail = tokenizer.wrap(np.concatenate(parts))[1:]
    named = np.concatenate([np.full(len(some), kinds.index(kind)) for kind, some in zip(order, places, strict=True)])
    text = filler.take(most, _SAID, rng)
    return Note(kinds, (heads[0], heads[1], heads[2]), text, tail, np.concatenate(places), named, np.concatenate(targets))


def fitting(notes: Sequence[Note], context: int) -> list[int]:
    """The distances at which no note is longer than `context`, and that every note's text fills."""
    room = min(min(context - note.longest, len(note.filler)) for note in notes)
    return [distance for distance in DISTANCES if distance <= room]


def copy(
    model: MaskedModel, notes: Sequence[Note], distances: Sequence[int], *, progress: Progress = silent, title: str = "Facts"
) -> list[Copied]:
    """What the model takes from each note's admission section."""
    queries = [note.query(planted, distance) for note in notes for distance in distances for planted in range(3)]
    answers = iter(ask(model, queries, progress, title))
    copied = []
    for note in notes:
        scores = np.array([[_by_kind(note, next(answers).log_probabilities) for _ in range(3)] for _ in distances])
        right = (scores[:, 0, 0] + scores[:, 1, 1]) / 2
        wrong = (scores[:, 0, 1] + scores[:, 1, 0]) / 2
        neither = scores[:, 2].mean(1)
        copied.append(Copied(right - wrong, right - neither, wrong - neither))
    return copied


def estimates(copied: Sequence[Copied], kinds: Sequence[Kind], distances: Sequence[int], draws: Floats) -> dict[str, dict[str, Estimate]]:
    """Distance -> over all kinds `shift`, `right` (share of facts with a shift above 0), `mention`, `other`, and the shift of each kind."""
    result = {}
    for number, distance in enumerate(distances):
        shift = np.array([one.shift[number] for one in copied])
        columns = {"shift": shift, "right": (shift > 0) + 0.5 * (shift == 0)}
        columns |= {name: np.array([getattr(one, name)[number] for one in copied]) for name in ("mention", "other")}
        columns |= {kind.name: shift[:, [k]] for k, kind in enumerate(kinds)}
        note = np.arange(len(copied))
        result[str(distance)] = {
            name: clustered_mean(values.ravel(), note.repeat(values.shape[1]), draws) for name, values in columns.items()
        }
    return result


def reach(found: Mapping[str, Mapping[str, Estimate]]) -> str | None:
    """The greatest distance such that at it and at all shorter ones the interval of the shift lies above 0; None if at none."""
    last = None
    for distance, figures in found.items():
        if figures["shift"].interval[0] <= 0:
            break
        last = distance
    return last


_SAID = frozenset(word for kind in KINDS for value in kind.values for word in words(value))


def _options(kind: Kind, tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Two of a kind's values that have equally many tokens."""
    sizes = {
        value: len(ids) for value, ids in zip(kind.values, tokenizer.encode_batch([f" {value}" for value in kind.values]), strict=True)
    }
    return [(one, two) for one, two in combinations(kind.values, 2) if sizes[one] == sizes[two]]


def _head(tokenizer: Tokenizer, sentences: Sequence[str]) -> Ints:
    return tokenizer.wrap(tokenizer.encode_batch([f"ADMISSION\n{' '.join(sentences)}\n\nCOURSE\n"])[0])[:-1]


def _by_kind(note: Note, log_probabilities: Floats) -> Floats:
    """(2, kinds): the log-probabilities of the tokens of a and of b, summed for each kind."""
    return np.stack([np.bincount(note.kind, log_probabilities[:, which], len(note.kinds)) for which in range(2)])
