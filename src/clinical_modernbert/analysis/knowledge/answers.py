"""Questions -> how likely a model finds each answer, with the question, with another one's, and without; and what ranks right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.analysis.cloze import Ints, MaskedModel, Query, ask
from clinical_modernbert.analysis.knowledge.questions import Question
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

PASSES = 3
"""An answer is told in at most so many passes."""

Beginning = tuple[str, Sequence[str]]
"""The beginning of a sentence, and answers that may follow."""


@dataclass(frozen=True)
class Scored:
    """Of one question the scores (answers,): asked as it is, with another question's text, and without any."""

    asked: Floats
    shuffled: Floats
    bare: Floats


def score(
    model: MaskedModel, questions: Sequence[Question], tokenizer: Tokenizer, progress: Progress = silent, title: str = ""
) -> list[Scored]:
    """The scores of all answers of each question; see `scores`."""
    sentences = [(text, one.answers) for one in questions for text in (one.text, one.shuffled, one.bare)]
    found = iter(scores(model, sentences, tokenizer, progress, title))
    return [Scored(next(found), next(found), next(found)) for _ in questions]


def scores(
    model: MaskedModel, sentences: Sequence[Beginning], tokenizer: Tokenizer, progress: Progress = silent, title: str = ""
) -> list[Floats]:
    """For each beginning the pseudo-log-likelihood of every answer behind it, divided by its number of tokens.

    The tokens of an answer are told from left to right in at most `PASSES` runs; a run is told with itself and all that follows of the
    answer hidden, so that no part of a word gives the rest away (after Kauf and Ivanova 2023, who tell each token alone).
    """
    (end,) = tokenizer.encode_batch(["."])
    number_of: dict[bytes, int] = {}
    shells: list[tuple[Ints, Ints]] = []
    columns: list[list[Ints]] = []
    parts: list[tuple[int, int, int, int]] = []  # sentence, answer, query, column
    sizes = []
    for sentence, (beginning, answers) in enumerate(sentences):
        before, *encoded = tokenizer.encode_batch([beginning, *(f" {answer}" for answer in answers)])
        sizes.append(np.array([len(ids) for ids in encoded]))
        for answer, ids in enumerate(encoded):
            for run in np.array_split(np.arange(len(ids)), min(PASSES, len(ids))):
                hidden = np.full(len(ids) - run[0], tokenizer.mask_id)
                whole = tokenizer.wrap(np.concatenate([before, ids[: run[0]], hidden, end]))
                places = len(before) + 1 + run
                query = number_of.setdefault(np.concatenate([whole, [-1], places]).tobytes(), len(shells))
                if query == len(shells):
                    shells.append((whole, places))
                    columns.append([])
                parts.append((sentence, answer, query, len(columns[query])))
                columns[query].append(ids[run])
    told = ask(model, [Query(*shell, np.stack(some, 1)) for shell, some in zip(shells, columns, strict=True)], progress, title)
    sums = [np.zeros(len(some)) for some in sizes]
    for sentence, answer, query, column in parts:
        sums[sentence][answer] += told[query].log_probabilities[:, column].sum()
    return [total / size for total, size in zip(sums, sizes, strict=True)]


def estimates(questions: Sequence[Question], scored: Sequence[Scored], draws: Floats) -> dict[str, dict[str, Estimate]]:
    """By way of ranking the share `first` of right answers in the first place, and the mean reciprocal rank `mrr`; concepts are drawn.

    `likeliest` ranks by the score, `lifted` by the score less that without the question, which takes out what is thought of an answer
    anyway; `shuffled` is `lifted` with another concept's question, `bare` is the score without any question. Equals share their places.
    """
    ways = {
        "likeliest": [one.asked for one in scored],
        "lifted": [one.asked - one.bare for one in scored],
        "shuffled": [one.shuffled - one.bare for one in scored],
        "bare": [one.bare for one in scored],
    }
    group = np.arange(len(questions))
    gold = [question.gold for question in questions]
    result = {}
    for name, values in ways.items():
        ranked = [rank(value, right) for value, right in zip(values, gold, strict=True)]
        result[name] = {
            "first": clustered_mean(np.array([max(0.0, 1 - above) / shared for above, shared in ranked]), group, draws),
            "mrr": clustered_mean(np.array([(1 / (above + 1 + np.arange(shared))).mean() for above, shared in ranked]), group, draws),
        }
    return result


def rank(scores: Floats, gold: int) -> tuple[int, int]:
    """How many answers score above the right one, and how many, itself included, as it does.

    Example:
        >>> rank(np.array([0.5, 0.9, 0.5]), gold=0)
        (1, 2)
    """
    above = scores > scores[gold] + 1e-6
    equal = np.abs(scores - scores[gold]) <= 1e-6
    return int(above.sum()), int(equal.sum())
