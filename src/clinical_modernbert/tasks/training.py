"""In: a model, a problem, examples to learn from and others to stop by. Out: the model of the best epoch. Next: `finetune`, `evaluate`."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from pydantic import Field
from torch import nn

from clinical_modernbert.inference.sequences import Piece
from clinical_modernbert.model.task_model import TaskModel, TaskRow
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import Settings
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.metrics import Floats
from clinical_modernbert.tasks.problems import E, Problem, to_tensor
from clinical_modernbert.tasks.stopping import Epoch, Fit, not_finite, train_epochs, with_each

_GRID = (2e-5, 5e-5, 1e-4, 3e-4, 1e-3)
_OF_BASE, _BASE_WIDTH, _HIGHEST = 2e-5, 768, 1e-3
"""A learning rate for the base shape, its hidden size, and more than which none is chosen for a narrow one."""


class FinetuneSettings(Settings):
    """How a model is fine-tuned."""

    peak_lr: float | None = Field(default=None, gt=0)
    """Learning rate after warm-up, from where it falls to 0 in a line; without it, 2e-5 * (768 / width)^2, 1e-3 at most."""
    grid: tuple[float, ...] = ()
    """Learning rates to train with one after the other instead; the one with the best figure on the dev part is kept."""
    epochs: int = Field(default=10, ge=1)
    """At most; the schedule is made for so many."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better figure on the dev part after which training ends."""
    batch_size: int = Field(default=16, ge=1)
    """Examples of a step."""
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms and biases never decay."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Before the classifier."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients of a longer norm are scaled down to it."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Tokens of a sequence, longer texts in windows; without it, what the model allows."""
    row_tokens: int = Field(default=8192, ge=8)
    """Tokens that are in memory at once; changes speed and memory, not the result but for rounding and dropout."""

    def rates(self, width: int) -> tuple[float, ...]:
        """The learning rates to train a model of this hidden size with."""
        return self.grid or (self.peak_lr or min(_HIGHEST, _OF_BASE * (_BASE_WIDTH / width) ** 2),)

    def tuned(self) -> "FinetuneSettings":
        """The same with a small grid of learning rates, if it has none."""
        return self if self.grid else self.model_copy(update={"grid": _GRID})


@dataclass(frozen=True)
class Encoded(Generic[E]):
    """Examples with the sequences that go through the model for them."""

    examples: Sequence[E]
    pieces: list[list[Piece]]

    @classmethod
    def of(cls, problem: Problem[E], examples: Sequence[E]) -> "Encoded[E]":
        """Tokenize them."""
        return cls(examples, [problem.pieces(example) for example in examples])


