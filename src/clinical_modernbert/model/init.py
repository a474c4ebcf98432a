"""Weights of a new model."""

import torch
from torch import nn

from clinical_modernbert.model.heads import ModernBertForMaskedLM

_RESIDUAL_OUTPUTS = ("attn.Wo.weight", "mlp.Wo.weight")


@torch.no_grad()
def initialize(model: ModernBertForMaskedLM, seed: int) -> None:
    """Draw all weights from `seed` as Megatron does: normal, `initializer_range` wide, cut at `initializer_cutoff_factor` sigma.

    What is added to the residual stream is scaled by 1 / sqrt(2 * layers); norms are 1, biases 0. Values are drawn in float32 on
    the CPU, so that they depend on neither the device nor the type of the model. Source: arXiv 1909.08053; arXiv 2412.13663, appendix.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            std = config.initializer_range / ((2 * config.num_hidden_layers) ** 0.5 if name.endswith(_RESIDUAL_OUTPUTS) else 1.0)
            cut = config.initializer_cutoff_factor * std
            parameter.copy_(nn.init.trunc_normal_(torch.empty(parameter.shape), 0.0, std, -cut, cut, generator=generator))
