"""Linear layers: on a CPU in float32 by oneDNN with the weight in its own order, which torch's default product does not use."""

# C tokens, K inputs, M outputs

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

FEWEST_TOKENS = 2048
"""Below, reordering the weight costs more than the faster product gains."""


class PackedWeight:
    """A weight (M, K), float32 or bfloat16, copied to the order that oneDNN wants; as it is where there is no oneDNN or no CPU."""

    def __init__(self, weight_MK: Tensor) -> None:
        self._packed = packs(weight_MK)
        self._weight_MK = torch.ops.mkldnn._reorder_linear_weight(weight_MK.detach()) if self._packed else weight_MK.detach()

    def __call__(self, x_CK: Tensor, bias_M: Tensor | None = None) -> Tensor:
        """(C, K) -> (C, M)."""
        if self._packed:
            out_CM: Tensor = torch.ops.mkldnn._linear_pointwise(x_CK, self._weight_MK, bias_M, "none", [], "")
            return out_CM
        return linear(x_CK, self._weight_MK, bias_M)


def packs(weight: Tensor) -> bool:
    """Whether oneDNN is there for this weight."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`nn.Linear`, whose forward and backward pass over many tokens in float32 on a CPU take the faster product."""

    def forward(self, input: Tensor) -> Tensor:
        """(C, K) to (C, M)."""
        if torch.compiler.is_compiling() or not self._gains(input):
            return linear(input, self.weight, self.bias)
        out_CM: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out_CM

    def _gains(self, x_CK: Tensor) -> bool:
        fp32 = x_CK.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled(x_CK.device.type)
        return fp32 and len(x_CK) >= FEWEST_TOKENS and packs(self.weight)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, x_CK: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_CK, weight_MK)
        return PackedWeight(weight_MK)(x_CK, bias_M)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_CM: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_CK, weight_MK = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            PackedWeight(weight_MK.t())(d_CM) if needs_x else None,
            d_CM.t() @ x_CK if needs_weight else None,
            d_CM.sum(0) if needs_bias else None,
        )
