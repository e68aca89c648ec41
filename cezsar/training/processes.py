"""Training in the processes that torchrun started, each of which computes its share of every step:

torchrun --nproc-per-node 2 -m cezsar train triplets.safetensors --store features/mine --out runs/mine
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from cezsar.arrays import IntArray


class Group(NamedTuple):
    """This process among those that train together; alone without torchrun."""

    rank: int = 0  # the first one, 0, writes
    size: int = 1

    def share(self, members_B: IntArray) -> IntArray:
        """What this process computes of a step; all of it where there is less than one for each."""
        return members_B[self.rank :: self.size] if len(members_B) >= self.size else members_B

    def summed(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gathered(self, values: list[Any]) -> list[Any]:
        """What all processes have, in one list."""
        if self.size == 1:
            return values
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, values)
        return [value for each in found for value in each]

    def together(self, module: nn.Module) -> nn.Module:
        """The module, whose gradients are the mean over the processes."""
        return nn.parallel.DistributedDataParallel(module) if self.size > 1 else module

    def wait(self) -> None:
        """For all others."""
        if self.size > 1:
            distributed.barrier()


def rank() -> int | None:
    """Of this process among those that torchrun started; None where it did not."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else None


@contextmanager
def group() -> Iterator[Group]:
    """Join the processes that torchrun started: over NCCL with a GPU each, else over gloo."""
    if rank() is None:
        yield Group()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
