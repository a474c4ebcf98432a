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


def layered() -> nn.Module:
    """A model with parameters under the names that Muon goes by."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"model": nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 12)])}), "table": nn.Embedding(9, 6)}
    )


def orthogonalized(gradient: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz as Jordan et al. 2024 write it down, in bfloat16 as torch does."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).float()


def test_muon_takes_the_matrices_of_layers_by_its_definition_and_leaves_the_rest_to_adamw():
    model, twin = layered(), layered()
    settings = OptimizerSettings(name="muon", decouple_lr=False, peak_lr=0.01, weight_decay=0.1)
    optimizer, other = make_optimizer(model, settings), make_optimizer(twin, settings.model_copy(update={"name": "adamw"}))
    momentum = {}
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        for one, two in zip(model.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            two.grad = one.grad.clone()
        wanted = {}
        for name, parameter in model.named_parameters():
            if ".layers." in name and parameter.ndim == 2:
                buffer = momentum[name] = momentum.get(name, torch.zeros_like(parameter)).lerp(parameter.grad, 0.05)
                update = orthogonalized(parameter.grad.lerp(buffer, 0.95))
                scale = 0.01 * 0.2 * max(parameter.shape) ** 0.5
                wanted[name] = parameter.detach() * (1 - 0.01 * 0.1) - scale * update
        optimizer.step()
        other.step()
        for (name, one), two in zip(model.named_parameters(), twin.parameters(), strict=True):
            if name in wanted:
                torch.testing.assert_close(one.detach(), wanted[name], rtol=0.02, atol=2e-3)
                assert not torch.equal(one, two)
            else:
                assert torch.equal(one, two)


def test_adamw_equals_its_definition_for_50_steps():
    torch.manual_seed(0)
    model = nn.Linear(5, 3).double()
    optimizer = make_optimizer(model, OptimizerSettings(name="adamw", decouple_lr=False, peak_lr=0.01, betas=(0.9, 0.98), weight_decay=0.1))
    weight = model.weight.detach().clone()
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(1, 51):
        model.weight.grad, model.bias.grad = torch.randn_like(weight), torch.zeros(3, dtype=torch.float64)
        gradient = model.weight.grad
        mean, square = 0.9 * mean + 0.1 * gradient, 0.98 * square + 0.02 * gradient**2
        update = (mean / (1 - 0.9**step)) / ((square / (1 - 0.98**step)).sqrt() + 1e-6)
        weight = weight * (1 - 0.01 * 0.1) - 0.01 * update
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-10, atol=1e-12)
