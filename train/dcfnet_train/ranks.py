"""The processes of a run, one a device: alone, or together under torchrun.

Each takes its share of every batch, and gradients are summed, so that a run of many processes takes the steps of a run
of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# Before there is a group: its functions have the group of that moment as a default, and would keep it alive for good.
import torch.distributed.nn.functional
from dcfnet.errors import ConfigError
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """This process among the others. rank: 0 .. count - 1; the first one writes. device: where its network is."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and says how far the run is."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Which pairs of a batch are this process's. Raises ConfigError where they cannot be shared out evenly."""
        size, rest = divmod(batch, self.count)
        if rest:
            raise ConfigError(f"batch={batch}: cannot be shared by {self.count} processes; set batch to a multiple")
        return slice(self.rank * size, (self.rank + 1) * size)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def sum(self, network: nn.Module, loss: float) -> float:
        """Sums the gradients over all processes, in place; returns the sum of their losses."""
        if self.count == 1:
            return loss
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([loss], device=self.device)])
        distributed.all_reduce(flat)  # one message: ten thousand numbers
        parts = torch.split(flat[:-1], [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(flat[-1])


def restarts() -> int:
    """How often torchrun has started this process anew, after one of the run's processes had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """This process among those that torchrun has started; alone without it.

    device: "auto" (a GPU where there is one), "cpu" or "cuda". Raises ConfigError for another one, and where there is
    no GPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _device(device)
    if count == 1:
        yield Ranks(device=chosen)
        return
    store, rank, count = next(rendezvous("env://"))
    # Of its own for every start: torch 2.13 finds the addresses of the processes that died in the old one (gloo).
    fresh = distributed.PrefixStore(f"start {restarts()}", store)  # type: ignore[attr-defined]
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=fresh, rank=rank, world_size=count)
    try:
        yield Ranks(rank, count, chosen)
    finally:
        # Joins gloo's threads, which hold tensors. One that let go of them while Python shuts down would abort it.
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r}: auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("device 'cuda': torch sees no GPU; install a CUDA build of torch and a driver, or use cpu")
    if name == "cpu" or not there:
        return CPU
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
