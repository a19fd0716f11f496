"""InceptionV3, MobileNetV3, EfficientNet and EfficientNetV2 from `keras.applications`, as image classifiers.

Each takes images (n, size, size, 3) of 0 to 255 and gives logits (n, classes); what else is done to pixels is a layer.
The order and classes of layers are those of the application with its last layer, so that its files of weights fit.
"""

from collections.abc import Mapping
from typing import Any

from trainers.keras_vision.backend import dtype_policy, keras
from trainers.protocol import ModelProblem

SMALLEST = {"inception": 75, "mobilenet": 32, "efficientnet": 32}  # pixels that an architecture takes at least
MOBILENETS = {"small": "MobileNetV3Small", "large": "MobileNetV3Large"}
EFFICIENTNETS = {
    **{f"b{number}": f"EfficientNetB{number}" for number in range(8)},
    **{f"v2-b{number}": f"EfficientNetV2B{number}" for number in range(4)},
    **{f"v2-{size}": f"EfficientNetV2{size.upper()}" for size in "sml"},
}
LEAST_MOMENTUM = 0.8
SEEDS = 2**31  # a layer's seed is a signed 32-bit number on some backends


def build(kept: Mapping[str, Any], *, policy: str = "float32", seed: int = 0) -> Any:
    """A `keras.Model` with new weights, of an architecture as a manifest keeps it: name, variant, outputs, image_size,
    dropout_rate. Its logits are float32 under every policy.

    Raises:
        ModelProblem: there is no such network.
    """
    name, size = kept["name"], kept["image_size"]
    if name not in SMALLEST:
        raise ModelProblem(f"There is no network {str(name)[:50]!r}.")
    with dtype_policy(policy):
        inputs = keras.Input((size, size, 3), name="images")
        if name == "mobilenet":
            logits = _mobilenet(inputs, kept)
        else:
            features = _inception(inputs) if name == "inception" else _efficientnet(inputs, kept)
            kept_features = keras.layers.Dropout(kept["dropout_rate"], seed=seed % SEEDS, name="head_dropout")(features)
            logits = keras.layers.Dense(kept["outputs"], name="predictions")(kept_features)
        logits = keras.layers.Activation("linear", dtype="float32", name="logits_as_float32")(logits)
        return keras.Model(inputs, logits, name=name)


def shorten_memories(model: Any, steps: int) -> float:
    """Let the averages of batch norms forget within the training: their own pace is for hundreds of thousands of steps,
    and after a few hundred they would still be mostly what they began as. The momentum that was set.
    """
    momentum = max(1 - 10 / max(steps, 1), LEAST_MOMENTUM)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, momentum)
    return momentum


def _inception(inputs: Any) -> Any:
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    return keras.applications.InceptionV3(include_top=False, weights=None, input_tensor=scaled, pooling="avg").output


def _mobilenet(inputs: Any, kept: Mapping[str, Any]) -> Any:
    """With its own head, which has a layer more than the others'."""
    application = getattr(keras.applications, MOBILENETS[kept["variant"]])
    return application(
        include_top=True,
        weights=None,
        input_tensor=inputs,
        classes=kept["outputs"],
        dropout_rate=kept["dropout_rate"],
        classifier_activation=None,
    ).output


def _efficientnet(inputs: Any, kept: Mapping[str, Any]) -> Any:
    application = getattr(keras.applications, EFFICIENTNETS[kept["variant"]])
    return application(include_top=False, weights=None, input_tensor=inputs, pooling="avg").output
