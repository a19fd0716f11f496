"""What this machine can run: framework versions, devices, cores and memory, and the queues that follow from them.

The frameworks are imported in a subprocess: a worker must not have touched CUDA, nor computed, before it forks.

    python -m jobs.capabilities        prints them as JSON
"""

import importlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from jobs.routing import QUEUES, QueueSpec

PROBE_SECONDS = 120
# What a result calls a framework -> the packages that it is made of; all must import.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "sklearn": ("sklearn", "skops"),
    "pytorch": ("torch",),
    "tensorflow": ("keras",),
}
TORCH_MINIMUM: Mapping[str, tuple[int, int]] = {"pytorch-2.0": (2, 0), "pytorch-2.1": (2, 1)}


def probe() -> dict[str, Any]:
    """The capabilities of this machine, found out in a subprocess. Raises RuntimeError when that fails."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "jobs.capabilities"],
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"the machine's capabilities could not be found out: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def servable_queues(capabilities: Mapping[str, Any], *, inference: bool) -> list[str]:
    """The queues that a machine with these capabilities can serve, in the routing table's order."""
    return [name for name, spec in QUEUES.items() if spec.inference == inference and _can_serve(spec, capabilities)]


def _can_serve(spec: QueueSpec, capabilities: Mapping[str, Any]) -> bool:
    version = capabilities["frameworks"].get(spec.framework)
    if not version or (spec.gpu and not capabilities["devices"]):
        return False
    minimum = TORCH_MINIMUM.get(spec.name.removesuffix("-gpu"))
    return minimum is None or _major_minor(version) >= minimum


def _major_minor(version: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def _look() -> dict[str, Any]:
    frameworks = {}
    for name, packages in PACKAGES.items():
        try:
            modules = [importlib.import_module(package) for package in packages]
        except Exception:  # noqa: BLE001, S112  (a broken installation raises anything)
            continue
        frameworks[name] = str(getattr(modules[0], "__version__", "0"))
    return {
        "frameworks": frameworks,
        "devices": _cuda_devices() if "pytorch" in frameworks else [],
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory_bytes(),
        "python": platform.python_version(),
    }


def _cuda_devices() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [{"name": device.name, "memory_bytes": device.total_memory} for device in found]


def _memory_bytes() -> int:
    """The machine's memory, or what the container may use of it."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(path).read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            total = min(total, int(limit))
    return int(total)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_look()) + "\n")
