import optimi
import pytest
import torch
from torch import nn

from clinical_modernbert.pretraining.optimizer import StableAdamW, make_optimizer
from clinical_modernbert.pretraining.settings import OptimizerSettings


def twins() -> tuple[nn.Module, nn.Module]:
    models = [nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    return models[0], models[1]


@pytest.mark.parametrize("decouple_lr", [True, False])
def test_stable_adamw_equals_torch_optimi_for_50_steps(decouple_lr):
    torch.manual_seed(0)
    ours, theirs = twins()
    peak, betas, decay = 3e-3, (0.9, 0.98), 1e-2
    mine = StableAdamW(ours.parameters(), lr=peak, betas=betas, weight_decay=decay, decay_lr=peak if decouple_lr else 1.0)
    other = optimi.StableAdamW(
        theirs.parameters(), lr=peak, betas=betas, weight_decay=decay, decouple_lr=decouple_lr, max_lr=peak, foreach=False
    )
    for step in range(50):
        inputs = torch.randn(5, 8, dtype=torch.float64) * (100 if step == 20 else 1)  # a spike, which the clipping has to meet
        for model, optimizer in ((ours, mine), (theirs, other)):
            optimizer.param_groups[0]["lr"] = peak * (step + 1) / 50
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_a_sudden_gradient_takes_a_bounded_step():
    weight = nn.Parameter(torch.zeros(100))
    optimizer = StableAdamW([weight], lr=0.1, betas=(0.9, 0.999))
    for size in (*[1e-4] * 30, 100.0):
        before = weight.detach().clone()
        weight.grad = torch.full((100,), size)
        optimizer.step()
    assert (weight - before).abs().max() < 0.1


def test_norms_and_biases_never_decay():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    nn.init.ones_(model[0].bias)
    for settings in (OptimizerSettings(weight_decay=0.5), OptimizerSettings(name="adamw", decouple_lr=False, weight_decay=0.5)):
        optimizer = make_optimizer(model, settings)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        before = model[0].weight.detach().clone()
        optimizer.step()
        assert torch.equal(model[1].weight, torch.ones(4))
        assert torch.equal(model[0].bias, torch.ones(4))
        assert (model[0].weight.abs() < before.abs()).all()


def test_adamw_is_torchs_own():
    made = make_optimizer(nn.Linear(2, 2), OptimizerSettings(name="adamw", decouple_lr=False, weight_decay=0.1))
    assert type(made) is torch.optim.AdamW
    assert [group["weight_decay"] for group in made.param_groups] == [0.1, 0.0]
