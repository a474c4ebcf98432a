"""Sequences with hidden tokens -> how surprising each hidden token is to a masked model."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

Ints = npt.NDArray[np.int64]
_TOKENS_AT_ONCE = 8192
_LOGITS_AT_ONCE = 2**24


class Hidden(NamedTuple):
    """A sequence between [CLS] and [SEP], and the places in it that are hidden together."""

    ids: Ints
    places: Ints


class Secret(NamedTuple):
    """What is asked about: `secret` where it stands between `before` and `after`."""

    before: str
    secret: str
    after: str


def fills_masks(encoder: Encoder) -> bool:
    """Whether it is a ModernBERT with a masked-language head."""
    return isinstance(encoder.model, ModernBertForMaskedLM) and isinstance(encoder.tokenizer, Tokenizer)


def masked_tokenizer(encoder: Encoder) -> Tokenizer:
    """The tokenizer of a model that fills masks.

    Raises:
        ConfigError: it fills none.
    """
    if not isinstance(encoder.tokenizer, Tokenizer) or not fills_masks(encoder):
        raise ConfigError(
            "this model is no ModernBERT with a masked-language head, and so cannot be asked for hidden tokens. Use one that is."
        )
    return encoder.tokenizer


def losses(encoder: Encoder, asked: Sequence[Hidden], title: str, progress: Progress = silent) -> list[Floats]:
    """-log p of each hidden token of each of `asked`, in nats; many sequences go through the model in one row."""
    tokenizer = masked_tokenizer(encoder)
    found: list[Floats] = [np.zeros(0)] * len(asked)
    with progress(title, total=sum(len(one.ids) for one in asked), unit="tokens") as advance:
        for batch in _batches(asked):
            masked = [asked[number].ids.copy() for number in batch]
            for ids, number in zip(masked, batch, strict=True):
                ids[asked[number].places] = tokenizer.mask_id
            states = encoder.states(masked)
            hidden = np.concatenate([one[asked[number].places] for one, number in zip(states, batch, strict=True)])
            labels = np.concatenate([asked[number].ids[asked[number].places] for number in batch])
            ends = np.cumsum([len(asked[number].places) for number in batch])
            for number, part in zip(batch, np.split(_cross_entropy(encoder, hidden, labels), ends[:-1]), strict=True):
                found[number] = part
            advance(sum(len(ids) for ids in masked))
    return found


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


@torch.inference_mode()
def _cross_entropy(encoder: Encoder, states: npt.NDArray[np.float32], labels: Ints) -> Floats:
    model, size = encoder.model, max(1, _LOGITS_AT_ONCE // len(encoder.tokenizer))
    assert isinstance(model, ModernBertForMaskedLM)
    found = [np.zeros(0)]
    for start in range(0, len(labels), size):
        part = torch.from_numpy(states[start : start + size]).to(model.token_embeddings.device)
        logits = model.decoder(model.head(part), model.token_embeddings).float()[:, : len(encoder.tokenizer)]
        right = torch.from_numpy(labels[start : start + size]).to(logits.device)
        found.append(torch.nn.functional.cross_entropy(logits, right, reduction="none").double().cpu().numpy())
    return np.concatenate(found)


def _batches(asked: Sequence[Hidden]) -> Iterator[list[int]]:
    """Which of `asked` go through the model together, longest first."""
    batch: list[int] = []
    size = 0
    for number in sorted(range(len(asked)), key=lambda number: -len(asked[number].ids)):
        if batch and size + len(asked[number].ids) > _TOKENS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(asked[number].ids)
    if batch:
        yield batch
