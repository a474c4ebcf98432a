"""In: an encoder that stays as it is, a problem and its examples. Out: a linear classifier of its states. Next: `evaluate`.

The cheap way to ask what an encoder's states tell: they are computed once, and only a linear map of them is trained.
"""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import nn

from clinical_modernbert.inference.jobs import Features
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import Settings
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.metrics import Floats
from clinical_modernbert.tasks.problems import E, Problem, to_tensor
from clinical_modernbert.tasks.stopping import Epoch, Fit, not_finite, train_epochs, with_each

_GRID = (3e-4, 1e-3, 3e-3, 1e-2)


class ProbeSettings(Settings):
    """How a linear classifier is trained on states that stay as they are."""

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of AdamW; states are scaled to unit variance."""
    grid: tuple[float, ...] = ()
    """Learning rates to train with one after the other instead; the one with the best figure on the dev part is kept."""
    epochs: int = Field(default=40, ge=1)
    """At most."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better figure on the dev part after which training ends."""
    batch_size: int = Field(default=64, ge=1)
    """Decisions of a step: words of a tagger, else examples."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Of the classifier's weights."""

    def tuned(self) -> "ProbeSettings":
        """The same with a small grid of learning rates, if it has none."""
        return self if self.grid else self.model_copy(update={"grid": _GRID})


class Probe:
    """A linear classifier of scaled states."""

    def __init__(self, train: Features, num_outputs: int, seed: int) -> None:
        self._mean, self._spread = train.states.mean(0), train.states.std(0) + 1e-6
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classifier = nn.Linear(train.states.shape[1], num_outputs)

    def _scaled(self, data: Features) -> torch.Tensor:
        return torch.from_numpy((data.states - self._mean) / self._spread)

    @torch.inference_mode()
    def predict(self, data: Features) -> list[Floats]:
        """Scores (decisions, outputs) of every example."""
        return np.split(self.classifier(self._scaled(data)).double().numpy(), data.offsets[1:-1])

    def train(
        self,
        problem: Problem[E],
        data: tuple[Features, Sequence[E]],
        dev: tuple[Features, Sequence[E]],
        metric: Metric,
        settings: ProbeSettings,
        seed: int,
        progress: Progress = silent,
    ) -> Fit:
        """Train; it ends with the weights of the epoch whose figure on `dev` was best."""
        states, targets = self._scaled(data[0]), to_tensor([problem.targets(example) for example in data[1]])

        def train_with(lr: float) -> list[Epoch]:
            optimizer = torch.optim.AdamW(self.classifier.parameters(), lr=lr, weight_decay=settings.weight_decay)
            rng = np.random.default_rng(seed)
            with progress("Training the probe", total=settings.epochs, unit="epochs") as advance:

                def epoch() -> Epoch:
                    total = 0.0
                    order = torch.from_numpy(rng.permutation(len(targets)))
                    for first in range(0, len(order), settings.batch_size):
                        chosen = order[first : first + settings.batch_size]
                        loss = problem.loss(self.classifier(states[chosen]), targets[chosen])
                        if not torch.isfinite(loss):
                            of = np.unique(np.searchsorted(data[0].offsets, chosen, "right")) - 1
                            raise not_finite([data[1][number].id for number in of])
                        optimizer.zero_grad()
                        (loss / len(chosen)).backward()  # type: ignore[no-untyped-call]
                        optimizer.step()
                        total += float(loss.detach())
                    advance(1)
                    figure = float(problem.outcome(dev[1], self.predict(dev[0]), metric).figure(metric))
                    return Epoch(total / max(len(targets), 1), figure)

                return train_epochs(self.classifier, settings.epochs, settings.patience, epoch)

        return with_each(self.classifier, settings.grid or (settings.lr,), train_with)
