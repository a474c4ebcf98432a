"""Sequences with hidden tokens -> how surprising each hidden token is to a masked model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clinical_modernbert.analysis.cloze import Ints, Query, ask, masked_tokenizer
from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer


class Hidden(NamedTuple):
    """A sequence between [CLS] and [SEP], and the places in it that are hidden together."""

    ids: Ints
    places: Ints


class Secret(NamedTuple):
    """What is asked about: `secret` where it stands between `before` and `after`."""

    before: str
    secret: str
    after: str


def losses(encoder: Encoder, asked: Sequence[Hidden], title: str, progress: Progress = silent) -> list[Floats]:
    """-log p of each hidden token of each of `asked`, in nats; many sequences go through the model in one row."""
    mask = masked_tokenizer(encoder).mask_id
    queries = [
        Query(np.where(np.isin(np.arange(len(one.ids)), one.places), mask, one.ids), one.places, one.ids[one.places][:, None])
        for one in asked
    ]
    return [-answer.log_probabilities[:, 0] for answer in ask(encoder, queries, progress, title)]


def log_likelihoods(encoder: Encoder, secrets: Sequence[Secret], title: str, progress: Progress = silent) -> Floats:
    """The masked pseudo-log-likelihood of each secret in its sentence (Salazar et al. 2020), (secrets,), in nats.

    The sum over its tokens of log p(token | all others); each of them, and no other, is hidden in a pass of its own.
    """
    tokenizer = masked_tokenizer(encoder)
    placed = [_place(tokenizer, secret) for secret in secrets]
    passes = [Hidden(ids, places[i : i + 1]) for ids, places in placed for i in range(len(places))]
    told = np.concatenate([*losses(encoder, passes, title, progress), np.zeros(0)])
    owner = np.repeat(np.arange(len(secrets)), [len(places) for _, places in placed])
    summed: Floats = -np.bincount(owner, told, len(secrets)).astype(np.float64)
    return summed


def _place(tokenizer: Tokenizer, secret: Secret) -> Hidden:
    """The sentence, and the tokens that share a character with the secret."""
    encoded = tokenizer.encode("".join(secret))
    start = len(secret.before)
    inside = (encoded.offsets[:, 1] > start) & (encoded.offsets[:, 0] < start + len(secret.secret))
    return Hidden(tokenizer.wrap(encoded.ids), np.flatnonzero(inside) + 1)
