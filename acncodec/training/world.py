"""Distributed training: one process, or those that `torchrun` has started (gloo on the CPU, NCCL on CUDA).

Each takes its share of every batch. All draw the same random numbers for the whole batch and hold the same table of codes,
so that several processes make the same steps as one would, up to the order of sums.
"""

import os
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

Module = TypeVar("Module", bound=nn.Module)


class World:
    """This process's rank among all, and collective operations; with one process these are trivial."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls, device: torch.device) -> "World":
        """Join the processes of `torchrun`, as the environment variables that it sets say; else this process alone."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if device.type == "cuda":  # one device per process of a machine
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reports and writes."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's entries of a batch [N, ...]: every `size`-th."""
        return batch[self.rank :: self.size]

    def gather(self, share: Tensor, length: int) -> Tensor:
        """The whole batch [length, ...] from the `share` of every process."""
        if self.size == 1:
            return share
        most = -(-length // self.size)
        padded = share.new_zeros(most, *share.shape[1:])
        padded[: len(share)] = share
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:length]

    def total(self, x: Tensor) -> Tensor:
        """The sum over all processes, differentiable."""
        return x if self.size == 1 else all_reduce(x)

    def agree(self, value: float) -> float:
        """The first process's value, in all processes."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        told = told.cuda() if dist.get_backend() == "nccl" else told
        dist.broadcast(told, 0)
        return float(told)

    def module(self, module: Module) -> Module | DistributedDataParallel:
        """The module, wrapped so that gradients are averaged over all processes."""
        return module if self.size == 1 else DistributedDataParallel(module)
