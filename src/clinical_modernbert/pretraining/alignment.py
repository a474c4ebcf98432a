"""The alignment phase: pooled vectors of texts that mean the same are drawn together (SapBERT's idea, Liu et al. 2021).

The loss is multi-positive InfoNCE over all 2B texts of a batch of B pairs; masked language modelling goes along.
"""

# T tokens, S texts, D hidden

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from clinical_modernbert.batching import Cursor, PairBatch, PairLoader
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.pooling import mean_pool
from clinical_modernbert.pretraining.chance import set_chance
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.masked import MaskedPhase, Taken
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.ranks import Ranks, like
from clinical_modernbert.pretraining.settings import AlignmentSettings
from clinical_modernbert.pretraining.training import Training


@dataclass(frozen=True)
class Contrast:
    """What is to be told apart in one batch, (S, S) truth values, and how sharply."""

    positives: Tensor
    negatives: Tensor
    temperature: float
    dims: Sequence[int]


def contrastive_loss(vectors_SD: Tensor, contrast: Contrast) -> Tensor:
    """Mean over texts of -log(e^p / (e^p + sum of e^n)), averaged over the text's positives p, with n its negatives, and over `dims`.

    p and n are cosines of the first `dims` dimensions over the temperature. A text's other positives are not in the sum.
    """
    return torch.stack([_loss(_cosines(vectors_SD[:, :dim]), contrast) for dim in contrast.dims]).mean()


def top1(vectors_SD: Tensor, contrast: Contrast) -> float:
    """Share of texts that are nearest to one of their positives, among their positives and negatives."""
    cosines_SS = _cosines(vectors_SD)
    known_SS = contrast.positives | contrast.negatives
    best_S = cosines_SS.masked_fill(~known_SS, -2).argmax(1)
    hits_S = contrast.positives.gather(1, best_S[:, None])[:, 0]
    return float(hits_S[contrast.positives.any(1)].float().mean())


def _cosines(vectors_SD: Tensor) -> Tensor:
    unit_SD = normalize(vectors_SD.float(), dim=1)
    return unit_SD @ unit_SD.T


def _loss(cosines_SS: Tensor, contrast: Contrast) -> Tensor:
    logits_SS = cosines_SS / contrast.temperature
    rivals_S = logits_SS.masked_fill(~contrast.negatives, -torch.inf).logsumexp(1)
    losses_SS = softplus(rivals_S[:, None] - logits_SS).masked_fill(~contrast.positives, 0)
    counts_S = contrast.positives.sum(1)
    return (losses_SS.sum(1) / counts_S.clamp(min=1)).sum() / (counts_S > 0).sum().clamp(min=1)


def embed(model: ModernBertForMaskedLM, batch: PairBatch, first: int, last: int, device: torch.device) -> Tensor:
    """(last - first, D): pooled vectors of the texts `first` to `last` of a batch."""
    begin, end = batch.cu_seqlens[first], batch.cu_seqlens[last]
    cu_seqlens = batch.cu_seqlens[first : last + 1] - begin
    ids_T = torch.from_numpy(batch.input_ids[begin:end]).to(device)
    offsets = torch.from_numpy(cu_seqlens)
    return mean_pool(model.encode(ids_T, offsets, int(np.diff(cu_seqlens).max())), offsets)


def backward(
    model: ModernBertForMaskedLM, batch: PairBatch, contrast: Contrast, texts_at_once: int, ranks: Ranks, chance: Callable[[int], None]
) -> tuple[float, float]:
    """Add this process's part of the gradient of the contrastive loss over the whole batch; returns loss and top-1.

    `texts_at_once` are in memory at a time. More than one part, or process, goes through the model twice (gradient caching, Gao et al.
    2021): first for the vectors alone, then, with the same dropout, to bring the vectors' gradient to the weights. `chance` seeds the
    dropout of a part.
    """
    size = len(batch.cu_seqlens) - 1
    parts = _parts(size, texts_at_once, ranks.world)
    if len(parts) == 1:
        chance(0)
        vectors_SD = embed(model, batch, 0, size, ranks.device)
        loss = contrastive_loss(vectors_SD, contrast)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), top1(vectors_SD.detach(), contrast)
    each = len(parts) // ranks.world
    own = range(ranks.rank * each, (ranks.rank + 1) * each)
    vectors = []
    with torch.no_grad():
        for part in own:
            chance(part)
            vectors.append(embed(model, batch, *parts[part], ranks.device))
    counts = [parts[first + each - 1][1] - parts[first][0] for first in range(0, len(parts), each)]
    leaf_SD = ranks.gather_rows(torch.cat(vectors), counts).requires_grad_()
    loss = contrastive_loss(leaf_SD, contrast)
    (gradient_SD,) = torch.autograd.grad(loss, leaf_SD)
    for part in own:
        chance(part)
        first, last = parts[part]
        embed(model, batch, first, last, ranks.device).backward(gradient_SD[first:last])  # type: ignore[no-untyped-call]
    return float(loss.detach()), top1(leaf_SD.detach(), contrast)


