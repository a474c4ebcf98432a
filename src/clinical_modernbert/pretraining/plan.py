"""A recipe -> what it will cost: what `pretrain --dry-run` prints. Estimates, from shapes and one measured matrix product."""

import time
from dataclasses import dataclass

import torch

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.pretraining.settings import PhaseSettings, RunSettings

_STATE_BYTES = 16
"""Per parameter: weight, gradient and two averages, in fp32."""
_MATRIX_SHARE = 0.5
"""Share of the matrix-product rate that a training step is assumed to reach."""
_FIXED_BYTES = 400 * 2**20
"""Interpreter, libraries and buffers."""


@dataclass(frozen=True)
class Plan:
    """What a run takes."""

    parameters: int
    tokens: int
    peak_memory_bytes: int
    disk_bytes: int
    hours: float
    matrix_flops_per_second: float


def plan(recipe: RunSettings, config: ModernBertConfig, device: torch.device) -> Plan:
    """Estimate what training `recipe` at the shape `config` takes on this machine."""
    rate = measure_matrix_rate(device)
    flops = sum(_flops(config, phase) for phase in recipe.stages)
    activations = max(_activation_bytes(config, phase) for phase in recipe.stages)
    checkpoint = config.num_parameters * 12  # weights and two averages
    return Plan(
        parameters=config.num_parameters,
        tokens=sum(phase.tokens for phase in recipe.stages),
        peak_memory_bytes=config.num_parameters * _STATE_BYTES + activations + _FIXED_BYTES,
        disk_bytes=checkpoint * (recipe.checkpoint.keep_last + 1),
        hours=flops / (rate * _MATRIX_SHARE) / 3600,
        matrix_flops_per_second=rate,
    )


def measure_matrix_rate(device: torch.device, size: int = 1024, seconds: float = 0.3) -> float:
    """Floating-point operations per second of fp32 matrix products of `size` here and now."""
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    left @ right
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        (left @ right).sum().item()
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - began)


def _flops(config: ModernBertConfig, phase: PhaseSettings) -> float:
    """Forward and backward: 6 a token and matrix weight; attention over half a row on the average, and over the window."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    matrices = layers * (4 * hidden**2 + 3 * hidden * config.intermediate_size)
    decoder = phase.masking.mlm_probability * hidden * (hidden + config.vocab_size)
    num_global = sum(config.is_global(layer) for layer in range(layers))
    attended = num_global * phase.max_tokens / 2 + (layers - num_global) * (config.local_attention + 64)
    return phase.tokens * (6 * (matrices + decoder) + 12 * hidden * attended)


def _activation_bytes(config: ModernBertConfig, phase: PhaseSettings) -> int:
    """What the backward pass keeps of one micro-batch: about 16 hidden and 5 inner vectors a layer, and three times the logits."""
    tokens = phase.rows_per_micro_batch * phase.max_tokens
    per_layer = 16 * config.hidden_size + 5 * config.intermediate_size
    logits = 3 * phase.masking.mlm_probability * config.vocab_size
    return int(4 * tokens * (config.num_hidden_layers * per_layer + logits))
