"""The Keras image classifiers learn, are resumed with the same losses, and their models answer."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainers.conftest import Recorder
from tests.trainers.keras_vision.conftest import Folders, Interrupted, curve, train
from tests.trainers.vision.conftest import KINDS, picture, png
from trainers import registry
from trainers.protocol import ModelProblem, Stopped, TrainerError


def test_a_small_network_is_trained_kept_and_answers(
    class_folders: Folders, recorder: Recorder, tmp_path: Path
) -> None:
    result = train("mobilenet", class_folders(10), recorder, tmp_path / "out", num_classes=3, random_state=2**32 - 1)
    assert (result.framework, result.task, result.device) == ("tensorflow", "image_classification", "cpu")
    assert result.backend in result.framework_version
    assert result.framework_version.startswith("keras 3.")
    assert {"train_loss", "learning_rate", "images_per_second", "memory_mb", "val_loss", "val_accuracy"} <= {
        name for _, values in recorder.points for name in values
    }
    assert recorder.fractions == sorted(recorder.fractions) and recorder.fractions[-1] == 1.0
    assert result.report["confusion_matrix"]["labels"] == list(KINDS)
    assert all((tmp_path / "out" / sample["file"]).exists() for sample in result.report["samples"])

    predictor = registry.load(tmp_path / "out")
    folder = tmp_path / "images" / "disc"
    answers = predictor.predict_input(folder, {"probability": True, "top_k": 2})
    assert len(answers) == 10
    assert [each["label"] for each in answers[0]["top_k"]][0] == answers[0]["label"]
    assert list(answers[0]["probabilities"]) == list(KINDS), "the third output was never seen, and is no answer"
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
    assert predictor.predict_input(folder / "0.png")[0]["score"] == pytest.approx(answers[0]["score"], abs=1e-5)

    model = tmp_path / "out" / "model.keras"
    model.write_bytes(model.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelProblem, match="is not the file"):
        registry.load(tmp_path / "out")


@pytest.mark.full
def test_small_images_are_brought_to_what_the_network_takes(
    class_folders: Folders, recorder: Recorder, tmp_path: Path
) -> None:
    train("inception", class_folders(3), recorder, tmp_path / "out", augment="none")
    assert "images of about 32 pixels are brought to 75" in recorder.text()
    assert registry.read_manifest(tmp_path / "out")["image_size"] == 75


@pytest.mark.full
@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("mobilenet", {"dropout_rate": 0.3, "augment": "strong"}),
        ("efficientnet", {"optimizer": "sgd", "class_weight": "balanced", "random_state": 2**32 - 1}),
    ],
)
@pytest.mark.parametrize("looks", [3, 9])  # in the first epoch; in the evaluation after the second
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(
    class_folders: Folders, tmp_path: Path, model_type: str, settings: dict[str, Any], looks: int
) -> None:
    data = class_folders(12)
    first = Interrupted(tmp_path / "parts", looks)
    with pytest.raises(Stopped):
        train(model_type, data, first, tmp_path / "b", epochs=3, **settings)
    second = Recorder(tmp_path / "parts")
    resumed = train(model_type, data, second, tmp_path / "c", epochs=3, **settings)
    whole = Recorder(tmp_path / "whole")
    uninterrupted = train(model_type, data, whole, tmp_path / "a", epochs=3, **settings)
    assert "resumed in epoch" in second.text()
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)
    assert resumed.metrics["log_loss"] == pytest.approx(uninterrupted.metrics["log_loss"], abs=1e-5)


@pytest.mark.full
def test_a_batch_that_does_not_fit_is_learnt_from_in_parts(
    class_folders: Folders, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.keras_vision import backend

    engine = backend.engine().Engine
    gradients = engine.gradients

    def with_little_memory(self: Any, part: Any) -> Any:
        if len(part["labels"]) > 4:
            raise MemoryError
        return gradients(self, part)

    monkeypatch.setattr(engine, "gradients", with_little_memory)
    data = class_folders(10)
    result = train("mobilenet", data, recorder, tmp_path / "out", batch_size=16)
    assert "16 images at once do not fit into memory; going on with 8" in recorder.text("WARN")
    assert "8 images at once do not fit into memory; going on with 4" in recorder.text("WARN")
    assert recorder.steps("train_loss") == [1]
    assert result.metrics["epochs"] == 1

    monkeypatch.setattr(engine, "gradients", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(TrainerError, match="not enough memory for 2 of the images"):
        train("mobilenet", data, Recorder(tmp_path / "other"), tmp_path / "none")


@pytest.mark.full
def test_a_training_that_diverges_says_so(class_folders: Folders, recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="has diverged. Use a lower learning_rate"):
        train(
            "mobilenet",
            class_folders(12),
            recorder,
            tmp_path / "out",
            epochs=50,
            learning_rate=10.0,
            optimizer="sgd",
            gradient_clip=None,
            warmup_ratio=0.0,
        )


@pytest.mark.full
def test_a_picture_that_is_none_is_refused(class_folders: Folders, recorder: Recorder, tmp_path: Path) -> None:
    train("mobilenet", class_folders(3), recorder, tmp_path / "out")
    predictor = registry.load(tmp_path / "out")
    (tmp_path / "wide.png").write_bytes(png(picture("disc", 5, side=90)))
    assert predictor.predict_input(tmp_path / "wide.png")[0]["label"] in KINDS
    with pytest.raises(TrainerError):
        predictor.predict_input("data:image/png;base64,AAAA")
