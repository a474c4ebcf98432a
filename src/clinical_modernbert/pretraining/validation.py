"""The held-out split -> loss by source and by position."""

from itertools import pairwise

import numpy as np
import torch

from clinical_modernbert.batching import Loader, MaskingSettings, PackedBatch, TokenStore, pack
from clinical_modernbert.batching.loader import Row
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.objective import TALLIED, masked_loss, summarise, tally
from clinical_modernbert.pretraining.ranks import Ranks
from clinical_modernbert.pretraining.settings import PhaseSettings, ValidationSettings
from clinical_modernbert.tokenization import Tokenizer

EDGES = (0, 128, 512, 1024, 2048, 4096, 8192)
"""Positions in a document, or in its piece where it is longer than a row, between which the loss is told on its own."""


class Validator:
    """Measures a model on the validation split: within a phase always on the same samples and masks.

    Documents are cut to the rows of `phase`, so that the figure may jump where a phase with other rows begins.
    """

    def __init__(self, store: TokenStore, tokenizer: Tokenizer, phase: PhaseSettings, settings: ValidationSettings, seed: int) -> None:
        masking = MaskingSettings(mlm_probability=settings.mlm_probability)
        self._loader = Loader(store, tokenizer, max_tokens=phase.max_tokens, masking=masking, seed=seed, phase=0)
        self._num_bytes = tokenizer.num_bytes
        self._names = store.source_names
        chosen = self._choose(settings.max_tokens_per_source)
        rows = pack(self._loader.samples.lengths[chosen].tolist(), phase.max_tokens)
        samples = [Row(0, [chosen[i] for i in row]) for row in rows]
        size = phase.rows_per_micro_batch
        self._batches = [samples[i : i + size] for i in range(0, len(samples), size)]

    def batches(self) -> list[PackedBatch]:
        """The masked batches, as the model sees them."""
        return [self._loader.batch(rows) for rows in self._batches]

    def measure(self, model: ModernBertForMaskedLM, ranks: Ranks) -> dict[str, float]:
        """`validation_loss`, accuracies and bits per byte over all sources, `validation_loss/SOURCE` of each, and the loss by position.

        Each process measures a part of the batches; all get the figures of the whole.
        """
        sources, places = len(self._names), len(EDGES) - 1
        sums = np.zeros((sources * places, TALLIED))
        model.eval()
        with torch.no_grad():  # inference tensors of gathered parts could not be trained with afterwards
            for turn in range(0, len(self._batches), ranks.world):
                mine = turn + ranks.rank < len(self._batches)
                batch = self._loader.batch(self._batches[turn + ranks.rank if mine else 0])
                scores = masked_loss(model, batch, ranks.device)[1]
                if mine:
                    document = batch.sequence_of_position
                    place = np.searchsorted(EDGES[1:-1], batch.positions - batch.cu_seqlens[document], side="right")
                    groups = batch.sources[document] * places + place
                    sums += tally(scores, self._num_bytes[batch.labels], groups, len(sums))
        model.train()
        total = np.array(ranks.sum(sums.flatten().tolist())).reshape(sources, places, TALLIED)
        result = {f"validation_{name}": value for name, value in summarise(total.sum((0, 1))).items()}
        for name, of_source in zip(self._names, total.sum(1), strict=True):
            if of_source[0]:
                result[f"validation_loss/{name}"] = summarise(of_source)["loss"]
        for (low, high), of_place in zip(pairwise(EDGES), total.sum(0), strict=True):
            if of_place[0]:
                result[f"validation_loss_at/{low}-{high}"] = summarise(of_place)["loss"]
        return result

    def _choose(self, max_tokens_per_source: int) -> list[int]:
        samples = self._loader.samples
        order = np.random.default_rng(0).permutation(len(samples))
        left = dict.fromkeys(range(len(self._names)), max_tokens_per_source)
        chosen = []
        for sample in order:
            source = int(self._loader.store.sources[samples.document[sample]])
            if left[source] > 0:
                left[source] -= int(samples.lengths[sample])
                chosen.append(int(sample))
        return sorted(chosen)
