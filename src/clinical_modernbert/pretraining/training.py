"""A run in memory: what the loop moves forward."""

from dataclasses import dataclass
from pathlib import Path

import torch

from clinical_modernbert.batching import TokenStore
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.accounting import Guarantee
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.ranks import Ranks
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.tokenization import Tokenizer


@dataclass
class Training:
    """Everything that a run needs; `state` says how far it is."""

    recipe: RunSettings
    folder: Path
    corpus: Corpus
    tokenizer: Tokenizer
    train_store: TokenStore
    validation_store: TokenStore
    model: ModernBertForMaskedLM
    optimizer: torch.optim.Optimizer
    ranks: Ranks
    state: RunState
    matrix_rate: float
    """Floating-point operations a second of one device's matrix products, measured before the run."""
    guarantee: Guarantee | None = None
    """What a private run promises when it has come to its end."""

    @property
    def device(self) -> torch.device:
        """Where this process's part of the model is."""
        return self.ranks.device

    @property
    def data_fingerprint(self) -> str:
        """Changes when anything does that the order of samples depends on."""
        pairs = [file.sha256[:16] for file in self.corpus.manifest.pairs] if self.recipe.alignment.enabled else []
        return "-".join([self.train_store.fingerprint, *pairs])

    def save(self) -> None:
        """Write a checkpoint of this moment; every process calls it."""
        checkpoint.save(
            self.folder / "checkpoints",
            self.state,
            self.data_fingerprint,
            self.model,
            self.optimizer,
            self.tokenizer,
            self.recipe.checkpoint.keep_last,
            self.ranks,
        )
