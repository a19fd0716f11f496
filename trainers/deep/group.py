"""The processes that train one model together, as torchrun starts them; a training alone is a group of one.

Each process has all the data and the whole model (data parallelism). A step's examples are shared out, the gradients
added up by DistributedDataParallel: the step is that of one process with the same batch, but for batch norms, which
see their own process's share. The first process leads: it alone decides, reports, evaluates, and writes files.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from trainers.deep.device import Compute
from trainers.deep.launch import LARGEST_PART


class NothingLeft(Exception):  # noqa: N818 - no error: the training went well, and the first process ends it
    """The model is trained; what follows is the first process's work."""


class PartTooLarge(Exception):  # noqa: N818 - no error: the launcher tries a smaller part
    """So many examples at once do not fit into this process's memory."""

    def __init__(self, part: int) -> None:
        self.part = part
        super().__init__(f"{part} examples at once do not fit into memory")


@dataclass(frozen=True)
class Group:
    """This process's place among those that train the model. Most of it is calls that all make at once."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def largest_part(self) -> int | None:
        """What the launcher found to fit into memory; None where nothing is known."""
        return int(os.environ[LARGEST_PART]) if self.size > 1 and LARGEST_PART in os.environ else None

    def share(self, examples: Sequence[int]) -> Sequence[int]:
        """This process's part of the examples of a step: even stretches, in the order of the ranks."""
        return examples[len(examples) * self.rank // self.size : len(examples) * (self.rank + 1) // self.size]

    def wrapped(self, model: nn.Module, compute: Compute) -> nn.Module:
        """The model, whose backward pass averages the gradients of all processes. It begins with the first one's."""
        if self.size == 1:
            return model
        devices = [compute.device.index] if compute.device.type == "cuda" else None
        # Architectures at large have weights that some losses leave untouched.
        return DistributedDataParallel(model, device_ids=devices, find_unused_parameters=True)

    @staticmethod
    def alone(model: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Around the passes of a step's parts: the others are waited for in the last one only."""
        if isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return contextlib.nullcontext()

    def total(self, value: float) -> float:
        """The sum of all processes' values."""
        if self.size == 1:
            return value
        together = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(together)
        return float(together)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of all processes' values, which may lie on a GPU."""
        if self.size > 1:
            distributed.all_reduce(value)
            value /= self.size
        return value

    def agreed(self, value: int) -> int:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        together = torch.tensor([int(value)])
        distributed.broadcast(together, 0)
        return int(together)

    def random_states(self) -> list[dict[str, torch.Tensor]]:
        """What each process draws from next (dropout): `torch`, and `cuda` where it has one. Empty of one alone."""
        if self.size == 1:
            return []
        own = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            own["cuda"] = torch.cuda.get_rng_state()
        gathered = {name: [torch.empty_like(state) for _ in range(self.size)] for name, state in own.items()}
        for name, state in own.items():
            distributed.all_gather(gathered[name], state)
        return [{name: gathered[name][rank] for name in own} for rank in range(self.size)]

    def draw_apart(self, seed: int) -> None:
        """Have each process draw other numbers: dropout is to leave out other things in each."""
        if self.rank:
            torch.manual_seed((seed + self.rank) % 2**63)

    def restore_random_state(self, states: Sequence[Mapping[str, torch.Tensor]], *, seed: int) -> None:
        """Go on drawing as a group of this size did; one of another size draws anew."""
        if self.size == 1:
            return
        if len(states) != self.size:
            self.draw_apart(seed)
            return
        torch.set_rng_state(states[self.rank]["torch"])
        if "cuda" in states[self.rank] and torch.cuda.is_available():
            torch.cuda.set_rng_state(states[self.rank]["cuda"])


def current() -> Group:
    """The group that this process is in."""
    if distributed.is_available() and distributed.is_initialized():
        return Group(distributed.get_rank(), distributed.get_world_size())
    return Group()
