"""Pictures to learn from, and trainings that ask to be stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trainers.conftest import Recorder
from tests.trainers.vision.conftest import class_folders  # noqa: F401 (a fixture)
from trainers import registry
from trainers.deep.progress import BEGIN
from trainers.protocol import TrainResult

QUICK = {"epochs": 1, "batch_size": 8, "learning_rate": 0.002, "augment": "light"}


class Interrupted(Recorder):
    """Asks to stop at its so many-th look since the images were read."""

    def __init__(self, folder: Path, looks: int) -> None:
        super().__init__(folder)
        self.looked = 0
        self.stop_at = looks

    def should_stop(self) -> bool:
        self.looked += bool(self.fractions) and self.fractions[-1] >= BEGIN
        return self.looked >= self.stop_at


def train(model_type: str, data: Path, recorder: Recorder, out: Path, **hyperparameters: Any) -> TrainResult:
    if model_type == "mobilenet":
        hyperparameters = {"variant": "small", **hyperparameters}
    return registry.train(model_type, {**QUICK, **hyperparameters}, data, out, recorder)


def curve(*recorders: Recorder) -> dict[int, float]:
    """The loss of each step."""
    return {step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values}


Folders = Callable[..., Path]
