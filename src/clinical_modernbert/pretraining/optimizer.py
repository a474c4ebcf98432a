"""Gradients -> steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from clinical_modernbert.pretraining.ranks import whole
from clinical_modernbert.pretraining.settings import OptimizerSettings


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer of `settings` over two groups: matrices, which decay, and norms and biases, which never do."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=settings.peak_lr, betas=settings.betas, eps=settings.eps, fused=True)
    if settings.name == "muon":
        return MuonWithAdamW(model, settings)
    decay_lr = settings.peak_lr if settings.decouple_lr else 1.0
    return StableAdamW(groups, lr=settings.peak_lr, betas=settings.betas, eps=settings.eps, decay_lr=decay_lr)


class StableAdamW(torch.optim.Optimizer):
    """AdamW whose step of each tensor is divided by the RMS of its update where that exceeds 1 (Wortsman et al. 2023, algorithm 2).

    Bias correction enters the averages' coefficients. Weight decay is decoupled: a step multiplies by
    `1 - weight_decay * lr / decay_lr`, with the clipped `lr`.

    Args:
        params: parameters or groups of them; `weight_decay` may differ by group.
        lr: learning rate.
        betas: decay of the averages of gradients and of their squares.
        eps: added to the root of the second average.
        weight_decay: see above.
        decay_lr: 1 for AdamW's decay, the peak learning rate for decay that is independent of it.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        decay_lr: float = 1.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "decay_lr": decay_lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        assert closure is None
        moved = [(parameter, group) for group in self.param_groups for parameter in group["params"] if parameter.grad is not None]
        if not moved:
            return
        update_rms = torch.stack([self._average(parameter, group) for parameter, group in moved]).tolist()  # a GPU is waited for once
        for (parameter, group), rms in zip(moved, update_rms, strict=True):
            state, lr = self.state[parameter], group["lr"] / max(1.0, rms)
            parameter.mul_(1 - group["weight_decay"] * lr / group["decay_lr"])
            parameter.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt().add_(group["eps"]), value=-lr)

    def _average(self, parameter: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        """Take the gradient into the averages; returns the RMS of the update that they give, before the learning rate."""
        grad, state = parameter.grad, self.state[parameter]
        assert grad is not None
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = (beta * (1 - beta ** (step - 1)) / (1 - beta**step) for beta in group["betas"])
        state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        return whole(grad.square().div_(square.clamp(min=group["eps"] ** 2)).sum()).div(parameter.numel()).sqrt()


class MuonWithAdamW(torch.optim.Optimizer):
    """torch's Muon for the matrices of the encoder's layers, its fused AdamW for embeddings, head, norms and biases.

    Muon's steps are scaled to the size of AdamW's (Liu et al. 2025), so that both take the same learning rate and decay.
    """

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        matrices = [parameter for name, parameter in model.named_parameters() if parameter.ndim == 2 and ".layers." in name]
        taken = set(matrices)
        tables = [parameter for parameter in model.parameters() if parameter.ndim > 1 and parameter not in taken]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        decay = settings.weight_decay
        groups = [{"params": tables, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self._parts = (
            torch.optim.Muon(matrices, lr=settings.peak_lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(groups, lr=settings.peak_lr, betas=settings.betas, eps=settings.eps, fused=True),
        )
        super().__init__([{"params": group["params"]} for part in self._parts for group in part.param_groups], {})
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        assert closure is None
        for part in self._parts:
            part.step()  # type: ignore[no-untyped-call]
            self.state.update(part.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `torch.optim.Optimizer.load_state_dict`."""
        super().load_state_dict(state_dict)
        begin = 0
        for part in self._parts:
            end = begin + len(part.param_groups)
            part.param_groups = self.param_groups[begin:end]
            part.state.clear()
            part.state.update({p: self.state[p] for group in part.param_groups for p in group["params"] if p in self.state})
            begin = end
