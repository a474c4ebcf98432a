"""What pooled vectors of code descriptions know: figures of several encoders on the same questions.

A map of codes by chapter looks good for an untrained model too, since sibling codes share words. So every figure stands beside the
same shape untrained, beside the bag of the model's token embeddings, and beside any reference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis import statistics
from clinical_modernbert.analysis.codes import questions
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import BAG, MODEL, UNTRAINED, UNTRAINED_SEEDS
from clinical_modernbert.inference import BagOfEmbeddings, Encoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.progress import Progress, silent, titled
from clinical_modernbert.tasks.code_tables import CodeTable, Concept
from clinical_modernbert.tasks.synonym_questions import synonym_questions

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

MIN_QUESTIONS = 20
"""Fewer questions of a kind are not asked: their interval would say nothing."""
NEIGHBOURS = 5

FIGURES: Mapping[str, str] = {
    "pair_auc": "Same chapter against another one, no content word shared (AUC)",
    "mrr": "Term from a synonym that shares no content word: mean reciprocal rank",
    "r1": "... the right term comes first",
    "r10": "... the right term is among the first 10",
    "mrr_no_stem": "... not even the beginning of a word shared: mean reciprocal rank",
    "knn": "Chapter from the 5 nearest codes",
    "knn_other_category": "... neighbours of the same category left out",
    "hierarchy": "Cosine against distance in the hierarchy (Spearman, sign turned)",
}
"""Key in `metrics.json` -> what it says."""


@dataclass(frozen=True)
class Contender:
    """One column of the comparison: a name, and one embedding function, or several whose figures are averaged."""

    name: str
    embed: tuple[Embed, ...]


@dataclass(frozen=True)
class Figures:
    """The figures of one contender on one table, and its map: positions (N, 2) of `Findings.mapped`."""

    estimates: dict[str, Estimate]
    map: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Findings:
    """One table's questions and what each contender made of them."""

    table: CodeTable
    sampled: list[Concept]
    asked: dict[str, int]
    majority: float
    mapped: list[Concept] = field(default_factory=list)
    figures: dict[str, Figures] = field(default_factory=dict)

    def ratio(self, name: str, figure: str, to: str = UNTRAINED) -> Estimate | None:
        """How many times a contender's figure is another's, on the same bootstrap draws; None where that one may be 0 or less."""
        one, other = (self.figures[who].estimates.get(figure) if who in self.figures else None for who in (name, to))
        return one.over(other) if one and other and other.draws.min() > 0 else None


def contenders(model: Encoder, references: Mapping[str, Encoder], progress: Progress = silent) -> list[Contender]:
    """The model, the references, the model's shape untrained (mean of three seeds), and the bag of the model's token embeddings."""

    def embed(encoder: Encoder, name: str) -> Embed:
        return lambda texts: encoder.encode(texts, progress=titled(progress, name))

    untrained = tuple(embed(model.untrained(seed), f"{UNTRAINED}, seed {seed}") for seed in UNTRAINED_SEEDS)
    return [
        Contender(MODEL, (embed(model, MODEL),)),
        *(Contender(name, (embed(encoder, name),)) for name, encoder in references.items()),
        Contender(UNTRAINED, untrained),
        Contender(BAG, (embed(BagOfEmbeddings(model), BAG),)),
    ]


def analyze_codes(
    table: CodeTable,
    compared: Sequence[Contender],
    *,
    limit: int = 6000,
    max_mapped: int = 2000,
    seed: int = 0,
    progress: Progress = silent,
) -> Findings:
    """Ask every contender the same questions about `table`.

    At most `limit` concepts are sampled for all but retrieval; at most `max_mapped` of them are drawn (0: no maps).
    """
    sampled = questions.sample(table, limit, seed)
    asked = Questions(table, sampled, seed)
    mapped = questions.sample(CodeTable(table.system, sampled), max_mapped, seed) if max_mapped else []
    at = {concept.concept: i for i, concept in enumerate(sampled)}
    rows = np.array([at[concept.concept] for concept in mapped], dtype=np.int64)
    findings = Findings(table, sampled, asked.counts(), asked.majority, mapped)
    with progress(f"Asking about {table.system}", total=sum(len(one.embed) for one in compared), unit="encoders") as advance:
        for contender in compared:
            answers = []
            for embed in contender.embed:
                vectors = asked.embed(embed)
                answers.append(asked.answer(vectors))
                advance(1)
            averaged = {name: statistics.average([answer[name] for answer in answers]) for name in answers[0]}
            drawn = tsne(vectors[asked.names][rows], seed) if len(rows) else None
            findings.figures[contender.name] = Figures(averaged, drawn)
    return findings


