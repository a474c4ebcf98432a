"""In: an encoder, questions and the texts that answer them. Out: the encoder, whose vectors find them better. Next: `evaluate`.

A batch is questions, each with one of its answers; the answers of the others are the wrong ones (InfoNCE, in both directions).
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.sequences import Piece, whole
from clinical_modernbert.model.task_model import features
from clinical_modernbert.pretraining.alignment import Contrast, contrastive_loss
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.examples import Retrieval
from clinical_modernbert.tasks.retrieval import rank
from clinical_modernbert.tasks.stopping import Fit
from clinical_modernbert.tasks.training import FinetuneSettings, fit, mixed_precision, row_of, rows

_TEMPERATURE = 0.05
_DEV_TEXTS = 1000
"""Among so many texts answers to the questions of the dev part are looked for after each epoch: these answers, and others by chance."""


def train_vectors(
    encoder: Encoder,
    train: Retrieval,
    dev: Retrieval,
    metric: Metric,
    settings: FinetuneSettings,
    seed: int,
    progress: Progress = silent,
) -> tuple[Encoder, Fit]:
    """A copy of the encoder, trained to find the answers of `train`; it has the weights of the epoch that was best on `dev`.

    Where a batch takes more than `settings.row_tokens` the texts go through the model twice (gradient caching, Gao et al. 2021).
    """
    model = copy.deepcopy(encoder.model)
    device = next(model.parameters()).device
    asked = [question for question in train.questions if train.relevant.get(question)]

    def pieces(text: str) -> list[Piece]:
        found = whole(encoder.tokenizer, text, None, model.config.max_position_embeddings)
        return found if encoder.pooling == "mean" else [replace(found[0], used=slice(0, 1))]

    def vectors(texts: Sequence[Sequence[Piece]], seed: int) -> Tensor:
        torch.manual_seed(seed)  # a second time the same units are dropped
        with mixed_precision(device):
            return features(model, row_of(texts, True, device)).float()

    def gradients(chosen: Sequence[int]) -> tuple[float, int]:
        questions = [asked[number] for number in chosen]
        answers = [found[int(torch.randint(len(found), ()))] for found in (sorted(train.relevant[question]) for question in questions)]
        right = torch.tensor([[train.relevant[question].get(answer, 0) > 0 for answer in answers] for question in questions])
        texts = [*map(pieces, map(train.questions.__getitem__, questions)), *map(pieces, map(train.texts.__getitem__, answers))]
        parts = [[texts[number] for number in row] for row in rows(texts, range(len(texts)), settings.row_tokens)]
        seeds = torch.randint(2**31, (len(parts),)).tolist()
        with torch.set_grad_enabled(len(parts) == 1):
            found = torch.cat([vectors(part, one) for part, one in zip(parts, seeds, strict=True)])
        leaf = found if len(parts) == 1 else found.requires_grad_()
        loss = contrastive_loss(leaf, _contrast(right.to(device), leaf.shape[1]))
        loss.backward()  # type: ignore[no-untyped-call]
        if len(parts) > 1:
            assert leaf.grad is not None
            borders = accumulate(map(len, parts), initial=0)
            for part, one, (first, last) in zip(parts, seeds, pairwise(borders), strict=True):
                vectors(part, one).backward(leaf.grad[first:last])  # type: ignore[no-untyped-call]
        return float(loss.detach()) * len(chosen), len(chosen)

    def trained() -> Encoder:
        """With the weights of now, which an `Encoder` keeps in a layout of its own."""
        return Encoder(model, encoder.tokenizer, encoder.pooling)

    def figure() -> float:
        return float(rank(trained(), fewer).figure(metric))

    fewer = _fewer_texts(dev, seed)
    fitted = fit(model, model.config.hidden_size, asked, gradients, figure, settings, seed, progress)
    return trained(), fitted


def _contrast(right: Tensor, hidden_size: int) -> Contrast:
    """Of B questions and then B answers, `right` (B, B) tells which answer which; questions are not told apart from one another."""
    none = torch.zeros_like(right)
    positives, others = (torch.cat([torch.cat([none, one], 1), torch.cat([one.T, none], 1)]) for one in (right, ~right))
    return Contrast(positives, others, _TEMPERATURE, [hidden_size])


def _fewer_texts(data: Retrieval, seed: int) -> Retrieval:
    kept = dict.fromkeys(text for question in data.questions for text in data.relevant.get(question, {}))
    others = [text for text in data.texts if text not in kept]
    more = max(0, min(len(others), _DEV_TEXTS - len(kept)))
    kept |= dict.fromkeys(others[number] for number in sorted(np.random.default_rng(seed).permutation(len(others))[:more]))
    return Retrieval({text: data.texts[text] for text in kept}, data.questions, data.relevant)
