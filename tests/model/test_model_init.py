import pytest
import torch

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, init
from model_rows import SMALL

WIDE = ModernBertConfig(**(SMALL | {"hidden_size": 256, "initializer_range": 0.02}))
CUT_AT_TWO_SIGMA = 0.8796  # standard deviation of a unit normal cut at 2


@pytest.fixture(scope="module")
def model():
    model = ModernBertForMaskedLM(WIDE)
    init.initialize(model, seed=3)
    return model


def test_matrices_have_the_stated_width_and_residual_outputs_a_smaller_one(model):
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            sigma = 0.02 / (8**0.5 if ".Wo." in name else 1)
            assert parameter.abs().max() <= 2 * sigma
            assert parameter.std().item() == pytest.approx(CUT_AT_TWO_SIGMA * sigma, rel=0.03), name


def test_norms_are_one_and_biases_zero(model):
    assert all((p == (0 if name.endswith("bias") else 1)).all() for name, p in model.named_parameters() if p.ndim == 1)


def test_the_seed_alone_decides(model):
    torch.manual_seed(99)
    again, other = ModernBertForMaskedLM(WIDE), ModernBertForMaskedLM(WIDE)
    init.initialize(again, seed=3)
    init.initialize(other, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.head.dense.weight, other.head.dense.weight)
