"""The same classifiers on real TensorFlow, where there is no PyTorch; each backend reads the other's models.

By the interpreter of `scripts/setup.sh tensorflow`, or the one that TENSORFLOW_TEST_PYTHON names.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.conftest import Recorder
from tests.trainers.keras_vision.conftest import Folders, train
from trainers import registry

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = ROOT / ".venv-tf" / "bin" / "python"


@pytest.fixture(scope="module")
def python() -> str:
    chosen = os.environ.get("TENSORFLOW_TEST_PYTHON") or str(INSTALLED)
    if not Path(chosen).exists():
        pytest.skip("TensorFlow is not installed; `scripts/setup.sh tensorflow` installs it")
    return chosen


def run(python: str, *arguments: str) -> str:
    """`python -m trainers …` with TensorFlow; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [python, "-m", "trainers", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def answers_of(python: str, model: Path, data: Path) -> list[dict[str, Any]]:
    lines = run(python, "predict", str(model), "--data", str(data), "--set", "probability=true").splitlines()
    return [json.loads(line) for line in lines]


def assert_alike(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    assert len(first) == len(second) > 1
    for one, other in zip(first, second, strict=True):
        assert one["image"] == other["image"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)


@pytest.mark.parametrize("model_type", ["mobilenet", "efficientnet", "inception"])
def test_tensorflow_trains_and_pytorch_serves(
    python: str, class_folders: Folders, tmp_path: Path, model_type: str
) -> None:
    data, out = class_folders(30), tmp_path / "out"
    settings = ["epochs=2", "batch_size=8", "learning_rate=0.002", "label_smoothing=0.1", "class_weight=balanced"]
    settings += ["variant=small"] if model_type == "mobilenet" else []
    told = run(
        python, model_type, "--data", str(data), "--out", str(out), *(f"--set={setting}" for setting in settings)
    )
    assert "epoch 2 of 2" in told
    manifest = registry.read_manifest(out)
    assert manifest["backend"] == "tensorflow"
    assert ", tensorflow 2." in manifest["framework_version"]
    assert "torch" not in subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True).stdout
    ours = registry.load(out).predict_input(data / "disc", {"probability": True})
    assert_alike(ours, answers_of(python, out, data / "disc"))


def test_pytorch_trains_and_tensorflow_serves(
    python: str, class_folders: Folders, recorder: Recorder, tmp_path: Path
) -> None:
    data, out = class_folders(12), tmp_path / "out"
    assert train("mobilenet", data, recorder, out).backend == "torch"
    ours = registry.load(out).predict_input(data / "cross", {"probability": True})
    assert_alike(ours, answers_of(python, out, data / "cross"))


def test_a_training_on_tensorflow_goes_on_from_its_checkpoint(
    python: str, class_folders: Folders, tmp_path: Path
) -> None:
    data, checkpoint = class_folders(12), tmp_path / "checkpoint"
    arguments = ["mobilenet", "--data", str(data), "--checkpoint", str(checkpoint), "--set=variant=small"]
    arguments += ["--set=batch_size=8", "--out", str(tmp_path / "out"), "--set=epochs=2"]
    first = run(python, *arguments)
    again = run(python, *arguments)
    assert "resumed in epoch 3 after step 6 of 6" in again

    def metrics(told: str) -> dict[str, str]:
        return {line.split()[0]: line.split()[1] for line in told.splitlines()[-25:] if len(line.split()) == 2}

    assert metrics(first)["log_loss"] == metrics(again)["log_loss"]
