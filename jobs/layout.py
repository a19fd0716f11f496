"""Which worker processes `manage.py up` starts on a machine, from what the machine can run (decision 8).

A job waits only behind jobs of its own weight: trainings of tables, which take seconds, apart from those of networks,
which take hours; inference apart from training; and each GPU apart from all else.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.capabilities import servable_queues
from jobs.routing import QUEUES

TRAINING, INFERENCE = "training", "inference"  # as jobs.models.Worker.Kind, which needs Django's models
LIGHT = "sklearn"  # the framework whose jobs are short


@dataclass(frozen=True)
class Lane:
    """One worker process: `manage.py worker --kind … --queues …`, with `--gpus …` where it owns some."""

    name: str
    kind: str
    queues: tuple[str, ...]
    gpus: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Those of the command."""
        gpus = ["--gpus", ",".join(self.gpus)] if self.gpus else []
        return ["--kind", self.kind, "--queues", ",".join(self.queues), *gpus]


def lanes(
    capabilities: Mapping[str, Any],
    *,
    workers: int = 1,
    deep_workers: int = 1,
    gpus_per_worker: int = 1,
    only: Sequence[str] = (),
) -> list[Lane]:
    """The workers for a machine with these capabilities (`jobs.capabilities.probe`), of the queues `only` if given.

    `workers` processes train on tables, `deep_workers` train networks on the CPU; `gpus_per_worker` GPUs, or what is
    left of them, go to each process that trains on GPUs.
    """
    able = [name for name in servable_queues(capabilities, inference=False) if not only or name in only]
    light = tuple(name for name in able if QUEUES[name].framework == LIGHT)
    gpus = visible_gpus(len(capabilities["devices"]))
    on_gpu = tuple(name for name in able if gpus and takes_gpu(name))
    deep = tuple(name for name in able if name not in light and name not in on_gpu)
    found = [Lane(f"train-{number}", TRAINING, light) for number in range(1, workers + 1) if light]
    found += [Lane(f"deep-{number}", TRAINING, deep) for number in range(1, deep_workers + 1) if deep]
    shares = [tuple(gpus[start : start + gpus_per_worker]) for start in range(0, len(gpus), gpus_per_worker)]
    found += [Lane(f"gpu-{number}", TRAINING, on_gpu, share) for number, share in enumerate(shares, 1) if on_gpu]
    serving = [name for name in servable_queues(capabilities, inference=True) if not only or name in only]
    for name, is_light in (("infer", True), ("infer-deep", False)):
        if queues := tuple(queue for queue in serving if (QUEUES[queue].framework == LIGHT) == is_light):
            found.append(Lane(name, INFERENCE, queues))
    return found


def takes_gpu(queue: str) -> bool:
    """Whether a worker that owns GPUs serves this queue."""
    return QUEUES[queue].gpu or QUEUES[queue].accelerated


def visible_gpus(count: int) -> list[str]:
    """What CUDA calls this machine's `count` devices: those that CUDA_VISIBLE_DEVICES names, if it is set."""
    named = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    return named[:count] or [str(number) for number in range(count)]