def rows(pieces: Sequence[Sequence[Piece]], chosen: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """The chosen examples in their order, as many together as `max_tokens` allow; a longer one alone."""
    row: list[int] = []
    size = 0
    for number in chosen:
        tokens = sum(len(piece.ids) for piece in pieces[number])
        if row and size + tokens > max_tokens:
            yield row
            row, size = [], 0
        row.append(number)
        size += tokens
    if row:
        yield row


def train(
    model: TaskModel,
    problem: Problem[E],
    data: Encoded[E],
    dev: Encoded[E],
    metric: Metric,
    settings: FinetuneSettings,
    seed: int,
    progress: Progress = silent,
) -> Fit:
    """Fine-tune `model` in place; it ends with the weights of the epoch whose figure on `dev` was best.

    The same seed gives the same bits on a CPU.
    """
    device = next(model.parameters()).device

    def gradients(chosen: Sequence[int]) -> tuple[float, int]:
        targets = {number: problem.targets(data.examples[number]) for number in chosen}
        count = sum(map(len, targets.values()))
        total = 0.0
        for row in rows(data.pieces, chosen, settings.row_tokens):
            with mixed_precision(device):
                scores_NO = model(row_of([data.pieces[number] for number in row], problem.pooled, device))
            loss = problem.loss(scores_NO.float(), to_tensor([targets[number] for number in row]).to(device))
            (loss / max(count, 1)).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total, count

    def figure() -> float:
        scores = predict(model, problem, dev, settings.row_tokens)
        return float(problem.outcome(dev.examples, scores, metric).figure(metric))

    return fit(model, model.classifier.in_features, [example.id for example in data.examples], gradients, figure, settings, seed, progress)


def fit(
    module: nn.Module,
    width: int,
    ids: Sequence[str],
    gradients: Callable[[Sequence[int]], tuple[float, int]],
    figure: Callable[[], float],
    settings: FinetuneSettings,
    seed: int,
    progress: Progress = silent,
) -> Fit:
    """Train `module`, of hidden size `width`, on the examples of these ids.

    `gradients` adds those of the mean loss of some examples; it returns their summed loss and how many decisions that is. `figure` is
    that of the dev part.
    """
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    steps = math.ceil(len(ids) / settings.batch_size) * settings.epochs

    def train_with(peak_lr: float) -> list[Epoch]:
        optimizer = torch.optim.AdamW(groups, lr=peak_lr, betas=(0.9, 0.999), eps=1e-8, fused=True)
        optimizer.zero_grad()  # a rate that broke the weights has left its gradients
        rng, step = np.random.default_rng(seed), itertools.count()

        def epoch() -> Epoch:
            module.train()
            total = decisions = 0.0
            order = rng.permutation(len(ids)).tolist()
            for first in range(0, len(order), settings.batch_size):
                chosen = order[first : first + settings.batch_size]
                share = _share(next(step) + 0.5, steps, settings.warmup_share * steps)
                for group in optimizer.param_groups:
                    group["lr"] = peak_lr * share
                loss, count = gradients(chosen)
                norm = torch.nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)
                if not math.isfinite(loss) or not torch.isfinite(norm):
                    raise not_finite([ids[number] for number in chosen])
                optimizer.step()
                optimizer.zero_grad()
                total, decisions = total + loss, decisions + count
                advance(1)
            return Epoch(total / max(decisions, 1), figure())

        named = f"Fine-tuning, learning rate {peak_lr:g}" if settings.grid else "Fine-tuning"
        with progress(named, total=steps, unit="steps") as advance, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return train_epochs(module, settings.epochs, settings.patience, epoch)

    found = with_each(module, settings.rates(width), train_with)
    module.eval()
    return found


@torch.inference_mode()
def predict(model: TaskModel, problem: Problem[E], data: Encoded[E], row_tokens: int) -> list[Floats]:
    """Scores (decisions, outputs) of every example."""
    model.eval()
    found: list[Floats] = [np.zeros((0, problem.num_outputs))] * len(data.examples)
    device = next(model.parameters()).device
    by_length = sorted(range(len(data.examples)), key=lambda number: -sum(len(piece.ids) for piece in data.pieces[number]))
    for row in rows(data.pieces, by_length, row_tokens):
        pieces = [data.pieces[number] for number in row]
        with mixed_precision(device):
            scores = model(row_of(pieces, problem.pooled, device)).double().cpu().numpy()
        lengths = [1 if problem.pooled else sum(len(piece.places) for piece in some) for some in pieces]
        for number, part in zip(row, np.split(scores, np.cumsum(lengths)[:-1]), strict=True):
            found[number] = part
    return found


def row_of(pieces: Sequence[Sequence[Piece]], pooled: bool, device: torch.device) -> TaskRow:
    """The sequences of some examples as one packed row, with a decision at each place, or for each example if `pooled`."""
    flat = [piece for some in pieces for piece in some]
    starts = np.cumsum([0, *(len(piece.ids) for piece in flat)])
    ids_T = torch.from_numpy(np.concatenate([piece.ids for piece in flat])).to(device)
    packed = ids_T, torch.from_numpy(starts.astype(np.int32)), int(np.diff(starts).max())
    if not pooled:
        places = np.concatenate([start + piece.places for start, piece in zip(starts, flat, strict=False)])
        return TaskRow(*packed, places=torch.from_numpy(places).to(device))
    owners = np.full(starts[-1], -1)
    owner = (number for number, some in enumerate(pieces) for _ in some)
    for number, start, piece in zip(owner, starts, flat, strict=False):
        owners[start:][piece.used] = number
    return TaskRow(*packed, owners=torch.from_numpy(owners).to(device), num_texts=len(pieces))


def _share(step: float, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: up in a line, then down to 0."""
    return step / warmup if step < warmup else (steps - step) / max(steps - warmup, 1e-9)


def mixed_precision(device: torch.device) -> torch.autocast:
    """On a GPU, matrix products in bfloat16; on a CPU nothing, there float32 is as fast and its bits are the same each time."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
