"""Matrix products of the CPU engine: the same linear layer in float32, bfloat16 or int8."""

# T tokens in the packed row, C of them in a chunk, K inputs, M outputs

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from clinical_modernbert.model.linear import PackedWeight

EngineDtype = Literal["fp32", "bf16", "int8"]


class Product(Protocol):
    """x (C, K) -> x W (C, M), handed out as rows and a factor of each row that the caller still has to apply, or None."""

    def rows(self, x_CK: Tensor) -> tuple[Tensor, Tensor | None]:
        """The product (C, M), float32, free to be overwritten, and the factor (C, 1)."""

    def add_to(self, target_CM: Tensor, x_CK: Tensor, factor_C1: Tensor | None = None) -> None:
        """Add the product, times the factor of each row, to `target`."""


class FloatProduct:
    """In float32 or bfloat16."""

    def __init__(self, weight_MK: Tensor, bias_M: Tensor | None, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._weight = PackedWeight(weight_MK.to(dtype))
        self._bias_M = None if bias_M is None else bias_M.to(dtype)

    def rows(self, x_CK: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Product.rows`."""
        return self._weight(x_CK.to(self._dtype), self._bias_M).float(), None

    def add_to(self, target_CM: Tensor, x_CK: Tensor, factor_C1: Tensor | None = None) -> None:
        """See `Product.add_to`."""
        assert factor_C1 is None
        target_CM.add_(self.rows(x_CK)[0])


class Int8Product:
    """int8 weights with a scale per output, int8 inputs with a scale per row found on the way, int32 sums.

    A row's scale depends on that row alone, so that a text's vector does not depend on the texts beside it.
    """

    def __init__(self, weight_MK: Tensor, bias_M: Tensor | None) -> None:
        scale_M = weight_MK.abs().amax(1).clamp_(min=1e-12).div_(127)
        self._multiply = _multiplier((weight_MK / scale_M[:, None]).round_().to(torch.int8), scale_M)
        self._bias_M = bias_M

    def rows(self, x_CK: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Product.rows`."""
        out_CM, factor_C1 = self._product(x_CK)
        return (out_CM, factor_C1) if self._bias_M is None else (out_CM.mul_(factor_C1).add_(self._bias_M), None)

    def add_to(self, target_CM: Tensor, x_CK: Tensor, factor_C1: Tensor | None = None) -> None:
        """See `Product.add_to`."""
        out_CM, own_C1 = self._product(x_CK)
        target_CM.addcmul_(out_CM, own_C1 if factor_C1 is None else own_C1 * factor_C1)
        if self._bias_M is not None:
            target_CM.add_(self._bias_M)

    def _product(self, x_CK: Tensor) -> tuple[Tensor, Tensor]:
        highest_C1 = x_CK.abs().amax(1, keepdim=True).float().clamp_(min=1e-12)
        return self._multiply(torch.mul(x_CK, 127 / highest_C1).round_().to(torch.int8)), highest_C1 / 127


def _multiplier(weight_MK: Tensor, scale_M: Tensor) -> Callable[[Tensor], Tensor]:
    """int8 (C, K) -> the exact product with an int8 weight times the scale of each output, float32 (C, M); may overwrite its input.

    With VNNI instructions oneDNN scales within the product. It takes unsigned inputs, which are the signed ones plus 128; without those
    instructions it would let the sums of unsigned products overflow.
    """
    capabilities = torch.cpu.get_capabilities()
    if not (capabilities.get("avx512_vnni") or capabilities.get("avx_vnni")):
        weight_KM = weight_MK.t()
        return lambda x_CK: torch._int_mm(x_CK, weight_KM) * scale_M
    onednn, packed, no_shift_M = (
        torch.ops.onednn,
        torch.ops.onednn.qlinear_prepack(weight_MK, None),
        torch.zeros(len(weight_MK), dtype=torch.int64),
    )

    def multiply(x_CK: Tensor) -> Tensor:
        unsigned_CK = x_CK.view(torch.uint8).bitwise_xor_(128)
        out_CM: Tensor = onednn.qlinear_pointwise(
            unsigned_CK, 1.0, 128, packed, scale_M, no_shift_M, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return out_CM

    return multiply


def make_product(linear: nn.Linear, dtype: EngineDtype, order: Tensor | None = None) -> Product:
    """The product of a linear layer, its outputs in another `order` where one is given."""
    weight_MK, bias_M = linear.weight.detach(), None if linear.bias is None else linear.bias.detach()
    if order is not None:
        weight_MK, bias_M = weight_MK[order], None if bias_M is None else bias_M[order]
    if dtype == "int8":
        return Int8Product(weight_MK, bias_M)
    return FloatProduct(weight_MK, bias_M, torch.float32 if dtype == "fp32" else torch.bfloat16)
