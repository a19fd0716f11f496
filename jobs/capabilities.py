"""What this machine can run: framework versions, devices, cores and memory, and the queues that follow from them.

CUDA is asked in a subprocess: a worker must not have touched it before it forks.

    python -m jobs.capabilities        prints the CUDA devices as JSON
"""

import importlib.util
import json
import logging
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from jobs.routing import QUEUES, QueueSpec

logger = logging.getLogger(__name__)

PROBE_SECONDS = 120
# What a result calls a framework -> its packages (module, distribution). All must be there; the first has the version.
PACKAGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "sklearn": (("sklearn", "scikit-learn"), ("skops", "skops")),
    "pytorch": (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("tokenizers", "tokenizers"),
        ("safetensors", "safetensors"),
        ("PIL", "pillow"),
    ),
    "tensorflow": (("keras", "keras"), ("h5py", "h5py"), ("safetensors", "safetensors"), ("PIL", "pillow")),
}
# … and one of these modules: Keras computes with another library.
BACKENDS: Mapping[str, tuple[str, ...]] = {"tensorflow": ("torch", "tensorflow")}
# A driver makes one of these: NVIDIA's, that under WSL, AMD's. Without any, no framework need be asked for its devices.
DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def probe() -> dict[str, Any]:
    """The capabilities of this machine. Where its devices cannot be found out, it has none, and the log says why.

    The frameworks are those installed; a worker finds out by importing them whether they work. The devices are those
    that CUDA_VISIBLE_DEVICES leaves visible.
    """
    frameworks = {
        name: metadata.version(packages[0][1])
        for name, packages in PACKAGES.items()
        if all(map(_is_there, (module for module, _ in packages))) and _has_backend(name)
    }
    return {
        "frameworks": frameworks,
        "devices": _devices() if "pytorch" in frameworks and _has_driver() else [],
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory_bytes(),
        "python": platform.python_version(),
    }


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _has_backend(framework: str) -> bool:
    return framework not in BACKENDS or any(map(_is_there, BACKENDS[framework]))


def _has_driver() -> bool:
    """Whether there may be devices that are not hidden: to ask PyTorch means to import it, which takes seconds."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(os.path.exists(path) for path in DRIVER_FILES)


def _devices() -> list[dict[str, Any]]:
    """Empty too where PyTorch is broken: this machine's other frameworks can work all the same."""
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "jobs.capabilities"],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_SECONDS,
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        )
        found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        said = str(getattr(error, "stderr", "") or "")[-500:]
        logger.warning("The machine's devices could not be found out (%s): %s", error, said)
        return []
    return found


def servable_queues(capabilities: Mapping[str, Any], *, inference: bool) -> list[str]:
    """The queues that a machine with these capabilities can serve, in the routing table's order."""
    return [name for name, spec in QUEUES.items() if spec.inference == inference and _can_serve(spec, capabilities)]


def _can_serve(spec: QueueSpec, capabilities: Mapping[str, Any]) -> bool:
    version = capabilities["frameworks"].get(spec.framework)
    if not version or (spec.gpu and not capabilities["devices"]):
        return False
    return spec.minimum == (0, 0) or _major_minor(version) >= spec.minimum


def _major_minor(version: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


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
    sys.stdout.write(json.dumps(_cuda_devices()) + "\n")