def _parts(size: int, at_once: int, world: int) -> list[tuple[int, int]]:
    """Consecutive parts of at most `at_once` texts, the same number for each of `world` processes."""
    number = -(-max(-(-size // at_once), 1) // world) * world
    edges = [size * i // number for i in range(number + 1)]
    return list(pairwise(edges))


class AlignmentPhase(MaskedPhase):
    """Phase `number` of a run: batches of pairs, and rows of masked text beside them."""

    _reads_ahead = False  # the pairs' tokens decide what is masked next

    def __init__(self, run: Training, number: int) -> None:
        super().__init__(run, number)
        settings = run.recipe.stages[number]
        assert isinstance(settings, AlignmentSettings)
        self._settings = settings
        self._weight = settings.masked_weight
        self._pairs = self._pair_loader("train", number)
        self._pair_pool = ThreadPoolExecutor(1, thread_name_prefix="pairs") if run.recipe.loader_threads else None
        self._next_pairs: tuple[Cursor, Future[tuple[PairBatch, Cursor]]] | None = None
        self._held_out = self._validation_batches(self._pair_loader("validation", number))

    def begin(self) -> None:
        """Shrink the matrices and add those of a new model, if the settings say so; the optimizer starts anew then.

        After masked training of a small model, pooled vectors tell texts apart worse than untrained ones do, and a contrastive loss
        does not mend that in the tokens it has; from shrunk weights it does, and masked training is not all lost.
        """
        if self._settings.shrink < 1:
            run = self._run
            fresh = ModernBertForMaskedLM(run.model.config)
            initialize(fresh, run.recipe.seed)
            with torch.no_grad():
                for old, new in zip(run.model.parameters(), fresh.parameters(), strict=True):
                    if old.ndim > 1:
                        old.mul_(self._settings.shrink).add_(like(new, old))
            run.optimizer = make_optimizer(run.model, self._settings.optimizer)

    def counts(self) -> dict[str, float]:
        """See `MaskedPhase.counts`; pairs as well."""
        return {**super().counts(), "pairs": len(self._pairs), "pair_batches": len(self._pairs.epoch(0))}

    def step(self, state: RunState) -> Taken:
        """Add the gradients of the contrastive loss over the next pairs, and of `masked_weight` times the masked loss over rows."""
        run, settings = self._run, self._settings
        batch, cursor = self._take_pairs(state.pair_cursor)
        chance = partial(set_chance, run.recipe.seed, state.step)
        loss, hits = backward(run.model, batch, self._contrast(batch), 2 * settings.pairs_per_micro_batch, run.ranks, chance)
        masked = super().step(state) if self._weight else Taken(state, 0.0, np.empty(0, np.int64), 0.0, {}, [])
        figures = {
            **masked.figures,
            "alignment_loss": loss,
            "alignment_top1": hits,
            "pairs": len(batch.concepts),
            "pair_epoch": cursor.epoch,
            "cut_texts": batch.cut_texts,
        }
        state = replace(masked.state, pair_cursor=cursor)
        lengths = np.concatenate([np.diff(batch.cu_seqlens), masked.lengths])
        return Taken(state, loss + masked.loss, lengths, masked.num_masked, figures, masked.documents, batch.concepts)

    def validate(self) -> dict[str, float]:
        """Masked figures as in every phase, and the contrastive ones of held-out concepts."""
        model, losses, hits = self._run.model, [], []
        model.eval()
        with torch.no_grad():  # inference tensors of gathered parts could not be trained with afterwards
            for batch in self._held_out:
                vectors_SD, contrast = embed(model, batch, 0, len(batch.cu_seqlens) - 1, self._run.device), self._contrast(batch)
                losses.append(float(contrastive_loss(vectors_SD, contrast)))
                hits.append(top1(vectors_SD, contrast))
        model.train()
        alignment = {"validation_alignment_loss": float(np.mean(losses)), "validation_alignment_top1": float(np.mean(hits))}
        return {**super().validate(), **(alignment if losses else {})}

    def _take_pairs(self, cursor: Cursor) -> tuple[PairBatch, Cursor]:
        """The pairs of a step; those of the one after it are made meanwhile, by a thread."""
        ahead = self._next_pairs
        batch, after = ahead[1].result() if ahead is not None and ahead[0] == cursor else self._pairs.take(cursor)
        if self._pair_pool is not None:
            self._next_pairs = after, self._pair_pool.submit(self._pairs.take, after)
        return batch, after

    def _contrast(self, batch: PairBatch) -> Contrast:
        positives_SS, negatives_SS = (torch.from_numpy(which).to(self._run.device) for which in (batch.positives, batch.negatives))
        dims = [*self._settings.matryoshka_dims, self._run.model.config.hidden_size]
        return Contrast(positives_SS, negatives_SS, self._settings.temperature, dims)

    def _pair_loader(self, split: Split, number: int) -> PairLoader:
        return PairLoader(
            self._run.corpus,
            split,
            self._run.tokenizer,
            mixture=self._settings.pair_mixture,
            pairs_per_batch=self._settings.pairs_per_step,
            max_tokens=self._settings.max_pair_tokens,
            hard_negatives=self._settings.hard_negatives,
            seed=self._run.recipe.seed,
            phase=number,
        )

    def _validation_batches(self, loader: PairLoader) -> list[PairBatch]:
        """The first batches of held-out pairs, up to as many tokens as are taken of a source."""
        batches, left, cursor = [], self._run.recipe.validation.max_tokens_per_source, Cursor()
        while left > 0 and cursor.epoch == 0:
            batch, cursor = loader.take(cursor)
            batches.append(batch)
            left -= batch.num_tokens
        return batches
