"""Whole words hidden in held-out text -> whether a model prefers the right one to others that are as frequent and as long in tokens."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.analysis.cloze import Answer, Ints, MaskedModel, Query, ask
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

BANDS = ((1000, "1,000 and more"), (100, "100 to 1,000"), (10, "10 to 100"), (0, "below 10"))
"""Least number of times in a million words of the corpus, and what the band is called."""
KINDS = ("clinical", "other")
OTHERS = 100
"""Words that the right one is ranked among, at most."""
LEAST = 20
"""A band with fewer other words of equal length is not asked about."""
PASSAGE = 800
"""Characters of a passage."""
HIDDEN = 6
"""Words of a passage that are hidden at most."""
_WORD = re.compile(r"[a-z]{4,}")
_ALONE = re.compile(r"(?<= )[a-z]{4,}(?=[ ,.;])")


@dataclass(frozen=True)
class Frequencies:
    """How often words stand in the corpus."""

    counts: Mapping[str, int]
    total: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Frequencies":
        """Counted in some texts of the training part."""
        counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
        return cls(counts, counts.total())

    def band(self, word: str) -> int:
        """The index in `BANDS` of a word, also of one that was not met."""
        per_million = self.counts.get(word, 0) * 1e6 / self.total
        return next(number for number, (least, _) in enumerate(BANDS) if per_million >= least)


@dataclass(frozen=True)
class Passage:
    """Held-out text, and the characters [start, end) of words in it that are hidden together."""

    text: str
    words: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Ranked:
    """Of the hidden words (W,) of a passage: index in `BANDS`, index in `KINDS`, share of other words that score lower, guessed first."""

    band: Ints
    kind: Ints
    above: Floats
    first: Floats


def passages(texts: Sequence[str], clinical: Collection[str], number: int, seed: int) -> list[Passage]:
    """A passage of each of at most `number` texts; half of the words hidden are clinical ones, as far as there are so many."""
    rng = np.random.default_rng(seed)
    found = []
    for text in texts[:number]:
        start = int(rng.integers(max(len(text) - PASSAGE, 0) + 1))
        passage = text[start : start + PASSAGE]
        spans = [match.span() for match in _ALONE.finditer(passage)]
        mixed = [spans[i] for i in rng.permutation(len(spans))]
        special = [span for span in mixed if passage[slice(*span)] in clinical][: HIDDEN // 2]
        others = [span for span in mixed if passage[slice(*span)] not in clinical][: HIDDEN - len(special)]
        if special or others:
            found.append(Passage(passage, tuple(sorted([*special, *others]))))
    return found


class Ranking:
    """The words of a corpus as one tokenizer spells them, by band and number of tokens."""

    def __init__(self, frequencies: Frequencies, clinical: Collection[str], tokenizer: Tokenizer, seed: int) -> None:
        self._frequencies, self._clinical, self._tokenizer, self._seed = frequencies, clinical, tokenizer, seed
        self._words: dict[tuple[int, int], list[Ints]] = defaultdict(list)
        words = list(frequencies.counts)
        for word, ids in zip(words, tokenizer.encode_batch([f" {word}" for word in words]), strict=True):
            self._words[frequencies.band(word), len(ids)].append(ids)

    def rank(self, model: MaskedModel, asked: Sequence[Passage], *, progress: Progress = silent, title: str = "Words") -> list[Ranked]:
        """How the hidden words of each passage rank."""
        queries = [self._query(passage, number) for number, passage in enumerate(asked)]
        answers = ask(model, [query for query, _ in queries], progress, title)
        return [
            self._ranked(passage, query, sizes, answer) for passage, (query, sizes), answer in zip(asked, queries, answers, strict=True)
        ]

    def _query(self, passage: Passage, number: int) -> tuple[Query, list[int]]:
        """The passage with its words hidden, and how many tokens each has.

        Targets are the tokens of the right word and of others; -1 where there are fewer than `OTHERS`, or too few.
        """
        rng = np.random.default_rng([self._seed, number])
        parts, places, targets, end = list[Ints](), list[Ints](), list[Ints](), 0
        for start, stop in passage.words:
            between, word = self._tokenizer.encode_batch([passage.text[end : start - 1], passage.text[start - 1 : stop]])
            others = self._words[self._frequencies.band(passage.text[start:stop]), len(word)]
            others = [ids for ids in others if not np.array_equal(ids, word)]
            drawn = [others[i] for i in rng.permutation(len(others))[:OTHERS]] if len(others) >= LEAST else []
            parts += [between, np.full(len(word), self._tokenizer.mask_id)]
            places.append(sum(map(len, parts)) - len(word) + 1 + np.arange(len(word)))
            columns = np.stack([word, *drawn], 1)
            targets.append(np.pad(columns, ((0, 0), (0, OTHERS + 1 - columns.shape[1])), constant_values=-1))
            end = stop
        parts += self._tokenizer.encode_batch([passage.text[end:]])
        ids = self._tokenizer.wrap(np.concatenate(parts))
        return Query(ids, np.concatenate(places), np.concatenate(targets)), [len(one) for one in places]

    def _ranked(self, passage: Passage, query: Query, sizes: Sequence[int], answer: Answer) -> Ranked:
        rows: list[tuple[int, int, float, float]] = []
        stops = np.cumsum(sizes)
        for (start, stop), size, last in zip(passage.words, sizes, stops.tolist(), strict=True):
            word, here = passage.text[start:stop], slice(last - size, last)
            scores = answer.log_probabilities[here].sum(0)
            others = scores[1:][query.targets[last - 1, 1:] >= 0]
            if len(others):
                above = float((scores[0] > others + 1e-6).mean() + (np.abs(scores[0] - others) <= 1e-6).mean() / 2)
                rows.append((self._frequencies.band(word), int(word not in self._clinical), above, float(answer.is_first[here].all())))
        table = np.array(rows, np.float64).reshape(-1, 4)
        return Ranked(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3])


def estimates(ranked: Sequence[Ranked], draws: Floats) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Kind -> band (and `all`) -> `above`, by chance 0.5, and `first`; passages are drawn."""
    passage = np.concatenate([np.full(len(one.band), number) for number, one in enumerate(ranked)])
    band, kind, above, first = (np.concatenate([getattr(one, name) for one in ranked]) for name in ("band", "kind", "above", "first"))
    result: dict[str, dict[str, dict[str, Estimate]]] = {}
    for number, name in enumerate(KINDS):
        spans = {title: band == i for i, (_, title) in enumerate(BANDS)} | {"all": band >= 0}
        for title, within in spans.items():
            if (here := within & (kind == number)).any():
                result.setdefault(name, {})[title] = {
                    "above": clustered_mean(above[here], passage[here], draws),
                    "first": clustered_mean(first[here], passage[here], draws),
                }
    return result


def counts(ranked: Sequence[Ranked]) -> dict[str, int]:
    """Hidden words of each kind that were ranked."""
    kind = np.concatenate([one.kind for one in ranked])
    return {name: int((kind == number).sum()) for number, name in enumerate(KINDS)}
