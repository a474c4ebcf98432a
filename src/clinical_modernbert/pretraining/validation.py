"""The held-out split -> loss by source."""

import numpy as np
import torch

from clinical_modernbert.batching import Loader, MaskingSettings, PackedBatch, TokenStore, pack
from clinical_modernbert.batching.loader import Row
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.objective import masked_loss, summarise
from clinical_modernbert.pretraining.settings import PhaseSettings, ValidationSettings
from clinical_modernbert.tokenization import Tokenizer


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

    def measure(self, model: ModernBertForMaskedLM, device: torch.device) -> dict[str, float]:
        """`validation_loss`, accuracies and bits per byte over all sources, and `validation_loss/SOURCE` of each."""
        model.eval()
        losses, ranks, sources, labels = [], [], [], []
        with torch.inference_mode():
            for batch in self.batches():
                scores = masked_loss(model, batch, device)[1]
                losses.append(scores.losses)
                ranks.append(scores.ranks)
                sources.append(batch.sources[batch.sequence_of_position])
                labels.append(batch.labels)
        model.train()
        loss, rank, source, label = (np.concatenate(parts) for parts in (losses, ranks, sources, labels))
        figures = summarise(loss, rank, int(self._num_bytes[label].sum()))
        result = {f"validation_{name}": value for name, value in figures.items()}
        for number in np.unique(source):
            result[f"validation_loss/{self._names[number]}"] = float(loss[source == number].mean(dtype=np.float64))
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
