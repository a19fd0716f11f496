"""Keras with its backend chosen, and where a training computes.

Every module here takes `keras` from this one: Keras reads the choice once, when it is imported.
"""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

if not os.environ.get("KERAS_BACKEND"):
    os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "torch"
# Each asks for GPUs when it is imported, here in a process that forks later: let torch ask the driver alone, and
# TensorFlow take memory as it needs it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402  (after the choice)

from trainers.protocol import ConfigProblem, Ran, TrainerError  # noqa: E402

FRAMEWORK = "tensorflow"  # what the queue is called; version and backend say what computes
ENGINES = {
    "torch": "trainers.keras_vision.torch_engine",
    "tensorflow": "trainers.keras_vision.tensorflow_engine",
}

keras.config.set_image_data_format("channels_last")  # a file in the home directory may say otherwise


@dataclass(frozen=True)
class Compute:
    """A device, and the type that layers compute in."""

    on_gpu: bool
    policy: Literal["float32", "mixed_bfloat16"]
    name: str  # as a result tells it: "cpu", or "cuda (NVIDIA H200)"

    @property
    def ran(self) -> Ran:
        """For results and manifests."""
        return {
            "framework": FRAMEWORK,
            "framework_version": version(),
            "backend": keras.backend.backend(),
            "device": self.name,
        }

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """What is made and computed in it is on the device."""
        with keras.device("gpu:0" if self.on_gpu else "cpu"):
            yield


def engine() -> Any:
    """The module that knows this backend. Raises TrainerError where nothing here does."""
    name = keras.backend.backend()
    if name not in ENGINES:
        raise TrainerError(
            f'Keras computes with "{name}" on this worker, which these models do not run on; '
            "set KERAS_BACKEND to tensorflow or torch."
        )
    return importlib.import_module(ENGINES[name])


def version() -> str:
    """Of Keras and of what computes for it: "keras 3.15.1, torch 2.13.0"."""
    name = keras.backend.backend()
    own = str(importlib.import_module(name).__version__).split("+")[0]
    return f"keras {keras.__version__}, {name} {own}"


def choose(device: str = "auto", precision: str = "auto") -> Compute:
    """The GPU where there is one, else the CPU; on a GPU bfloat16 where it has it.

    Raises:
        ConfigProblem: a GPU is asked for where there is none.
    """
    gpu = engine().gpu()
    if device == "cuda" and gpu is None:
        sentence = 'is "cuda", but this worker has no GPU that Keras can use; use "auto".'
        raise ConfigProblem(f"device {sentence}", details={"device": [sentence]})
    if gpu is None or device == "cpu":
        return Compute(False, "mixed_bfloat16" if precision == "bfloat16" else "float32", "cpu")
    mixed = precision == "bfloat16" or (precision == "auto" and gpu.has_bfloat16)
    return Compute(True, "mixed_bfloat16" if mixed else "float32", f"cuda ({gpu.name})")


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers that are made in it have this policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
