"""The processes of a run, one per device: a single process, or several under torchrun.

Each process computes its share of every batch, and the gradients are summed. Thus several processes do the same steps
as one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# Import this before a group exists: its default arguments would keep the group alive.
import torch.distributed.nn.functional
from dcfnet.errors import ConfigError
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """This process among all. rank: 0 .. count - 1; rank 0 writes the files. device: of its network."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows the progress."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The pairs of a batch for this process. Raises ConfigError if the batch is not a multiple of `count`."""
        size, rest = divmod(batch, self.count)
        if rest:
            raise ConfigError(f"batch={batch}: must be a multiple of the {self.count} processes; give --set batch=N")
        return slice(self.rank * size, (self.rank + 1) * size)

    def wait(self) -> None:
        """Waits until all processes have called it."""
        if self.count > 1:
            distributed.barrier()

    def sum(self, network: nn.Module, loss: float) -> float:
        """Sums the gradients over all processes, in place; returns the sum of their losses."""
        if self.count == 1:
            return loss
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([loss], device=self.device)])
        distributed.all_reduce(flat)  # one message of about ten thousand numbers
        parts = torch.split(flat[:-1], [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(flat[-1])


def restarts() -> int:
    """How often torchrun has restarted the processes, because one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """This process in the group that torchrun started; a single process without torchrun.

    device: "auto" (a GPU if there is one), "cpu" or "cuda". Raises ConfigError for another name, or for "cuda" without
    a GPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    own_device = _device(device)
    if count == 1:
        yield Ranks(device=own_device)
        return
    store, rank, count = next(rendezvous("env://"))
    # Use a new prefix for every start: with the old one, torch 2.13 (gloo) finds the addresses of dead processes.
    own_store = distributed.PrefixStore(f"start {restarts()}", store)  # type: ignore[attr-defined]
    backend = "nccl" if own_device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=own_store, rank=rank, world_size=count)
    try:
        yield Ranks(rank, count, own_device)
    finally:
        # Joins the threads of gloo. If one frees its tensors during the shutdown of Python, the process aborts.
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device={name!r}: must be auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "device='cuda': torch finds no GPU; install a CUDA build of torch and a driver, or use device='cpu'"
        )
    if name == "cpu" or not available:
        return CPU
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
