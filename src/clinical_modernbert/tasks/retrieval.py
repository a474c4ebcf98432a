"""In: texts, questions and an encoder. Out: how well the answers are found by the cosine of pooled vectors. Next: `evaluate`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks.examples import Retrieval
from clinical_modernbert.tasks.metrics import Means, ranking

_SCORES_AT_ONCE = 2**25
"""Of questions beside all texts: 128 MiB."""
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
    at_once = max(1, _SCORES_AT_ONCE // len(texts))
    for first in range(0, len(asked), at_once):
        scores = questions[first : first + at_once] @ vectors.T
        ranked += [[texts[place] for place in best(row, _RANKED)] for row in scores]
    return ranking(ranked, [data.relevant[question] for question in asked])


def best(scores: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Places of the `count` highest scores, the highest first, of equal ones the first first; no others are sorted."""
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        places = np.flatnonzero(scores >= least)
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")][:count]