class Questions:
    """All questions about one table, with the bootstrap draws that every contender is measured on."""

    def __init__(self, table: CodeTable, sampled: list[Concept], seed: int) -> None:
        self._retrieval = synonym_questions([concept for concept in table.concepts if concept.held_out])
        self._same, self._other = questions.chapter_pairs(sampled, seed)
        self._pairs, self._distance = questions.hierarchy_pairs(sampled, seed)
        self._chapter = np.unique([concept.chapter for concept in sampled], return_inverse=True)[1]
        self._family = np.unique([concept.family for concept in sampled], return_inverse=True)[1]
        self._retrieves = len(self._retrieval.query) >= MIN_QUESTIONS
        terms, query = (self._retrieval.terms, self._retrieval.query) if self._retrieves else ([], [])
        self.texts = [*(concept.name for concept in sampled), *terms, *query]
        ends = np.cumsum([0, len(sampled), len(terms), len(query)])
        self.names, self._terms, self._queries = (slice(start, stop) for start, stop in pairwise(ends))
        sizes = (len(self._same), len(self._other), len(self._pairs), self._family.max() + 1, len(self._retrieval.terms))
        self._draws = [statistics.draw(max(size, 1), seed) for size in sizes]
        self.majority = float(np.bincount(self._chapter).max() / len(sampled))

    def counts(self) -> dict[str, int]:
        """How many questions of each kind there are."""
        return {
            "same_chapter_pairs": len(self._same),
            "other_chapter_pairs": len(self._other),
            "hierarchy_pairs": len(self._pairs),
            "sampled_codes": len(self._chapter),
            "held_out_terms": len(self._retrieval.terms),
            "synonyms": len(self._retrieval.query),
            "synonyms_no_stem": int(self._retrieval.no_stem.sum()),
        }

    def embed(self, embed: Embed) -> Vectors:
        """Unit vectors of all texts that are asked about."""
        return unit(embed(self.texts))

    def answer(self, vectors: Vectors) -> dict[str, Estimate]:
        """Every figure of `FIGURES` that this table can give, from unit vectors of all texts."""
        names = vectors[self.names]
        family, pairs = self._draws[3], self._draws[2]
        result = self.answer_without_spelling(vectors)
        for name, hits in (("knn", self._neighbours(names, False)), ("knn_other_category", self._neighbours(names, True))):
            result[name] = statistics.clustered_mean(hits, self._family, family)
        result["hierarchy"] = statistics.rank_correlation(_cosines(names, self._pairs), -self._distance.astype(np.float64), pairs)
        return result

    def answer_without_spelling(self, vectors: Vectors) -> dict[str, Estimate]:
        """The figures of questions whose two sides share no content word: pairs of chapters, and terms from synonyms."""
        names, (same, other, _, _, terms) = vectors[self.names], self._draws
        result = {}
        if min(len(self._same), len(self._other)) >= MIN_QUESTIONS:
            result["pair_auc"] = statistics.auc(_cosines(names, self._same), _cosines(names, self._other), same, other)
        if self._retrieves:
            result |= self._retrieve(vectors[self._queries], vectors[self._terms], terms)
        return result

    def _retrieve(self, query: Vectors, terms: Vectors, draws: statistics.Floats) -> dict[str, Estimate]:
        gold = self._retrieval.gold
        scores = query @ terms.T
        right = scores[np.arange(len(gold)), gold][:, None]
        rank = 1 + (scores > right).sum(1) + ((scores == right).sum(1) - 1) / 2  # ties share their mean rank
        result = {
            name: statistics.clustered_mean(values.astype(np.float64), gold, draws)
            for name, values in (("mrr", 1 / rank), ("r1", rank <= 1), ("r10", rank <= 10))
        }
        hard = self._retrieval.no_stem
        if hard.sum() >= MIN_QUESTIONS:
            result["mrr_no_stem"] = statistics.clustered_mean(1 / rank[hard], gold[hard], draws)
        return result

    def _neighbours(self, names: Vectors, leave_out_family: bool) -> statistics.Floats:
        """For each code 1 if most of its nearest neighbours (the nearest decides a tie) are of its chapter, else 0."""
        hits = np.empty(len(names))
        for start in range(0, len(names), 512):
            rows = np.arange(start, min(start + 512, len(names)))
            scores = names[rows] @ names.T
            scores[np.arange(len(rows)), rows] = -np.inf
            if leave_out_family:
                scores[self._family[rows][:, None] == self._family] = -np.inf
            nearest = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            order = np.take_along_axis(scores, nearest, 1).argsort(1)[:, ::-1]
            chapters = self._chapter[np.take_along_axis(nearest, order, 1)]
            votes = (chapters[:, :, None] == chapters[:, None]).sum(2)  # argmax takes the first, the nearest, of equal ones
            hits[rows] = np.take_along_axis(chapters, votes.argmax(1)[:, None], 1)[:, 0] == self._chapter[rows]
        return hits


def _cosines(unit_vectors: Vectors, pairs: npt.NDArray[np.int64]) -> statistics.Floats:
    found: statistics.Floats = np.einsum("pd,pd->p", unit_vectors[pairs[:, 0]], unit_vectors[pairs[:, 1]]).astype(np.float64)
    return found


def tsne(vectors: Vectors, seed: int) -> npt.NDArray[np.float64]:
    """(N, 2): t-SNE of unit vectors, where their Euclidean order is that of the cosine (van der Maaten and Hinton 2008)."""
    from sklearn.manifold import TSNE

    placed = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), init="pca", random_state=seed).fit_transform(vectors.astype(np.float64))
    return np.asarray(placed, dtype=np.float64)
