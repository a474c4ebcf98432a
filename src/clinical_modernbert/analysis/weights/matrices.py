"""Weight matrices of each layer -> how far they are from others, and how their singular values fall. Pure functions of tensors."""

# M outputs, K inputs, F leading directions

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.layers import EncoderLayer

Floats = npt.NDArray[np.float64]

MATRICES = ("queries", "keys", "values", "attention out", "MLP in", "MLP gate", "MLP out")
"""The weight matrices of a layer."""
MOST_LEADING = 16
"""Directions at most of which the leading singular subspace is made: an eighth of those that there are."""


@dataclass(frozen=True)
class Decomposed:
    """A weight (M, K), its singular values, largest first, and the left singular vectors (M, F) of the largest F."""

    weight: Tensor
    values: Floats
    leading: Tensor


def decompose(weight: Tensor) -> Decomposed:
    """The singular value decomposition of a matrix."""
    plain = weight.detach().float().cpu()
    left, values, _ = torch.linalg.svd(plain, full_matrices=False)
    leading = max(1, min(MOST_LEADING, len(values) // 8))
    return Decomposed(plain, values.double().numpy(), left[:, :leading].clone())


def layer_matrices(layer: EncoderLayer) -> dict[str, Tensor]:
    """The matrices of `MATRICES` of one layer; those that are stored as one are taken apart."""
    inner, gate = layer.mlp.Wi.weight.chunk(2)
    found = (*layer.attn.Wqkv.weight.chunk(3), layer.attn.Wo.weight, inner, gate, layer.mlp.Wo.weight)
    return dict(zip(MATRICES, found, strict=True))


def decompose_model(model: ModernBertModel) -> list[dict[str, Decomposed]]:
    """Every matrix of every layer."""
    layers = [layer for layer in model.layers if isinstance(layer, EncoderLayer)]
    return [{name: decompose(weight) for name, weight in layer_matrices(layer).items()} for layer in layers]


def relative_distance(one: Tensor, start: Tensor) -> float:
    """The Frobenius norm of the difference over that of `start`: 0 for the same, about 1.41 for two independent draws."""
    return float((one - start).norm() / start.norm())


def principal_angles(one: Tensor, other: Tensor) -> Floats:
    """The angles in degrees, smallest first, between two subspaces with orthonormal bases (M, F) (Björck and Golub 1973)."""
    cosines = torch.linalg.svdvals(one.double().T @ other.double()).clamp(0, 1).numpy()
    degrees: Floats = np.degrees(np.arccos(cosines))
    return degrees


def effective_rank(values: Floats) -> float:
    """The exponential of the entropy of the singular values as shares of their sum (Roy and Vetterli 2007): 1 for a matrix of rank 1."""
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class Apart:
    """How far two models are from each other: (layers, matrices), relative distances and mean principal angles in degrees."""

    distance: Floats
    angle: Floats


def apart(one: Sequence[dict[str, Decomposed]], start: Sequence[dict[str, Decomposed]]) -> Apart:
    """Compare two models of one shape matrix by matrix."""
    pairs = [[(mine[name], other[name]) for name in MATRICES] for mine, other in zip(one, start, strict=True)]
    distance = [[relative_distance(a.weight, b.weight) for a, b in layer] for layer in pairs]
    angle = [[principal_angles(a.leading, b.leading).mean() for a, b in layer] for layer in pairs]
    return Apart(np.array(distance), np.array(angle))


def effective_ranks(model: Sequence[dict[str, Decomposed]]) -> Floats:
    """(layers, matrices): effective rank as a share of the rank that there could be."""
    return np.array([[effective_rank(layer[name].values) / len(layer[name].values) for name in MATRICES] for layer in model])


def spectra(model: Sequence[dict[str, Decomposed]], points: int = 32) -> Floats:
    """(layers, matrices, points): singular values over the largest, at evenly spaced ranks from the first to the last."""

    def sampled(values: Floats) -> Floats:
        at: Floats = np.interp(np.linspace(0, len(values) - 1, points), np.arange(len(values)), values) / values[0]
        return at

    return np.array([[sampled(layer[name].values) for name in MATRICES] for layer in model])
