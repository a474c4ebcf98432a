"""A recipe -> what it will cost: what `pretrain --dry-run` prints. Estimates, from shapes and one measured matrix product."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.linear import PackedWeight
from clinical_modernbert.pretraining.accounting import Guarantee, guarantee
from clinical_modernbert.pretraining.settings import AlignmentSettings, PhaseSettings, RunSettings

_STATE_BYTES = 24
"""Per parameter: weight, gradient and two averages, in fp32, and the averages once more on their way to a checkpoint."""
_PRIVATE_BYTES = 4
"""Per parameter of a private run: the sum of clipped gradients."""
_MATRIX_SHARE = 0.5
"""Share of the matrix-product rate that a training step is assumed to reach."""
_FIXED_BYTES = 800 * 2**20
"""Interpreter, libraries, token store and buffers."""


@dataclass(frozen=True)
class Plan:
    """What a run takes, and what a private one gives away, where the number of its patients is known."""

    parameters: int
    tokens: int
    peak_memory_bytes: int
    disk_bytes: int
    hours: float
    matrix_flops_per_second: float
    private: Guarantee | None = None


def plan(recipe: RunSettings, config: ModernBertConfig, device: torch.device, patients: int | None = None) -> Plan:
    """Estimate what training `recipe` at the shape `config` takes on this machine; `patients` are those of the corpus.

    Raises:
        ConfigError: see `accounting.guarantee`.
    """
    rate = measure_matrix_rate(device, precision_of(recipe, device))
    flops = sum(_flops(config, phase) for phase in recipe.stages)
    activations = max(_activation_bytes(config, phase, recipe, device) for phase in recipe.stages)
    checkpoint = config.num_parameters * 12  # weights and two averages
    state = _STATE_BYTES + (_PRIVATE_BYTES if recipe.private.enabled else 0)
    return Plan(
        parameters=config.num_parameters,
        tokens=sum(phase.tokens for phase in recipe.stages),
        peak_memory_bytes=int(config.num_parameters * state + activations + _FIXED_BYTES),
        disk_bytes=checkpoint * (recipe.checkpoint.keep_last + 1),
        hours=flops / (rate * _MATRIX_SHARE) / 3600,
        matrix_flops_per_second=rate,
        private=guarantee(recipe, patients) if recipe.private.enabled and patients is not None else None,
    )


def precision_of(recipe: RunSettings, device: torch.device) -> Literal["fp32", "bf16"]:
    """What matrix products are computed in."""
    if recipe.precision == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return recipe.precision


def measure_matrix_rate(device: torch.device, precision: Literal["fp32", "bf16"] = "fp32", seconds: float = 0.1) -> float:
    """Floating-point operations a second of large matrix products here and now, by the fastest way that this package takes."""
    size = 1024 if device.type == "cpu" else 4096
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    packed = PackedWeight(right)
    ways: tuple[Callable[[], Tensor], ...] = (lambda: left @ right, lambda: packed(left))
    return max(2 * size**3 * _calls_a_second(way, seconds / len(ways)) for way in ways)


def _calls_a_second(way: Callable[[], Tensor], seconds: float) -> float:
    way().sum().item()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        way().sum().item()
        count += 1
    return count / (time.perf_counter() - began)


def training_flops(config: ModernBertConfig, lengths: np.ndarray, masked_share: float) -> float:
    """Forward and backward pass over documents of `lengths`: 6 a token and matrix weight, 12 a pair of tokens that see each other."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    num_global, half = sum(config.is_global(layer) for layer in range(layers)), config.local_attention // 2
    matrices = layers * (4 * hidden**2 + 3 * hidden * config.intermediate_size)
    decoder = masked_share * hidden * (hidden + config.vocab_size)
    lengths = lengths.astype(np.float64)
    near = np.minimum(half, lengths - 1)
    pairs = num_global * lengths**2 + (layers - num_global) * (lengths + 2 * near * lengths - near * (near + 1))
    return float(6 * (matrices + decoder) * lengths.sum() + 12 * hidden * pairs.sum())


def _flops(config: ModernBertConfig, phase: PhaseSettings) -> float:
    """Of a whole phase, whose documents are taken to fill half a row on the average."""
    length = phase.max_tokens / 2
    return training_flops(config, np.array([length]), phase.masking.mlm_probability) * phase.tokens / length


def _activation_bytes(config: ModernBertConfig, phase: PhaseSettings, recipe: RunSettings, device: torch.device) -> float:
    """What the backward pass keeps of one micro-batch, and what the allocator cannot use again, as rows differ from step to step.

    9 hidden and 3 inner vectors a token and layer are kept; with checkpointed activations one hidden vector, and a layer's at a time. The
    share that is lost was fitted to runs on a CPU (benchmarks/memory.py): it falls with the rows of a micro-batch, whose sum varies less.
    """
    tokens, layers = phase.rows_per_micro_batch * phase.max_tokens, config.num_hidden_layers
    if isinstance(phase, AlignmentSettings):
        tokens = max(tokens, 2 * phase.pairs_per_micro_batch * phase.max_pair_tokens)
    of_layer = 9 * config.hidden_size + 3 * config.intermediate_size
    kept = layers * config.hidden_size + of_layer if recipe.checkpoint_activations else layers * of_layer
    width = 2 if precision_of(recipe, device) == "bf16" else 4
    return width * tokens * kept * (1 + 0.8 / math.sqrt(phase.rows_per_micro_batch))
