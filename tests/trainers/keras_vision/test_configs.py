"""What the Keras image classifiers take as hyperparameters, and what they refuse."""

from typing import Any

import pytest

from trainers import registry
from trainers.protocol import ConfigProblem

OF_THE_DOCUMENT = {"epochs": 20, "learning_rate": 0.01, "batch_size": 64, "dropout_rate": 0.2}


@pytest.mark.parametrize(
    ("model_type", "hyperparameters"),
    [
        ("inception", OF_THE_DOCUMENT),
        ("mobilenet", {**OF_THE_DOCUMENT, "variant": "small", "num_classes": 10, "weights": "/data/start.keras"}),
        ("efficientnet", {"variant": "v2-s", "image_size": 32, "optimizer": "sgd", "class_weight": "balanced"}),
        ("efficientnet", {"variant": "b7", "label_smoothing": 0.1, "early_stopping": 3, "num_gpus": 1}),
    ],
)
def test_hyperparameters_that_make_sense_are_taken(model_type: str, hyperparameters: dict[str, Any]) -> None:
    config = registry.check_config(model_type, hyperparameters)
    assert hyperparameters.items() <= config.model_dump().items()


@pytest.mark.parametrize(
    ("model_type", "name", "value"),
    [
        ("inception", "image_size", 74),
        ("mobilenet", "image_size", 31),
        ("mobilenet", "variant", "medium"),
        ("efficientnet", "variant", "b8"),
        ("efficientnet", "precision", "float16"),
        ("efficientnet", "num_gpus", 2),
        ("inception", "dropout_rate", 1),
        ("inception", "depth", 50),
        ("inception", "weights", ""),
    ],
)
def test_others_are_refused_by_their_name(model_type: str, name: str, value: Any) -> None:
    with pytest.raises(ConfigProblem) as refused:
        registry.check_config(model_type, {name: value})
    assert name in refused.value.details
