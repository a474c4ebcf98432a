"""The training loop released with Clinical ModernBERT (arXiv 2504.03964), said again in few lines with its mistakes kept.

What it does, from reading it: a BERT with learnt positions in the place of ModernBERT, from random weights, because none of the weights
that it loads has a name that fits; every document flattened to single spaces, cut at 128 tokens and padded to them; gradients set to zero
before each of the four micro-batches that are to add up, so that the last one alone counts; warm-up over a tenth of the micro-batches of
50 epochs, counted in steps of four; masking from 0.30 to 0.15 over those 50 epochs; an optimizer called StableAdamW that is none.
Left out, to its advantage: norms in bfloat16, and the accuracies that it computes at every step.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM

from clinical_modernbert.batching import Masker, PackedBatch
from clinical_modernbert.model import ModernBertConfig
from clinical_modernbert.pretraining.objective import Scores
from clinical_modernbert.tokenization import Tokenizer

LENGTH = 128
DOCUMENTS = 128
ACCUMULATION = 4
EPOCHS = 50
FIRST_MASKED, LAST_MASKED = 0.30, 0.15
PEAK_LR, WEIGHT_DECAY, WARMUP_SHARE, MAX_GRAD_NORM = 5e-4, 0.01, 0.1, 1.0
IGNORED = -100
"""The label that transformers' losses pass over."""


class ReleasedStableAdamW(torch.optim.Optimizer):
    """What the release calls StableAdamW.

    It divides by the root of the second bias correction, by which Adam multiplies, and it clips the average of the gradients to the norm
    of the whole denominator, not each tensor's step to an RMS of 1.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad, self.state[parameter], group)

    def _step_one(self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
        state["step"] += 1
        (beta1, beta2), lr = group["betas"], group["lr"]
        state["mean"].lerp_(grad, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = state["square"].sqrt().add_(group["eps"])
        update = state["mean"] / (1 - beta1 ** state["step"])
        if update.norm() > root.norm():
            update *= root.norm() / update.norm()
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.addcdiv_(update, root, value=-lr / math.sqrt(1 - beta2 ** state["step"]))


def start(shape: ModernBertConfig, seed: int) -> BertForMaskedLM:
    """A BERT of random weights with the layers, width and heads of `shape`, and about as many weights a layer."""
    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.hidden_size,
            intermediate_size=3 * shape.intermediate_size // 2,  # two matrices in the place of three
            num_hidden_layers=shape.num_hidden_layers,
            num_attention_heads=shape.num_attention_heads,
            max_position_embeddings=LENGTH,
            pad_token_id=shape.pad_token_id,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def cut_documents(texts: Iterator[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    """The first 128 ids of every text, white space flattened to single spaces."""
    flat = [" ".join(text.split()) for text in texts]
    return [tokenizer.wrap(ids[: LENGTH - 2]) for ids in tokenizer.encode_batch(flat)]


@dataclass(frozen=True)
class Outcome:
    """What a training came to. Of `tokens_seen`, without padding, `useful_tokens` had a part in a step."""

    seconds: float
    steps: int
    tokens_seen: int
    useful_tokens: int
    share_of_peak_lr: float


def train(model: BertForMaskedLM, documents: Sequence[np.ndarray], tokenizer: Tokenizer, seed: int, seconds: float) -> Outcome:
    """Train `model` until `seconds` are over."""
    warmup = max(1, int(WARMUP_SHARE * (len(documents) * EPOCHS // DOCUMENTS)))
    optimizer = ReleasedStableAdamW(_groups(model), lr=PEAK_LR)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / warmup, 1.0))
    model.train()
    steps = seen = useful = 0
    began = time.perf_counter()
    for number, (inputs, tokens) in enumerate(_micro_batches(documents, tokenizer, seed), start=1):
        optimizer.zero_grad()  # here, so that three of four micro-batches are thrown away
        (model(**inputs).loss / ACCUMULATION).backward()
        seen += tokens
        if number % ACCUMULATION == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            steps += 1
            useful += tokens
        if time.perf_counter() - began >= seconds:
            break
    return Outcome(time.perf_counter() - began, steps, seen, useful, float(schedule.get_last_lr()[0]) / PEAK_LR)


def score(model: BertForMaskedLM, batch: PackedBatch, tokenizer: Tokenizer) -> Scores:
    """Losses and ranks of the masked positions of `batch`, its documents shown in consecutive pieces of 128 tokens."""
    ids, rows, columns = pieces(batch, tokenizer)
    labels = torch.from_numpy(batch.labels)
    with torch.inference_mode():
        inputs = torch.from_numpy(ids)
        hidden = model.bert(input_ids=inputs, attention_mask=(inputs != tokenizer.pad_id).long()).last_hidden_state
        logits = model.cls(hidden[torch.from_numpy(rows), torch.from_numpy(columns)]).float()
        ranks = (logits > logits.gather(1, labels[:, None])).sum(1)
        return Scores(cross_entropy(logits, labels, reduction="none").numpy(), ranks.numpy())


def pieces(batch: PackedBatch, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids (P, 128) of the pieces, and the row and column among them of each masked position."""
    size = LENGTH - 2
    texts = [batch.input_ids[begin + 1 : end - 1] for begin, end in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False)]
    cut = [[text[i : i + size] for i in range(0, max(len(text), 1), size)] for text in texts]
    first = np.cumsum([0, *map(len, cut)])
    sequence = batch.sequence_of_position
    within = batch.positions - batch.cu_seqlens[sequence] - 1
    ids = np.full((first[-1], LENGTH), tokenizer.pad_id, dtype=np.int64)
    for row, piece in enumerate(piece for document in cut for piece in document):
        ids[row, : len(piece) + 2] = tokenizer.wrap(piece)
    return ids, first[sequence] + within // size, within % size + 1


def _micro_batches(documents: Sequence[np.ndarray], tokenizer: Tokenizer, seed: int) -> Iterator[tuple[dict[str, Tensor], int]]:
    """Padded, masked inputs, and how many of their tokens are no padding; without end."""
    masker = Masker(tokenizer)
    rng = np.random.default_rng(seed)
    for epoch in count():
        masked_share = FIRST_MASKED + (LAST_MASKED - FIRST_MASKED) * min(epoch / (EPOCHS - 1), 1.0)
        order = rng.permutation(len(documents))
        for chosen in np.split(order, range(DOCUMENTS, len(order), DOCUMENTS)):
            ids = np.full((len(chosen), LENGTH), tokenizer.pad_id, dtype=np.int64)
            labels = np.full_like(ids, IGNORED)
            mask = np.zeros_like(ids)
            for row, document in enumerate(chosen):
                masked = masker(documents[document], masked_share, rng)
                ids[row, : len(masked.input_ids)] = masked.input_ids
                mask[row, : len(masked.input_ids)] = 1
                labels[row, masked.positions] = masked.labels
            inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
            yield {name: torch.from_numpy(values) for name, values in inputs.items()}, int(mask.sum())


def _groups(model: BertForMaskedLM) -> list[dict[str, Any]]:
    plain = [parameter for name, parameter in model.named_parameters() if not name.endswith(("bias", "LayerNorm.weight"))]
    others = [parameter for name, parameter in model.named_parameters() if name.endswith(("bias", "LayerNorm.weight"))]
    return [{"params": plain, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
