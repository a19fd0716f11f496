"""Trainers of networks on the oldest versions of PyTorch that a queue promises.

By the interpreters of `scripts/setup.sh torch-2.1` and `torch-2.0`, where these are installed.
"""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.trainers.huggingface.conftest import TINY
from tests.trainers.huggingface.conftest import few_mails as few_mails
from tests.trainers.vision.conftest import class_folders as class_folders
from trainers import registry

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
SMALL_IMAGES = {"epochs": 3, "batch_size": 8, "depth": 18, "learning_rate": 0.001, "augment": "none"}


@pytest.fixture(params=["2.1", "2.0"])
def version(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not interpreter(name).exists():
        pytest.skip(f"PyTorch {name} is not installed; `scripts/setup.sh torch-{name}` installs it")
    return name


def interpreter(version: str) -> Path:
    return ROOT / f".venv-torch-{version}" / "bin" / "python"


def run(version: str, *arguments: str | Path) -> str:
    """`python -m trainers …` with that PyTorch; what it printed."""
    done = subprocess.run(
        [interpreter(version), "-m", "trainers", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def train(version: str, model_type: str, data: Path, out: Path, settings: Mapping[str, object]) -> str:
    options = [f"--set={name}={value}" for name, value in settings.items()]
    return run(version, model_type, "--data", data, "--out", out, *options)


def framework_version(model: Path) -> str:
    return str(registry.read_manifest(model)["framework_version"])


def test_images_are_learnt_and_told_apart(version: str, class_folders: Callable[..., Path], tmp_path: Path) -> None:
    data, out = class_folders(24), tmp_path / "out"
    train(version, "resnet", data, out, SMALL_IMAGES)
    assert framework_version(out).startswith(f"{version}.")
    told = [json.loads(line) for line in run(version, "predict", out, "--data", data / "disc").splitlines()]
    assert len(told) == 24
    assert {answer["label"] for answer in told} <= {"cross", "disc"}
    ours = registry.load(out).predict_input(data / "disc", {})
    assert [answer["score"] for answer in told] == pytest.approx([answer["score"] for answer in ours], abs=1e-3)


@pytest.mark.parametrize("model_type", ["bert", "gpt", "distilbert"])
def test_texts_are_learnt_and_answered(version: str, few_mails: Path, tmp_path: Path, model_type: str) -> None:
    out, asked = tmp_path / "out", tmp_path / "asked.txt"
    asked.write_text("Dear friend, you have won\n")
    train(version, model_type, few_mails, out, TINY)
    assert framework_version(out).startswith(f"{version}.")
    (answer,) = (json.loads(line) for line in run(version, "predict", out, "--data", asked).splitlines())
    assert answer["text"] if model_type == "gpt" else answer["label"] in ("ham", "spam")
