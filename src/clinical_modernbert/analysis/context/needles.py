"""A needle in a long text: a made-up code, number or value stated once, asked for at the end, told from others of its form."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.cloze import Ints, MaskedModel, Query, ask
from clinical_modernbert.analysis.context.texts import Filler
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

LENGTHS = (512, 1024, 2048, 4096, 8192)
"""Tokens of the whole text, [CLS] and [SEP] included."""
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the needle stands: 0 at the text's beginning, 1 right before the question."""
CANDIDATES = 10
CHANCE = 1 / CANDIDATES
_DRAWN = 400

SENTENCES = ("The door code of the ward is {}.", "The number of the locker is {}.", "The value on the label is {}.")


def _code(rng: np.random.Generator) -> str:
    first, last = rng.choice(list("ABCDEFGHKLMNPRSTUVWXYZ"), 2)
    return f"{first}{rng.integers(10, 100)}{last}"


def _number(rng: np.random.Generator) -> str:
    return str(rng.integers(100, 1000))


def _value(rng: np.random.Generator) -> str:
    return f"{rng.integers(1, 100)}.{rng.integers(1, 10)}"


FORMS: tuple[Callable[[np.random.Generator], str], ...] = (_code, _number, _value)
"""What each of `SENTENCES` is filled with."""


@dataclass(frozen=True)
class Haystack:
    """A text in its parts, as ids: three needles beside each other, the text to hide them in, and the question for all three.

    `places` are those of the hidden tokens in the question, `needle` (P,) whose they are, `targets` (P, candidates), `gold` (needles,)
    which candidate was planted.
    """

    needles: Ints
    filler: Ints
    question: Ints
    places: Ints
    needle: Ints
    targets: Ints
    gold: Ints

    def query(self, length: int, depth: float | None, tokenizer: Tokenizer) -> Query:
        """The text of `length` tokens with the needles at `depth`; without them for None."""
        needles = self.needles if depth is not None else self.needles[:0]
        text = self.filler[: length - len(self.question) - len(needles) - 2]
        at = round((depth or 0) * len(text))
        before = np.concatenate([text[:at], needles, text[at:]])
        return Query(tokenizer.wrap(np.concatenate([before, self.question])), self.places + len(before) + 1, self.targets)


@dataclass(frozen=True)
class Picked:
    """Of one text (lengths, depths, needles): 1 where the planted candidate is the likeliest, shared where several are.

    `lifted` counts the candidate whose log-probability the needles raise most over that in the text without them.
    """

    plain: Floats
    lifted: Floats


def make(filler: Filler, tokenizer: Tokenizer, number: int, longest: int) -> Haystack:
    """Haystack `number`, with text for `longest` tokens."""
    rng = np.random.default_rng([2, number])
    gold = rng.integers(CANDIDATES, size=len(SENTENCES))
    stated, parts, places, targets = list[str](), list[Ints](), list[Ints](), list[Ints]()
    for sentence, form, planted in zip(SENTENCES, FORMS, gold, strict=True):
        candidates, ids = _candidates(form, tokenizer, rng)
        stated.append(sentence.format(candidates[planted]))
        before, after = sentence.split(" {}")
        start, end = tokenizer.encode_batch([f" {before}", after])
        places.append(sum(map(len, parts)) + len(start) + np.arange(len(ids)))
        targets.append(ids)
        parts += [start, np.full(len(ids), tokenizer.mask_id), end]
    needle = np.repeat(np.arange(len(places)), [len(some) for some in places])
    (needles,) = tokenizer.encode_batch([f" {' '.join(stated)}"])
    text = filler.take(longest, (), rng)
    return Haystack(needles, text, np.concatenate(parts), np.concatenate(places), needle, np.concatenate(targets), gold)


def fitting(haystacks: Sequence[Haystack], context: int) -> list[int]:
    """The lengths that the model takes, the parts leave room in and the texts fill."""
    return [
        n for n in LENGTHS if n <= context and all(len(one.needles) + len(one.question) + 2 < n <= len(one.filler) for one in haystacks)
    ]


def find(
    model: MaskedModel,
    haystacks: Sequence[Haystack],
    lengths: Sequence[int],
    tokenizer: Tokenizer,
    *,
    progress: Progress = silent,
    title: str = "Needles",
) -> list[Picked]:
    """Which candidates the model takes, by length and depth."""
    depths = (None, *DEPTHS)
    queries = [one.query(length, depth, tokenizer) for one in haystacks for length in lengths for depth in depths]
    answers = iter(ask(model, queries, progress, title))
    picked = []
    for one in haystacks:
        scores = np.array([[_by_needle(one, next(answers).log_probabilities) for _ in depths] for _ in lengths])
        with_needles, without = scores[:, 1:], scores[:, :1]
        picked.append(Picked(_hits(with_needles, one.gold), _hits(with_needles - without, one.gold)))
    return picked


def estimates(picked: Sequence[Picked], lengths: Sequence[int], draws: Floats) -> dict[str, dict[str, Estimate]]:
    """`plain` and `lifted` accuracy by `LENGTH@DEPTH`, by `LENGTH` and over `all`; needles are drawn, of which each text has three."""
    result = {}
    for name in ("plain", "lifted"):
        hits = np.stack([getattr(one, name) for one in picked])  # (texts, lengths, depths, needles)
        cells: dict[str, Floats] = {"all": hits}
        for i, length in enumerate(lengths):
            cells[str(length)] = hits[:, [i]]
            cells |= {f"{length}@{depth:g}": hits[:, [i]][:, :, [d]] for d, depth in enumerate(DEPTHS)}
        result[name] = {cell: clustered_mean(values.ravel(), _cluster(values), draws) for cell, values in cells.items()}
    return result


def _candidates(form: Callable[[np.random.Generator], str], tokenizer: Tokenizer, rng: np.random.Generator) -> tuple[list[str], Ints]:
    """`CANDIDATES` of a form that have equally many tokens, as most of its have, and their tokens (tokens, candidates)."""
    drawn = list(dict.fromkeys(form(rng) for _ in range(_DRAWN)))
    by_size: dict[int, list[tuple[str, Ints]]] = defaultdict(list)
    for value, ids in zip(drawn, tokenizer.encode_batch([f" {value}" for value in drawn]), strict=True):
        by_size[len(ids)].append((value, ids))
    chosen = max(by_size.values(), key=len)[:CANDIDATES]
    return [value for value, _ in chosen], np.stack([ids for _, ids in chosen], 1)


def _by_needle(one: Haystack, log_probabilities: Floats) -> Floats:
    """(needles, candidates): the log-probabilities of a candidate's tokens, summed."""
    sums = np.zeros((len(one.gold), CANDIDATES))
    np.add.at(sums, one.needle, log_probabilities)
    return sums


def _hits(scores: Floats, gold: Ints) -> Floats:
    """(..., needles) of scores (..., needles, candidates): 1 over how many share the first place if the right one has it, else 0."""
    best: npt.NDArray[np.bool_] = scores >= scores.max(-1, keepdims=True) - 1e-6
    right = np.take_along_axis(best, np.broadcast_to(gold[:, None], (*scores.shape[:-1], 1)), -1)[..., 0]
    shared: Floats = right / best.sum(-1)
    return shared


def _cluster(values: Floats) -> Ints:
    """The number of the needle (text, needle) that each of `values`, made flat, belongs to."""
    texts, _, _, needles = values.shape
    of = np.arange(texts)[:, None, None, None] * needles + np.arange(needles)
    return np.broadcast_to(of, values.shape).ravel()
