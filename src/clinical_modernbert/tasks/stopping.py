"""In: a module and a way to train it. Out: the module as it was best on the dev part. Next: `training`, `probe`."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from clinical_modernbert.errors import TrainingError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """Mean loss of a decision in training, and the figure on the dev part."""

    loss: float
    dev: float


@dataclass(frozen=True)
class Fit:
    """The epochs with the learning rate that was kept, and the best figure on the dev part with each that was tried."""

    history: list[Epoch]
    lr: float
    tried: dict[float, float]


def train_epochs(module: nn.Module, epochs: int, patience: int, once: Callable[[], Epoch]) -> list[Epoch]:
    """Train `epochs` times, or until the best is `patience` epochs ago; the module ends with the weights of the best."""
    history: list[Epoch] = []
    best: dict[str, Tensor] = {}
    while len(history) < epochs and not is_over(history, patience):
        history.append(once())
        if best_of(history) == len(history) - 1:
            best = _weights(module)
    module.load_state_dict(best)
    return history


def with_each(module: nn.Module, rates: Sequence[float], train: Callable[[float], list[Epoch]]) -> Fit:
    """Train from the same start with each learning rate; the module ends with the weights of the one that did best on the dev part.

    Raises:
        TrainingError: the loss was no number with any of them.
    """
    start = _weights(module)
    found: dict[float, list[Epoch]] = {}
    best: dict[str, Tensor] = {}
    for rate in rates:
        module.load_state_dict(start)
        try:
            found[rate] = train(rate)
        except TrainingError as error:
            if not found and rate == rates[-1]:
                raise
            _LOG.warning("learning rate %g: %s", rate, error)
            continue
        if _kept(found) == rate:
            best = _weights(module)
    module.load_state_dict(best)
    return Fit(found[_kept(found)], _kept(found), {rate: history[best_of(history)].dev for rate, history in found.items()})


def best_of(history: Sequence[Epoch]) -> int:
    """The epoch to keep: the best figure on the dev part, of equal ones that of the least loss."""
    return max(range(len(history)), key=lambda number: (history[number].dev, -history[number].loss))


def is_over(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the best epoch is `patience` epochs ago."""
    return bool(history) and len(history) - 1 - best_of(history) >= patience


def not_finite(ids: Sequence[str]) -> TrainingError:
    """The error that a loss or its gradient is no number."""
    return TrainingError(f"a loss or gradient is no number (examples {', '.join(ids)}). Lower the learning rate, or look at them.")


def _kept(found: dict[float, list[Epoch]]) -> float:
    return max(found, key=lambda rate: found[rate][best_of(found[rate])].dev)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
