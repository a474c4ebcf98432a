"""Processes that train one model together, as `torchrun` starts them; a process that was started alone is a group of one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model.heads import ModernBertForMaskedLM

_PATIENCE = timedelta(hours=6)
"""How long the others wait while the first rank makes a tokenizer or a token store."""


@dataclass(frozen=True)
class Ranks:
    """The group: this process is number `rank` of `world`, and works on `device`."""

    rank: int
    world: int
    device: torch.device
    parallel: Literal["ddp", "fsdp"]

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and speaks for the group."""
        return self.rank == 0

    @property
    def shards(self) -> bool:
        """Whether every process holds a part of each tensor."""
        return self.world > 1 and self.parallel == "fsdp"

    def share(self, model: ModernBertForMaskedLM) -> None:
        """Give all processes the first one's weights, and cut them into parts where each process is to hold a part."""
        if self.world > 1:
            for tensor in model.parameters():
                dist.broadcast(tensor.data, 0)
        if not self.shards:
            return
        mesh = init_device_mesh(self.device.type, (self.world,))
        modules: list[nn.Module] = [*model.model.layers, model]
        for module in modules:
            # The last one, the whole model, would keep its tensors after a forward pass, and an optimizer made then would get those.
            part = fully_shard(module, mesh=mesh, reshard_after_forward=True)
            part.set_gradient_divide_factor(1.0)  # gradients are added, not averaged
            part.set_force_sum_reduction_for_comms(enable=True)  # gloo knows no other way
        for method in ("score", "encode"):
            register_fsdp_forward_method(model, method)

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients of all processes, in each of them; parts have been added up in the backward pass already."""
        if self.world == 1 or self.shards:
            return
        parameters = list(model.parameters())
        anywhere = self.sum([parameter.grad is not None for parameter in parameters])
        pending = []
        for parameter in (parameter for parameter, count in zip(parameters, anywhere, strict=True) if count):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            pending.append(dist.all_reduce(parameter.grad, async_op=True))
        for work in pending:
            assert work is not None
            work.wait()

    def require_same(self, value: float, what: str) -> None:
        """Raise CheckpointError in all processes where `value` is not the same in each."""
        if self.sum([value])[0] != self.world * self.sum([value if self.is_first else 0.0])[0]:
            raise CheckpointError(f"the processes see {what}. Let all of them see the same --output, on a shared file system.")

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value added up over all processes."""
        if self.world == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def gather_rows(self, rows_ED: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes, `counts` of each, one process after the other; without gradients."""
        if self.world == 1:
            return rows_ED
        padded = rows_ED.new_zeros(max(counts), rows_ED.shape[1])
        padded[: len(rows_ED)] = rows_ED
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first process through the block before all others, so that it makes what they only read."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


def alone(device: torch.device) -> Ranks:
    """A group of one."""
    return Ranks(0, 1, device, "ddp")


@contextmanager
def open_ranks(device: torch.device, parallel: Literal["ddp", "fsdp"]) -> Iterator[Ranks]:
    """Join the group that `torchrun` describes, or be alone where it did not start this process.

    Raises:
        ConfigError: more processes than devices on this machine.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if world > 1 and missing:
        raise ConfigError(f"WORLD_SIZE={world}, but {missing[0]} is not set. Start the processes with torchrun, or unset WORLD_SIZE.")
    if world == 1:
        yield alone(device)
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} of this machine has no device of its own ({torch.cuda.device_count()}). Lower --nproc-per-node."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield Ranks(dist.get_rank(), world, device, parallel)
    dist.destroy_process_group()  # not after an error, where the others may wait elsewhere: the process ends anyway


def is_first_process() -> bool:
    """Whether this process was started alone, or is the first of its group."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0"


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each process holds a part, put together in all of them; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """`tensor` cut into parts as `model` is, on its device."""
    if isinstance(model, DTensor) and tensor.shape == model.shape:
        return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)
    return tensor.to(model.device)
