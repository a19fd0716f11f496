"""What the two engines share: the loss, and what a GPU is to them."""

from dataclasses import dataclass
from typing import Any

from trainers.keras_vision.backend import keras


@dataclass(frozen=True)
class GPU:
    name: str
    has_bfloat16: bool


def sum_of_losses(logits: Any, labels: Any, weights: Any, label_smoothing: float) -> Any:
    """Cross-entropies of (n, classes) logits and (n,) class numbers, times (n,) weights, added up.

    `label_smoothing` is the share of each target that is spread over all classes.
    """
    ops = keras.ops
    logarithms = ops.log_softmax(logits, axis=-1)
    chosen = ops.squeeze(ops.take_along_axis(logarithms, ops.expand_dims(labels, 1), axis=1), 1)
    losses = -(1 - label_smoothing) * chosen - label_smoothing * ops.mean(logarithms, axis=-1)
    return ops.sum(losses * weights)
