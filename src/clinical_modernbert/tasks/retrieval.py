"""In: texts, questions and an encoder. Out: how well the answers are found by the cosine of pooled vectors. Next: `evaluate`."""

from collections.abc import Sequence

import numpy as np

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks.examples import Retrieval
from clinical_modernbert.tasks.metrics import Means, ranking

_QUESTIONS_AT_ONCE = 256
_RANKED = 1000
"""Texts of a ranking that are looked at; an answer behind them counts as not found."""


def rank(encoder: Encoder, data: Retrieval, progress: Progress = silent) -> Means:
    """The figures of every question that has an answer, in the order of `data.questions`."""
    asked = [question for question in data.questions if data.relevant.get(question)]
    if not asked:
        raise DataError("no question has an answer. Check the data set.")
    texts = list(data.texts)
    vectors = unit(encoder.encode(list(data.texts.values()), progress=progress))
    questions = unit(encoder.encode([data.questions[question] for question in asked], progress=progress))
    ranked: list[Sequence[str]] = []
    for first in range(0, len(asked), _QUESTIONS_AT_ONCE):
        scores = questions[first : first + _QUESTIONS_AT_ONCE] @ vectors.T
        ranked += [[texts[place] for place in row] for row in np.argsort(-scores, 1, kind="stable")[:, :_RANKED]]
    return ranking(ranked, [data.relevant[question] for question in asked])
