"""ICD-9-CM and ICD-10-CM: does a description of one find its like in the other, beside other encoders on the same questions.

Gold are CMS's General Equivalence Mappings where they are given. Without them it is what ICD-10-CM itself says: a description of
ICD-9-CM that it lists as another name (inclusion term) of a code. Pairs whose descriptions are equal but for case and punctuation are
never asked about: comparing characters finds them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis import statistics
from clinical_modernbert.analysis.codes.answers import MIN_QUESTIONS, Contender, Vectors
from clinical_modernbert.analysis.codes.correspondence import CHAPTERS
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks.code_tables import CodeTable, Concept
from clinical_modernbert.tasks.synonym_questions import content_words

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

GEM, INCLUSION_TERMS = "CMS's equivalence mappings", "inclusion terms of ICD-10-CM"
"""What the right answers come from."""

FIGURES: Mapping[str, str] = {
    "mrr": "ICD-10-CM code from the ICD-9-CM description: mean reciprocal rank",
    "mrr_no_word": "... no content word shared with any right one",
    "mrr_back": "ICD-9-CM code from the ICD-10-CM description: mean reciprocal rank",
    "mrr_back_no_word": "... no content word shared with any right one",
    "chapter": "Nearest ICD-10-CM code that shares no content word is of a corresponding chapter",
    "chapter_back": "Nearest ICD-9-CM code that shares no content word is of a corresponding chapter",
}
"""Key in `metrics.json` -> what it says."""


@dataclass(frozen=True)
class Gold:
    """Indices of concepts of ICD-9-CM and ICD-10-CM that mean the same (pairs, 2); how many more pairs had equal descriptions."""

    source: str
    pairs: Ints
    equal: int


def gold_pairs(nine: CodeTable, ten: CodeTable, gem: Mapping[str, tuple[str, ...]] | None) -> Gold:
    """The right answers; see the head of this module."""
    nines = {concept.code: i for i, concept in enumerate(nine.concepts)}
    tens = {concept.code: i for i, concept in enumerate(ten.concepts)}
    if gem is not None:
        pairs = [(nines[a], tens[b]) for a, targets in gem.items() if a in nines for b in targets if b in tens]
    else:
        named: dict[str, list[int]] = {}
        for i, concept in enumerate(ten.concepts):
            for name in {_plain(text) for text in (concept.name, *concept.synonyms)}:
                named.setdefault(name, []).append(i)
        pairs = [(i, j) for i, concept in enumerate(nine.concepts) for j in named.get(_plain(concept.name), ())]
    equal = {(i, j) for i, j in pairs if _plain(nine.concepts[i].name) == _plain(ten.concepts[j].name)}
    easy = {i for i, _ in equal}, {j for _, j in equal}
    kept = sorted({(i, j) for i, j in pairs if i not in easy[0] and j not in easy[1]})
    return Gold(GEM if gem is not None else INCLUSION_TERMS, np.array(kept, dtype=np.int64).reshape(-1, 2), len(equal))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


@dataclass(frozen=True)
class Aligned:
    """Where the gold comes from, what was asked, what chance gives for chapters, and contender -> the figures of `FIGURES`."""

    gold: str
    asked: dict[str, int]
    chance: dict[str, float]
    figures: dict[str, dict[str, Estimate]] = field(default_factory=dict)


def align(
    nine: CodeTable,
    ten: CodeTable,
    compared: Sequence[Contender],
    *,
    gem: Mapping[str, tuple[str, ...]] | None = None,
    limit: int = 6000,
    seed: int = 0,
    progress: Progress = silent,
) -> Aligned:
    """Ask every contender about at most `limit` codes of each system, those with right answers before others."""
    gold = gold_pairs(nine, ten, gem)
    rng = np.random.default_rng(seed)
    pairs = gold.pairs[np.sort(rng.permutation(len(gold.pairs))[: limit // 2])]
    rows = [_pool(table, pairs[:, side], limit, rng) for side, table in enumerate((nine, ten))]
    sides = [[table.concepts[i] for i in chosen] for table, chosen in zip((nine, ten), rows, strict=True)]
    places = np.stack([np.searchsorted(chosen, pairs[:, side]) for side, chosen in enumerate(rows)], 1)
    there, back = _Direction(sides[0], sides[1], places, False, seed), _Direction(sides[1], sides[0], places[:, ::-1], True, seed)
    asked = {
        "icd9_codes": len(sides[0]),
        "icd10_codes": len(sides[1]),
        "equal_descriptions_left_out": gold.equal,
        **there.counts(""),
        **back.counts("_back"),
    }
    found = Aligned(gold.source, asked, {"chapter": there.chance, "chapter_back": back.chance})
    texts = [concept.name for side in sides for concept in side]
    with progress("Aligning ICD-9-CM and ICD-10-CM", total=sum(len(one.embed) for one in compared), unit="encoders") as advance:
        for contender in compared:
            answers = []
            for embed in contender.embed:
                vectors = unit(embed(texts))
                one, other = vectors[: len(sides[0])], vectors[len(sides[0]) :]
                answers.append({**there.answer(one, other, ""), **back.answer(other, one, "_back")})
                advance(1)
            found.figures[contender.name] = {key: statistics.average([a[key] for a in answers]) for key in FIGURES if key in answers[0]}
    return found


def _pool(table: CodeTable, needed: Ints, limit: int, rng: np.random.Generator) -> Ints:
    """Sorted indices of the needed concepts, and of others that have a chapter, up to `limit`."""
    chosen = np.unique(needed)
    rest = np.setdiff1d([i for i, concept in enumerate(table.concepts) if concept.chapter], chosen)
    more = rng.permutation(rest)[: max(limit - len(chosen), 0)]
    return np.sort(np.concatenate([chosen, more])).astype(np.int64)


class _Direction:
    """Questions from the codes of one system to those of the other, and the bootstrap draws of families of codes."""

    def __init__(self, asking: Sequence[Concept], asked: Sequence[Concept], pairs: Ints, back: bool, seed: int) -> None:
        self._shared = _share_a_word(asking, asked)
        self._right = np.zeros(self._shared.shape, dtype=bool)
        self._right[pairs[:, 0], pairs[:, 1]] = True
        self._queries = np.unique(pairs[:, 0])
        self._no_word = ~(self._right & self._shared)[self._queries].any(1)
        self._family = np.unique([concept.family for concept in asking], return_inverse=True)[1]
        self._draws = statistics.draw(int(self._family.max()) + 1, seed)
        self._fits = _corresponding(asked, asking).T if back else _corresponding(asking, asked)
        self._known = np.flatnonzero(self._fits.any(1) & ~self._shared.all(1))
        open_to = ~self._shared[self._known]
        self.chance = float(((self._fits[self._known] & open_to).sum(1) / open_to.sum(1)).mean()) if len(self._known) else 0.0

    def counts(self, suffix: str) -> dict[str, int]:
        """How many questions of each kind there are."""
        kinds = {"retrieval": len(self._queries), "retrieval_no_word": int(self._no_word.sum()), "chapter": len(self._known)}
        return {f"{name}{suffix}": number for name, number in kinds.items()}

    def answer(self, asking: Vectors, asked: Vectors, suffix: str) -> dict[str, Estimate]:
        """The figures of this direction, from unit vectors of both sides."""
        scores = asking @ asked.T
        result = {}
        best = np.where(self._right, scores, -np.inf).max(1)[self._queries]
        wrong = np.where(self._right, -np.inf, scores)[self._queries]
        reciprocal = 1 / (1 + (wrong > best[:, None]).sum(1) + (wrong == best[:, None]).sum(1) / 2)
        for name, chosen in (("mrr", np.ones(len(best), dtype=bool)), ("mrr_no_word", self._no_word)):
            if chosen.sum() >= MIN_QUESTIONS:
                values, family = reciprocal[chosen], self._family[self._queries[chosen]]
                result[name.replace("mrr", f"mrr{suffix}")] = statistics.clustered_mean(values, family, self._draws)
        if len(self._known) >= MIN_QUESTIONS:
            nearest = np.where(self._shared, -np.inf, scores)[self._known].argmax(1)
            hits = self._fits[self._known, nearest].astype(np.float64)
            result[f"chapter{suffix}"] = statistics.clustered_mean(hits, self._family[self._known], self._draws)
        return result


def _corresponding(nine: Sequence[Concept], ten: Sequence[Concept]) -> Bools:
    """(nine, ten): whether the chapters of two codes correspond."""
    of_nine, of_ten = (np.unique([concept.chapter for concept in side], return_inverse=True) for side in (nine, ten))
    table = np.array([[chapter in CHAPTERS.get(one, ()) for chapter in of_ten[0]] for one in of_nine[0]], dtype=bool)
    found: Bools = table[of_nine[1][:, None], of_ten[1]]
    return found


def _share_a_word(asking: Sequence[Concept], asked: Sequence[Concept]) -> Bools:
    """(asking, asked): whether two names have a content word in common."""
    holders: dict[str, list[int]] = {}
    for j, concept in enumerate(asked):
        for word in content_words(concept.name):
            holders.setdefault(word, []).append(j)
    shared = np.zeros((len(asking), len(asked)), dtype=bool)
    for i, concept in enumerate(asking):
        for word in content_words(concept.name):
            shared[i, holders.get(word, ())] = True
    return shared
