"""In: a model, a problem, examples to learn from and others to stop by. Out: the model of the best epoch. Next: `finetune`, `evaluate`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from pydantic import Field

from clinical_modernbert.errors import TrainingError
from clinical_modernbert.inference.sequences import Piece
from clinical_modernbert.model.task_model import TaskModel, TaskRow
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import Settings
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.metrics import Floats
from clinical_modernbert.tasks.problems import E, Problem, to_tensor


class FinetuneSettings(Settings):
    """How a model is fine-tuned."""

    peak_lr: float = Field(default=2e-5, gt=0)
    """Learning rate after warm-up, from where it falls to 0 in a line; small models want more, such as 3e-4."""
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


@dataclass(frozen=True)
class Epoch:
    """Mean loss of a decision in training, and the figure on the dev part."""

    loss: float
    dev: float


@dataclass(frozen=True)
class Encoded(Generic[E]):
    """Examples with the sequences that go through the model for them."""

    examples: Sequence[E]
    pieces: list[list[Piece]]

    @classmethod
    def of(cls, problem: Problem[E], examples: Sequence[E]) -> "Encoded[E]":
        """Tokenize them."""
        return cls(examples, [problem.pieces(example) for example in examples])

    def rows(self, chosen: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
        """The chosen examples in their order, as many together as `max_tokens` allow; a longer one alone."""
        row: list[int] = []
        size = 0
        for number in chosen:
            tokens = sum(len(piece.ids) for piece in self.pieces[number])
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
) -> list[Epoch]:
    """Fine-tune `model` in place; it ends with the weights of the epoch whose figure on `dev` was best.

    The same seed gives the same bits on a CPU.
    """
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.peak_lr, betas=(0.9, 0.999), eps=1e-8, fused=True)
    steps_an_epoch = math.ceil(len(data.examples) / settings.batch_size)
    steps, step = steps_an_epoch * settings.epochs, 0
    rng = np.random.default_rng(seed)
    history: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    with progress("Fine-tuning", total=steps, unit="steps") as advance, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while len(history) < settings.epochs and not is_over(history, settings.patience):
            model.train()
            total = decisions = 0.0
            order = rng.permutation(len(data.examples))
            for first in range(0, len(order), settings.batch_size):
                for group in optimizer.param_groups:
                    group["lr"] = settings.peak_lr * _share(step + 0.5, steps, settings.warmup_share * steps)
                loss, count = _step(model, problem, data, order[first : first + settings.batch_size].tolist(), settings, optimizer)
                total, decisions, step = total + loss, decisions + count, step + 1
                advance(1)
            scores = predict(model, problem, dev, settings.row_tokens)
            history.append(Epoch(total / max(decisions, 1), float(problem.outcome(dev.examples, scores, metric).figure(metric))))
            if best_of(history) == len(history) - 1:
                best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(best)
    model.eval()
    return history


@torch.inference_mode()
def predict(model: TaskModel, problem: Problem[E], data: Encoded[E], row_tokens: int) -> list[Floats]:
    """Scores (decisions, outputs) of every example."""
    model.eval()
    found: list[Floats] = [np.zeros((0, problem.num_outputs))] * len(data.examples)
    by_length = sorted(range(len(data.examples)), key=lambda number: -sum(len(piece.ids) for piece in data.pieces[number]))
    for row in data.rows(by_length, row_tokens):
        pieces = [data.pieces[number] for number in row]
        scores = model(row_of(pieces, problem.pooled, next(model.parameters()).device)).double().cpu().numpy()
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


def _step(
    model: TaskModel,
    problem: Problem[E],
    data: Encoded[E],
    chosen: Sequence[int],
    settings: FinetuneSettings,
    optimizer: torch.optim.Optimizer,
) -> tuple[float, int]:
    """One step on a batch; its summed loss and its decisions."""
    targets = {number: problem.targets(data.examples[number]) for number in chosen}
    count = sum(map(len, targets.values()))
    total = 0.0
    for row in data.rows(chosen, settings.row_tokens):
        device = next(model.parameters()).device
        scores_NO = model(row_of([data.pieces[number] for number in row], problem.pooled, device))
        loss = problem.loss(scores_NO, to_tensor([targets[number] for number in row]).to(device))
        (loss / max(count, 1)).backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    if not math.isfinite(total) or not torch.isfinite(norm):
        raise not_finite([data.examples[number].id for number in chosen])
    optimizer.step()
    optimizer.zero_grad()
    return total, count


def _share(step: float, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: up in a line, then down to 0."""
    return step / warmup if step < warmup else (steps - step) / max(steps - warmup, 1e-9)


def best_of(history: Sequence[Epoch]) -> int:
    """The epoch to keep: the best figure on the dev part, of equal ones that of the least loss."""
    return max(range(len(history)), key=lambda number: (history[number].dev, -history[number].loss))


def is_over(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the best epoch is `patience` epochs ago."""
    return bool(history) and len(history) - 1 - best_of(history) >= patience


def not_finite(ids: Sequence[str]) -> TrainingError:
    """The error that a loss or its gradient is no number."""
    return TrainingError(f"a loss or gradient is no number (examples {', '.join(ids)}). Lower the learning rate, or look at them.")
