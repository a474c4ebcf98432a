"""transformers' Trainer as somebody who knows it would set it up for masked pretraining on a CPU: the peer of `against_trainer.py`.

ModernBertForMaskedLM with `sparse_prediction`, batches grouped by length, fused AdamW with RoBERTa's second beta and decay, a learning rate
that is warmed up, held, and let down by 1 - sqrt. Needs accelerate.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Subset
from transformers import (
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils.logging import disable_progress_bar

from clinical_modernbert.batching.samples import Samples
from clinical_modernbert.batching.store import TokenStore
from clinical_modernbert.tokenization import Tokenizer

BATCHES_TIMED = 24
"""Batches that are timed before the steps are planned."""


@dataclass(frozen=True)
class Setting:
    """How the peer trains; `warmup` and `decay` are shares of its steps, `spare` the share of the time that is planned."""

    initial: Path
    tokenizer: Path
    batch_size: int
    peak_lr: float
    warmup: float
    decay: float
    mlm_probability: float
    seed: int
    spare: float


@dataclass(frozen=True)
class Outcome:
    """What a training came to; the model lies in `model`."""

    model: Path
    seconds: float
    steps: int
    planned_steps: int
    tokens: int


class Pieces(Dataset[dict[str, list[int]]]):
    """Pieces of documents between [CLS] and [SEP]."""

    def __init__(self, store: TokenStore, samples: Samples, tokenizer: Tokenizer) -> None:
        self._store, self._samples, self._tokenizer = store, samples, tokenizer

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        samples = self._samples
        ids = self._tokenizer.wrap(self._store.ids(samples.document[i])[samples.start[i] : samples.stop[i]])
        return {"input_ids": ids.tolist(), "special_tokens_mask": [1, *[0] * (len(ids) - 2), 1]}


class Deadline(TrainerCallback):
    """Stops the Trainer after `seconds`; remembers when each step ended."""

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self.marks: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.marks = [time.perf_counter()]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.marks.append(time.perf_counter())
        if self.seconds >= self._limit:
            control.should_training_stop = True

    @property
    def seconds(self) -> float:
        """From before the first step to after the last."""
        return self.marks[-1] - self.marks[0]


def train(setting: Setting, pieces: Pieces, lengths: Sequence[int], seconds: float, folder: Path) -> Outcome:
    """Time some batches, plan as many steps as fit into `seconds`, and train; what is written goes into `folder`."""
    disable_progress_bar()
    timed = Subset(pieces, spread_batches(lengths, setting.batch_size, setting.seed))
    calibration = Deadline(float("inf"))
    _trainer(setting, timed, len(timed) // setting.batch_size, "sequential", calibration, folder).train()
    pace = (calibration.marks[-1] - calibration.marks[1]) / (len(calibration.marks) - 2)
    steps = max(1, int(setting.spare * seconds / pace))
    deadline = Deadline(seconds)
    trainer = _trainer(setting, pieces, steps, "group_by_length", deadline, folder)
    trainer.train()
    trainer.save_model(str(folder / "final"))
    state = trainer.state
    return Outcome(folder / "final", deadline.seconds, state.global_step, steps, int(state.num_input_tokens_seen))


def spread_batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[int]:
    """The samples of some of the batches that grouping by length makes, evenly spread from the longest to the shortest.

    The longest comes twice: the first step is not timed.
    """
    order = get_length_grouped_indices(list(lengths), batch_size, generator=torch.Generator().manual_seed(seed))
    batches = [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]
    batches.sort(key=lambda batch: -max(lengths[i] for i in batch))
    count = min(BATCHES_TIMED, len(batches))
    chosen = [batches[int((k + 0.5) * len(batches) / count)] for k in range(count)]
    return [i for batch in (chosen[0], *chosen) for i in batch]


def _trainer(
    setting: Setting, pieces: Dataset[dict[str, list[int]]], steps: int, sampling: str, deadline: Deadline, folder: Path
) -> Trainer:
    """A Trainer of the initial weights, with `steps` to go."""
    model = AutoModelForMaskedLM.from_pretrained(setting.initial, attn_implementation="sdpa", dtype=torch.float32)
    model.config.sparse_prediction = model.sparse_prediction = True
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=steps,
        per_device_train_batch_size=setting.batch_size,
        train_sampling_strategy=sampling,
        optim="adamw_torch_fused",
        learning_rate=setting.peak_lr,
        adam_beta2=0.98,
        adam_epsilon=1e-6,
        weight_decay=0.01,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": int(steps * setting.decay), "decay_type": "1-sqrt"},
        warmup_steps=int(steps * setting.warmup),
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,  # the collator needs special_tokens_mask
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=setting.seed,
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(setting.tokenizer)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=setting.mlm_probability)
    return Trainer(model=model, args=arguments, data_collator=collator, train_dataset=pieces, callbacks=[deadline])
