"""Pictures to learn from, and trainings that ask to be stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's handwritten digits, as PNG files of 32 x 32 grey pixels in a folder for each."""
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("digits")
    bunch = load_digits()
    for number, (image, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        folder = root / str(label)
        folder.mkdir(exist_ok=True)
        Image.fromarray((image * 15.9).astype("uint8")).resize((32, 32)).save(folder / f"{number}.png")
    return root


Folders = Callable[..., Path]
