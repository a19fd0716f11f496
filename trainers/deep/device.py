"""Where a torch training computes, in what precision, and from what seed."""

import contextlib
import os
import random
import re
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from trainers.protocol import ConfigProblem, Ran

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# What CPU and GPU libraries say where torch does not raise its own exception.
_NO_MEMORY = re.compile(
    r"can(no|')t allocate memory|not enough memory|out of memory|ALLOC_FAILED|bad_alloc", re.IGNORECASE
)
# What oneDNN says, without a reason; for a network that its kernels know there is hardly another.
_NO_KERNEL = re.compile("could not create a primitive|could not execute a primitive")
LOADER_ITEMS = 2_000  # from so many items an epoch on, processes of their own that load them are worth their start


@dataclass(frozen=True)
class Compute:
    """A device, and the type that matrix products are computed in (None: float32 throughout)."""

    device: torch.device
    autocast_type: torch.dtype | None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Around a forward pass and its loss."""
        if self.autocast_type is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_type)

    @property
    def scales_gradients(self) -> bool:
        """float16 has no room for small gradients."""
        return self.autocast_type is torch.float16

    @property
    def backend(self) -> str:
        """What computes inside torch: "cuda", or the CPU's library of kernels."""
        if self.device.type == "cuda":
            return "cuda"
        return "mkldnn" if torch.backends.mkldnn.is_available() else "native"

    @property
    def name(self) -> str:
        """As a result tells it: "cpu", or "cuda (NVIDIA H200)"."""
        return f"cuda ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else "cpu"

    @property
    def ran(self) -> Ran:
        """For results and manifests."""
        return {
            "framework": "pytorch",
            "framework_version": torch.__version__,
            "backend": self.backend,
            "device": self.name,
        }


def choose(device: DeviceName = "auto", precision: Precision = "auto") -> Compute:
    """The GPU where there is one, else the CPU; on a GPU bfloat16 where it has it, else float16.

    Of several processes (`trainers.deep.launch`) each takes a GPU of its own.

    Raises:
        ConfigProblem: a GPU is asked for where there is none (or not as many), or float16 on a CPU.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    place = int(os.environ.get("LOCAL_RANK", 0))  # set by torchrun
    if device == "cuda" and not gpus:
        raise _problem("device", 'is "cuda", but this worker has no GPU; use "auto", or set requires_gpu.')
    if device != "cpu" and "LOCAL_RANK" in os.environ and place >= gpus:
        wanted = os.environ.get("LOCAL_WORLD_SIZE", "")
        remedy = "ask for as many." if gpus else 'set device to "cpu" for as many processes of the CPU.'
        raise _problem("num_gpus", f"is {wanted}, but this worker has {gpus or 'no'} GPUs; {remedy}")
    if gpus and device != "cpu":
        chosen = torch.device("cuda", place)
        torch.cuda.set_device(chosen)
    else:
        chosen = torch.device("cpu")
    if precision == "auto":
        if chosen.type == "cpu":
            return Compute(chosen, None)
        return Compute(chosen, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    if precision == "float16" and chosen.type == "cpu":
        raise _problem("precision", 'is "float16", which a CPU has no fast kernels for; use "bfloat16" or "float32".')
    return Compute(chosen, _TYPES.get(precision))


def seed_everything(seed: int) -> None:
    """Seed what draws without a generator of its own: dropout, initial weights."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """All that `seed_everything` seeds, at this moment."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Go on drawing from where `random_state` was taken. A machine with other GPUs keeps those of its own."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def order_of_epoch(items: int, *, seed: int, epoch: int) -> list[int]:
    """The items of an epoch in the order that it takes them: the same after a restart."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(items, generator=generator).tolist()


def loader_processes(items: int) -> int:
    """How many processes load the items of an epoch; 0: this one does it itself."""
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 0 if cores <= 2 or items < LOADER_ITEMS else min(cores - 1, 8)


def peak_memory_bytes(compute: Compute) -> int:
    """The most that the training has held: on the GPU where it computes there, else of this process."""
    if compute.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(compute.device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at a time could have gone well."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(said) or _NO_KERNEL.search(said))


def forgo_kernels(error: BaseException) -> None:
    """Go on without oneDNN where it had no room for a kernel: in this process it makes none any more."""
    if _NO_KERNEL.search(str(error)):
        torch.backends.mkldnn.set_flags(False)


def _problem(field: str, sentence: str) -> ConfigProblem:
    return ConfigProblem(f"{field} {sentence}", details={field: [sentence]})
