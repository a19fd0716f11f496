"""Image classifiers learn, are resumed, and answer for images in every form."""

import base64
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.trainers.conftest import Recorder
from tests.trainers.vision.conftest import KINDS, picture, png
from trainers import registry
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Stopped, TrainResult

QUICK = {"epochs": 4, "batch_size": 8, "learning_rate": 0.002, "augment": "light"}


def train(model_type: str, data: Path, recorder: Recorder, out: Path, **hyperparameters: Any) -> TrainResult:
    return registry.train(model_type, {**QUICK, **hyperparameters}, data, out, recorder)


def data_uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Recorder]:
    """An AlexNet that tells discs from crosses: the quickest to learn it."""
    root = tmp_path_factory.mktemp("shapes")
    for kind in KINDS:
        (root / "images" / kind).mkdir(parents=True)
        for number in range(24):
            (root / "images" / kind / f"{number}.png").write_bytes(png(picture(kind, number, 28)))
    recorder = Recorder(root / "checkpoint")
    settings = {"epochs": 7, "learning_rate": 0.001}
    return train("alexnet", root / "images", recorder, root / "out", **settings), recorder


def test_it_learns_to_tell_discs_from_crosses(trained: tuple[TrainResult, Recorder]) -> None:
    result, recorder = trained
    assert result.metrics["accuracy"] > 0.9
    assert (result.framework, result.device, result.task) == ("pytorch", "cpu", "image_classification")
    assert result.report["confusion_matrix"]["labels"] == list(KINDS)
    assert {"train_loss", "learning_rate", "images_per_second", "memory_mb", "val_accuracy"} <= {
        name for _, values in recorder.points for name in values
    }
    assert recorder.fractions == sorted(recorder.fractions)
    assert recorder.fractions[-1] == 1.0


def test_it_answers_for_images_in_every_form(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    predictor = registry.load(trained[0].folder)
    disc, cross = picture("disc", 900), picture("cross", 900)
    (tmp_path / "disc.png").write_bytes(png(disc))
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("a.png", png(disc))
        archive.writestr("b.jpg", png(cross, "JPEG"))
    assert predictor.predict_input(tmp_path / "disc.png")[0]["label"] == "disc"
    assert predictor.predict_input(data_uri(cross))[0]["label"] == "cross"
    assert predictor.predict_input(base64.b64encode(png(disc)).decode())[0]["label"] == "disc"
    assert predictor.predict_input({"image": data_uri(disc)})[0]["label"] == "disc"
    assert [each["label"] for each in predictor.predict_input([data_uri(disc), {"image": data_uri(cross)}])] == [
        "disc",
        "cross",
    ]
    both = predictor.predict_input(tmp_path / "both.zip")
    assert [(each["image"], each["label"]) for each in both] == [("a.png", "disc"), ("b.jpg", "cross")]


def test_parameters_of_an_inference(trained: tuple[TrainResult, Recorder]) -> None:
    predictor = registry.load(trained[0].folder)
    image = data_uri(picture("disc", 901))
    plain = predictor.predict_input(image)[0]
    full = predictor.predict_input(image, {"probability": True, "top_k": 5, "temperature": 100.0})[0]
    assert sum(full["probabilities"].values()) == pytest.approx(1)
    assert [each["label"] for each in full["top_k"]] == ["disc", "cross"]
    assert full["score"] < plain["score"]
    assert predictor.predict_input(image, {"confidence_threshold": 1.0})[0]["label"] in (None, "disc")
    assert predictor.predict_input(image, {"confidence_threshold": 1.0, "temperature": 100.0})[0]["label"] is None


@pytest.mark.parametrize(
    "given", ["", "hello", 7, {"image": 3}, [], ["data:image/png;base64,AAAA"], {"x": "y"}, [[[]]]]
)
def test_what_is_no_image_is_refused_in_words(trained: tuple[TrainResult, Recorder], given: Any) -> None:
    with pytest.raises(DataProblem):
        registry.load(trained[0].folder).predict_input(given)


def test_a_model_whose_weights_were_exchanged_is_refused(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    shutil.copytree(trained[0].folder, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelProblem, match="is not the file"):
        registry.load(tmp_path / "model")


class Interrupted(Recorder):
    """Asks to stop once it was told of so many steps."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self.asked = 0
        self.stop_at = steps

    def should_stop(self) -> bool:
        self.asked += 1
        return self.asked >= self.stop_at


@pytest.mark.full  # of a smaller network it is shown each time (tests/trainers/deep)
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(
    class_folders: Callable[..., Path], tmp_path: Path
) -> None:
    data = class_folders(12)
    settings = {"epochs": 2, "augment": "strong", "dropout_rate": 0.3, "depth": 18}
    whole = Recorder(tmp_path / "whole")
    train("resnet", data, whole, tmp_path / "a", **settings)
    first = Interrupted(tmp_path / "parts", 4)
    with pytest.raises(Stopped):
        train("resnet", data, first, tmp_path / "b", **settings)
    second = Recorder(tmp_path / "parts")
    train("resnet", data, second, tmp_path / "c", **settings)

    def curve(*recorders: Recorder) -> dict[int, float]:
        return {
            step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values
        }

    assert "resumed in epoch" in second.text()
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(
    ("model_type", "settings"),
    [("vgg", {"epochs": 12, "learning_rate": 0.0005}), ("resnet", {"depth": 18, "epochs": 4})],
)
def test_the_other_networks_learn_too(
    class_folders: Callable[..., Path], recorder: Recorder, tmp_path: Path, model_type: str, settings: dict[str, Any]
) -> None:
    result = train(model_type, class_folders(60), recorder, tmp_path / "out", **settings)
    assert result.metrics["accuracy"] > 0.85


def test_too_few_classes_are_asked_for(class_folders: Callable[..., Path], recorder: Recorder, tmp_path: Path) -> None:
    (class_folders(2) / "third").mkdir()
    (tmp_path / "images" / "third" / "1.png").write_bytes(png(picture("disc", 1)))
    with pytest.raises(ConfigProblem, match="num_classes is 2, but the data has 3 classes"):
        train("resnet", tmp_path / "images", recorder, tmp_path / "out", num_classes=2)


def test_one_class_is_nothing_to_learn(class_folders: Callable[..., Path], recorder: Recorder, tmp_path: Path) -> None:
    root = class_folders(2)
    for path in (root / "disc").iterdir():
        path.unlink()
    with pytest.raises(DataProblem, match='All images are of the class "cross"'):
        train("resnet", root, recorder, tmp_path / "out")
