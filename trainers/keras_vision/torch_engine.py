"""Gradients and steps of a Keras model on its PyTorch backend."""

import gc
import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trainers.deep import device
from trainers.keras_vision.backend import keras
from trainers.keras_vision.engines import GPU, sum_of_losses


class Engine:
    """Computes gradients of `model`, and lets `optimizer` take a step by them."""

    def __init__(self, model: Any, optimizer: Any, *, label_smoothing: float, compile: bool) -> None:
        self.model, self.optimizer = model, optimizer
        self.label_smoothing = label_smoothing
        self.variables = model.trainable_variables
        self._loss = torch.compile(self._plain_loss) if compile else self._plain_loss

    def gradients(self, part: Mapping[str, np.ndarray]) -> tuple[Any, list[Any]]:
        """(loss, gradients) of images (n, h, w, 3), labels (n,) and the weights (n,) that their losses are added with.

        Both stay on the device. Raises what `is_out_of_memory` knows.
        """
        images, labels, weights = (keras.ops.convert_to_tensor(part[name]) for name in ("images", "labels", "weights"))
        loss = self._loss(images, labels, weights)
        return loss.detach(), list(torch.autograd.grad(loss, [variable.value for variable in self.variables]))

    def add(self, first: list[Any], second: list[Any]) -> list[Any]:
        """Sums of the gradients of two parts of a batch."""
        return list(torch._foreach_add(first, second))

    def step(self, gradients: list[Any]) -> None:
        """One step of the optimizer."""
        with torch.no_grad():
            self.optimizer.apply(gradients, self.variables)

    def _plain_loss(self, images: Any, labels: Any, weights: Any) -> Any:
        logits = self.model(keras.ops.cast(images, "float32"), training=True)
        return sum_of_losses(logits, labels, weights, self.label_smoothing)


def read(losses: Sequence[Any]) -> list[float]:
    """Their values; here the CPU waits for the GPU."""
    values: list[float] = torch.stack(list(losses)).tolist()
    return values


def gpu() -> GPU | None:
    """The first one; None where there is none."""
    if not torch.cuda.is_available():
        return None
    return GPU(torch.cuda.get_device_name(0), torch.cuda.is_bf16_supported())


def peak_memory_bytes(on_gpu: bool) -> int:
    """The most that the training has held: on the GPU where it computes there, else of this process."""
    if on_gpu:
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at a time could have gone well."""
    return device.is_out_of_memory(error)


def forgo_kernels(error: BaseException) -> None:
    """Go on without what this error says is not to be had any more."""
    device.forgo_kernels(error)


def free_memory() -> None:
    """Give back what was kept for later, and what Keras' own traceback of the failure holds in circles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def random_state() -> dict[str, np.ndarray]:
    """Of what draws for layers that have no seed of their own."""
    states = {"cpu": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        states |= {f"cuda {number}": each.numpy() for number, each in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_state(states: Mapping[str, np.ndarray]) -> None:
    """Go on drawing from where `random_state` was taken. A machine with other GPUs keeps those of its own."""
    torch.set_rng_state(torch.from_numpy(states["cpu"].copy()))
    devices = [torch.from_numpy(state.copy()) for name, state in sorted(states.items()) if name != "cpu"]
    if devices and torch.cuda.is_available() and len(devices) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(devices)
