"""Gradients and steps of a Keras model on its TensorFlow backend, as two compiled graphs."""

import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.keras_vision.backend import keras
from trainers.keras_vision.engines import GPU, sum_of_losses


class Engine:
    """Computes gradients of `model`, and lets `optimizer` take a step by them."""

    def __init__(self, model: Any, optimizer: Any, *, label_smoothing: float, compile: bool) -> None:
        self.model, self.optimizer = model, optimizer
        self.label_smoothing = label_smoothing
        self.variables = model.trainable_variables
        _, height, width, colours = model.input_shape
        self._gradients = tf.function(
            self._plain_gradients,
            # One graph for batches of every size.
            input_signature=[
                tf.TensorSpec((None, height, width, colours), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((None,), tf.float32),
            ],
            jit_compile=compile,
        )
        self._step = tf.function(lambda gradients: optimizer.apply(gradients, self.variables))

    def gradients(self, part: Mapping[str, np.ndarray]) -> tuple[Any, list[Any]]:
        """(loss, gradients) of images (n, h, w, 3), labels (n,) and the weights (n,) that their losses are added with.

        Both stay on the device. Raises what `is_out_of_memory` knows.
        """
        loss, gradients = self._gradients(*(tf.constant(part[name]) for name in ("images", "labels", "weights")))
        return loss, list(gradients)

    def add(self, first: list[Any], second: list[Any]) -> list[Any]:
        """Sums of the gradients of two parts of a batch."""
        return [one + other for one, other in zip(first, second, strict=True)]

    def step(self, gradients: list[Any]) -> None:
        """One step of the optimizer."""
        self._step(gradients)

    def _plain_gradients(self, images: Any, labels: Any, weights: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = self.model(keras.ops.cast(images, "float32"), training=True)
            loss = sum_of_losses(logits, labels, weights, self.label_smoothing)
        return loss, tape.gradient(loss, [variable.value for variable in self.variables])


def read(losses: Sequence[Any]) -> list[float]:
    """Their values; here the CPU waits for the GPU."""
    values: list[float] = tf.stack(list(losses)).numpy().tolist()
    return values


def gpu() -> GPU | None:
    """The first one; None where there is none."""
    found = tf.config.list_physical_devices("GPU")
    if not found:
        return None
    details = tf.config.experimental.get_device_details(found[0])
    return GPU(details.get("device_name", "GPU"), details.get("compute_capability", (0, 0)) >= (8, 0))


def peak_memory_bytes(on_gpu: bool) -> int:
    """The most that the training has held: on the GPU where it computes there, else of this process."""
    if on_gpu:
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at a time could have gone well."""
    return isinstance(error, tf.errors.ResourceExhaustedError | MemoryError)


def forgo_kernels(error: BaseException) -> None:
    """Nothing: TensorFlow's kernels are there from the beginning."""


def free_memory() -> None:
    """Nothing: TensorFlow uses again what it kept."""


def random_state() -> dict[str, np.ndarray]:
    """Nothing: on this backend every layer draws from a variable of the model."""
    return {}


def restore_random_state(states: Mapping[str, np.ndarray]) -> None:
    """Nothing, as `random_state` says."""
