"""Figures beside those of scikit-learn, SciPy and seqeval; a draw of documents is a figure of those documents."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seqeval import metrics as seqeval
from seqeval.scheme import IOB2
from sklearn import metrics as oracle

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span, spans_of, tags_of
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.metrics import (
    Counts,
    Outcome,
    Scores,
    Values,
    from_json,
    label_counts,
    ranking,
    span_counts,
    to_json,
    word_counts,
)
from clinical_modernbert.tasks.problems import Labelling
from clinical_modernbert.tasks.significance import compare, draws, interval
from clinical_modernbert.tokenization import train

LABELS = ["a", "b", "c", "none"]
CHOICES = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30)


def some_labels(seed: int, count: int = 60) -> tuple[list[str], list[str], list[str]]:
    rng = np.random.default_rng(seed)
    gold, said = rng.choice(LABELS, count).tolist(), rng.choice(LABELS, count).tolist()
    return gold, said, [f"d{number // 4}" for number in range(count)]


@settings(max_examples=150, deadline=None)
@given(CHOICES)
def test_f1_of_labels_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    gold, said = zip(*pairs, strict=True)
    counts = label_counts([[label] for label in gold], [[label] for label in said], [str(n) for n in range(len(gold))])
    assert counts.figure("accuracy") == pytest.approx(oracle.accuracy_score(gold, said))
    occurring = sorted(set(gold))
    for metric, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        expected = oracle.f1_score(gold, said, labels=occurring, average=average, zero_division=0)
        assert counts.figure(metric) == pytest.approx(expected)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(CHOICES)
def test_labels_that_say_nothing_are_no_class(pairs: list[tuple[str, str]]) -> None:
    gold, said = zip(*pairs, strict=True)
    counts = label_counts([[x] for x in gold], [[x] for x in said], ["one"] * len(gold), frozenset(["none"]))
    assert counts.figure("micro_f1") == pytest.approx(oracle.f1_score(gold, said, labels=LABELS[:3], average="micro", zero_division=0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from(tags_of(["x", "y"])), min_size=5, max_size=5)), min_size=2, max_size=8))
def test_strict_span_f1_is_seqevals(drawn: list[tuple[list[str]]]) -> None:
    sentences = [repaired(tags) for (tags,) in drawn]
    said = sentences[1:] + sentences[:1]
    words = [(2 * n, 2 * n + 1) for n in range(5)]
    names = tags_of(["x", "y"])
    spans = [[spans_of([names.index(tag) for tag in tags], names, words) for tags in side] for side in (sentences, said)]
    ours = span_counts(spans[0], spans[1], [str(n) for n in range(len(sentences))])
    assert ours.figure("span_f1") == pytest.approx(seqeval.f1_score(sentences, said, mode="strict", scheme=IOB2, zero_division=0))


def repaired(tags: Sequence[str]) -> list[str]:
    """An I that follows no tag of its label becomes a B."""
    fixed: list[str] = []
    for tag in tags:
        before = fixed[-1] if fixed else "O"
        fixed.append(f"B{tag[1:]}" if tag[0] == "I" and before[2:] != tag[2:] else tag)
    return fixed


def test_a_span_that_is_said_twice_counts_once() -> None:
    once, twice = [Span(0, 3, "x")], [Span(0, 3, "x"), Span(0, 3, "x")]
    counts = span_counts([once], [twice], ["d"])
    assert (counts.true.sum(), counts.predicted.sum(), counts.gold.sum()) == (1, 2, 1)
    assert counts.by_label()["x"]["precision"] == 0.5


def test_f1_of_words_is_scikit_learns_whatever_overlaps() -> None:
    rng = np.random.default_rng(4)
    words = [[(5 * n, 5 * n + 4) for n in range(12)] for _ in range(8)]

    def some_spans() -> list[list[Span]]:
        return [[Span(int(a), int(a) + 11, str(rng.choice(LABELS[:3]))) for a in rng.integers(0, 45, 3)] for _ in words]

    def matrix(side: list[list[Span]]) -> list[list[bool]]:
        return [
            [any(span.label == label and span.start < end and start < span.end for span in spans) for label in LABELS[:3]]
            for spans, some in zip(side, words, strict=True)
            for start, end in some
        ]

    gold, said = some_spans(), some_spans()
    counts = word_counts(gold, said, words, [str(n) for n in range(8)])
    assert counts.num_documents == 8
    assert counts.figure("word_macro_f1") == pytest.approx(oracle.f1_score(matrix(gold), matrix(said), average="macro"))


def test_auroc_is_scikit_learns_ties_and_weights_included() -> None:
    rng = np.random.default_rng(0)
    gold = rng.random((80, 3)) < 0.3
    scores = rng.integers(0, 6, (80, 3)).astype(float)
    outcome = Scores(gold, scores, np.arange(80))
    assert outcome.figure("auroc") == pytest.approx(oracle.roc_auc_score(gold, scores, average="macro"))
    assert outcome.figure("micro_auroc") == pytest.approx(oracle.roc_auc_score(gold, scores, average="micro"))
    weights = rng.multinomial(80, np.full(80, 1 / 80), size=3).astype(float)
    expected = [oracle.roc_auc_score(gold, scores, average="macro", sample_weight=row) for row in weights]
    np.testing.assert_allclose(outcome.figure("auroc", weights), expected)


def test_a_label_that_nobody_has_is_left_out_of_the_mean() -> None:
    gold = np.array([[True, False], [False, False]])
    assert Scores(gold, np.array([[1.0, 0.0], [0.0, 1.0]]), np.arange(2)).figure("auroc") == 1.0


def test_correlations_are_scipys() -> None:
    rng = np.random.default_rng(1)
    gold, said = rng.integers(0, 5, 40).astype(float), rng.random(40)
    outcome = Values(gold, said, np.arange(40))
    assert outcome.figure("pearson") == pytest.approx(stats.pearsonr(gold, said).statistic)
    assert outcome.figure("spearman") == pytest.approx(stats.spearmanr(gold, said).statistic)


def test_auroc_of_one_label_of_several_is_that_of_its_probability() -> None:
    rng = np.random.default_rng(1)
    table, names = rng.normal(size=(60, 3)), np.array(["a", "b", "c"])
    gold = rng.integers(0, 3, 60)
    examples = [LabelledText(str(n), "", (str(names[label]),)) for n, label in enumerate(gold)]
    problem = Labelling(("a", "b", "c"), train(["of a text"] * 9, 300), 64)
    shifted = table + rng.normal(size=(60, 1)) * 9
    found = problem.outcome(examples, list(shifted[:, None]), "auroc").figure("auroc")
    probabilities = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    assert found == pytest.approx(oracle.roc_auc_score(gold, probabilities, multi_class="ovr"))


def test_numbers_of_one_patient_are_drawn_together() -> None:
    rng = np.random.default_rng(1)
    gold, said, patients = rng.random(12), rng.random(12), np.repeat(np.arange(4), 3)
    outcome = Values(gold, said, patients)
    assert outcome.num_documents == 4
    drawn = np.concatenate([np.flatnonzero(patients == patient) for patient in (0, 0, 2, 3)])
    expected = stats.pearsonr(gold[drawn], said[drawn]).statistic
    assert outcome.figure("pearson", np.array([[2.0, 0, 1, 1]]))[0] == pytest.approx(expected)
    before = {key: value for key, value in to_json(outcome).items() if key != "documents"}
    assert from_json(before).num_documents == 12


def test_ranking_is_scikit_learns_and_counts_what_was_not_found() -> None:
    rng = np.random.default_rng(2)
    relevance, scores = rng.integers(0, 3, (5, 20)), rng.random((5, 20))
    relevance[:, 0] = 1
    ids = [[str(i) for i in np.argsort(-row)] for row in scores]
    found = ranking(ids, [{str(i): int(r) for i, r in enumerate(row) if r} for row in relevance])
    assert found.figure("ndcg@10") == pytest.approx(oracle.ndcg_score(relevance, scores, k=10))
    assert ranking([["x", "y"]], [{"y": 1, "z": 1}]).values["recall@10"] == 0.5
    assert ranking([["x", "y"]], [{"y": 1, "z": 1}]).values["mrr"] == 0.5


OUTCOMES: list[tuple[Outcome, Metric]] = [
    (label_counts([["a"], ["b"], ["a"]], [["a"], ["b"], ["b"]], ["1", "2", "3"]), "macro_f1"),
    (label_counts([["a"], ["b"], ["a"]], [["a"], ["b"], ["b"]], ["1", "2", "3"]), "accuracy"),
    (Scores(np.array([[True], [False], [True]]), np.array([[0.3], [0.2], [0.1]]), np.arange(3)), "auroc"),
    (Values(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0]), np.arange(3)), "pearson"),
    (ranking([["x"], ["y"], ["x"]], [{"x": 1}, {"x": 1}, {"x": 1}]), "mrr"),
]


@pytest.mark.parametrize(("outcome", "metric"), OUTCOMES)
def test_every_document_once_is_the_figure_itself(outcome: Outcome, metric: Metric) -> None:
    np.testing.assert_allclose(outcome.figure(metric, np.ones((2, 3))), [outcome.figure(metric)] * 2)


def test_a_draw_is_the_figure_of_its_documents() -> None:
    gold, said, groups = some_labels(3)
    counts = label_counts([[x] for x in gold], [[x] for x in said], groups)
    weights = np.zeros((1, 15))
    weights[0, [2, 5]] = 2, 1
    drawn = [n for n in range(60) for _ in range(int(weights[0, n // 4]))]
    expected = oracle.f1_score([gold[n] for n in drawn], [said[n] for n in drawn], average="micro")
    assert counts.figure("micro_f1", weights)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("outcome", "metric"), OUTCOMES)
def test_an_outcome_comes_back_from_json(outcome: Outcome, metric: Metric) -> None:
    again = from_json(json.loads(json.dumps(to_json(outcome))))
    assert type(again) is type(outcome)
    np.testing.assert_array_equal(again.figure(metric, draws(3)[:5]), outcome.figure(metric, draws(3)[:5]))


def better_and_worse(right: float) -> Counts:
    rng = np.random.default_rng(int(right * 100))
    gold = rng.choice(["a", "b"], 400).tolist()
    said = [label if rng.random() < right else "none" for label in gold]
    return label_counts([[x] for x in gold], [[x] for x in said], [str(n) for n in range(400)])


def test_a_better_model_is_told_from_chance_and_an_equal_one_is_not() -> None:
    clear = compare([better_and_worse(0.9)], [better_and_worse(0.7)], "accuracy")
    assert clear.p_value < 0.01
    assert 0.1 < clear.low < clear.high < 0.3
    same = compare([better_and_worse(0.9)], [better_and_worse(0.9)], "accuracy")
    assert (same.p_value, same.difference) == (1.0, 0)


def test_equally_good_models_are_told_apart_one_time_in_twenty() -> None:
    rng, told = np.random.default_rng(7), 0
    for _ in range(200):
        gold = rng.choice(["a", "b", "c"], 80).tolist()
        said = [[[label] if rng.random() < 0.7 else ["none"] for label in gold] for _ in range(2)]
        one, other = (label_counts([[x] for x in gold], some, [str(n) for n in range(80)]) for some in said)
        told += compare([one], [other], "accuracy").p_value < 0.05
    assert 2 <= told <= 20


def test_what_seeds_alone_change_is_no_difference_and_what_they_cannot_is_one() -> None:
    rng = np.random.default_rng(3)
    gold = rng.choice(["a", "b", "c"], 80).tolist()

    def seeds(mean: float) -> list[Counts]:
        found = []
        for share in np.clip(rng.normal(mean, 0.08, 5), 0, 1):
            said = [[label] if rng.random() < share else ["none"] for label in gold]
            found.append(label_counts([[x] for x in gold], said, [str(n) for n in range(80)]))
        return found

    def told(other: float) -> int:
        return sum(compare(seeds(0.7), seeds(other), "accuracy").p_value < 0.05 for _ in range(200))

    assert told(0.7) <= 14
    assert told(0.3) >= 190


def test_draws_without_a_figure_do_not_make_equal_models_differ() -> None:
    gold = np.array([[True], [False], [False]])
    one, other = (Scores(gold, np.array([[0.5], [first], [1 - first]]), np.arange(3)) for first in (0.4, 0.6))
    assert np.isnan(one.figure("auroc", draws(3))).mean() > 0.3
    assert compare([one], [other], "auroc").p_value > 0.9


def test_the_interval_covers_what_repetition_would_give() -> None:
    low, high = interval(better_and_worse(0.8), "accuracy")
    assert low < 0.8 < high
    assert high - low == pytest.approx(4 * np.sqrt(0.8 * 0.2 / 400), rel=0.2)


def test_a_label_that_a_draw_lacks_does_not_count_against_a_perfect_model() -> None:
    gold = [["a"]] * 97 + [["b"]] * 2 + [["c"]]
    perfect = label_counts(gold, gold, [str(n) for n in range(100)])
    assert interval(perfect, "macro_f1") == (1.0, 1.0)


def test_figures_that_are_not_defined_are_told_or_are_0() -> None:
    assert Values(np.ones(3), np.arange(3.0), np.arange(3)).figure("pearson") == 0
    with pytest.raises(DataError, match="no AUROC"):
        Scores(np.array([[True], [True]]), np.zeros((2, 1)), np.arange(2)).figure("auroc")


def test_draws_of_auroc_are_the_same_in_pieces() -> None:
    rng = np.random.default_rng(5)
    outcome = Scores(rng.random((30, 2)) < 0.5, rng.random((30, 2)), np.arange(30))
    weights = draws(30)[:250]
    np.testing.assert_array_equal(outcome.figure("auroc", weights)[120:130], outcome.figure("auroc", weights[120:130]))
