"""Which trainers there are, and the three doors to them: `check_config`, `train`, `load`.

The numeric libraries are imported behind `train` and `load` only.
"""

import difflib
import importlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainers.configs.checks import check, from_text
from trainers.configs.deep import DeepConfig
from trainers.configs.huggingface import BertConfig, config_of
from trainers.configs.keras_vision import EfficientNetConfig, InceptionConfig, MobileNetConfig
from trainers.configs.logistic_regression import LogisticRegressionConfig
from trainers.configs.noop import NoopConfig
from trainers.configs.random_forest import RandomForestConfig
from trainers.configs.svm import SVMConfig
from trainers.configs.text import GPTConfig, TransformerConfig
from trainers.configs.vision import AlexNetConfig, ResNetConfig, VGGConfig
from trainers.deep import launch
from trainers.protocol import ModelProblem, Predictor, Reporter, TrainerError, TrainResult

MANIFEST = "model.json"
MANIFEST_BYTES = 16 * 1024 * 1024
# What can be the name of an architecture. Whether there is one knows the worker that has the library.
_ARCHITECTURE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
MISSPELT = 0.9  # likeness to one of our names; no architecture's name is as near to one


@dataclass(frozen=True)
class TrainerInfo:
    """One kind of model. `module` is imported by `train` and has `train(config, data_path, out, reporter)`."""

    name: str
    framework: str
    title: str
    description: str
    config: type[BaseModel]
    module: str


class UnknownTrainer(TrainerError):
    """No trainer of that name; the message names the nearest."""


TRAINERS: dict[str, TrainerInfo] = {
    info.name: info
    for info in (
        TrainerInfo(
            name="random_forest",
            framework="sklearn",
            title="Random forest",
            description="Many decision trees that vote. Strong on tables untuned; classification and regression.",
            config=RandomForestConfig,
            module="trainers.random_forest",
        ),
        TrainerInfo(
            name="svm",
            framework="sklearn",
            title="Support vector machine",
            description="Kernel machine for tables of up to some 10,000 rows; classification and regression.",
            config=SVMConfig,
            module="trainers.svm",
        ),
        TrainerInfo(
            name="logistic_regression",
            framework="sklearn",
            title="Logistic regression",
            description="Linear classifier with probabilities: fast, and can be read. Classification only.",
            config=LogisticRegressionConfig,
            module="trainers.logistic_regression",
        ),
        TrainerInfo(
            name="resnet",
            framework="pytorch",
            title="ResNet",
            description="Residual network for images: the first choice for photos and small pictures alike.",
            config=ResNetConfig,
            module="trainers.vision.trainer",
        ),
        TrainerInfo(
            name="vgg",
            framework="pytorch",
            title="VGG",
            description="Plain deep convolutional network for images: large, simple, slow.",
            config=VGGConfig,
            module="trainers.vision.trainer",
        ),
        TrainerInfo(
            name="alexnet",
            framework="pytorch",
            title="AlexNet",
            description="The classic small convolutional network for images: fast.",
            config=AlexNetConfig,
            module="trainers.vision.trainer",
        ),
        TrainerInfo(
            name="bert",
            framework="pytorch",
            title="BERT",
            description="Classes of texts: from nothing, or from weights that have read a lot already.",
            config=BertConfig,
            module="trainers.huggingface.trainer",
        ),
        TrainerInfo(
            name="inception",
            framework="tensorflow",
            title="Inception v3",
            description="Convolutional network with branches of several sizes, for images of at least 75 pixels.",
            config=InceptionConfig,
            module="trainers.keras_vision.trainer",
        ),
        TrainerInfo(
            name="mobilenet",
            framework="tensorflow",
            title="MobileNetV3",
            description="Small, fast network for images, made for phones; small and large.",
            config=MobileNetConfig,
            module="trainers.keras_vision.trainer",
        ),
        TrainerInfo(
            name="efficientnet",
            framework="tensorflow",
            title="EfficientNet",
            description="Network for images in sizes from small to very large, EfficientNet-B0 to -B7 and V2.",
            config=EfficientNetConfig,
            module="trainers.keras_vision.trainer",
        ),
        TrainerInfo(
            name="gpt",
            framework="pytorch",
            title="GPT",
            description="Language model in GPT-2's shape, trained from nothing on your text; goes on with a prompt.",
            config=GPTConfig,
            module="trainers.text.language",
        ),
        TrainerInfo(
            name="transformer",
            framework="pytorch",
            title="Transformer",
            description="Language model in Llama's shape, trained from nothing on your text; goes on with a prompt.",
            config=TransformerConfig,
            module="trainers.text.language",
        ),
        TrainerInfo(
            name="noop",
            framework="sklearn",
            title="No operation",
            description="Reads nothing and learns nothing: measures what a job costs before it does any work.",
            config=NoopConfig,
            module="trainers.noop",
        ),
    )
}

# For recovery tests: the sleeper can kill its own process. "only" leaves the others out, and with them the time that a
# worker takes to import their frameworks.
_TEST_TRAINERS = os.environ.get("AUTOML_TEST_TRAINERS")
LOOKS_UP = _TEST_TRAINERS != "only"
if _TEST_TRAINERS in ("1", "only"):
    from trainers.testing import SleeperConfig

    if _TEST_TRAINERS == "only":
        TRAINERS.clear()
    TRAINERS["sleeper"] = TrainerInfo(
        name="sleeper",
        framework="sklearn",
        title="Sleeper",
        description="Takes a stated time in stated steps, and misbehaves on demand.",
        config=SleeperConfig,
        module="trainers.testing",
    )


def get(model_type: str) -> TrainerInfo:
    """The trainer of that name; of any other name the one that looks it up among Hugging Face's architectures.

    Raises:
        UnknownTrainer: it can be no name, or is one of ours but for a letter; the message names the nearest ones.
    """
    if isinstance(model_type, str) and model_type in TRAINERS:
        return TRAINERS[model_type]
    asked = str(model_type)[:100]
    misspelt = difflib.get_close_matches(asked.lower(), TRAINERS, n=1, cutoff=MISSPELT)
    if LOOKS_UP and isinstance(model_type, str) and _ARCHITECTURE.fullmatch(model_type) and not misspelt:
        return _architecture(model_type)
    near = misspelt or difflib.get_close_matches(asked.lower(), TRAINERS, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(sorted(TRAINERS))}."
    raise UnknownTrainer(f'There is no model type "{asked}". {hint}', details={"model_type": asked, "nearest": near})


def _architecture(name: str) -> TrainerInfo:
    return TrainerInfo(
        name=name,
        framework="pytorch",
        title=name,
        description="An architecture of Hugging Face transformers; what it learns, the data says.",
        config=config_of(name),
        module="trainers.huggingface.trainer",
    )


def check_config(model_type: str, hyperparameters: Mapping[str, Any] | None) -> BaseModel:
    """The config that these hyperparameters make.

    Raises UnknownTrainer, or ConfigProblem whose details are {field: [sentences]} with every problem found.
    """
    return check(get(model_type).config, hyperparameters or {})


def config_from_text(model_type: str, fields: Mapping[str, str]) -> BaseModel:
    """As `check_config`, for text as a form or a shell gives it ("200", "sqrt"); an empty text means the default."""
    config = get(model_type).config
    return check(config, from_text(config, fields))


def train(
    model_type: str,
    config: BaseModel | Mapping[str, Any],
    data_path: Path,
    out: Path,
    reporter: Reporter,
    *,
    resume_from: Path | None = None,
) -> TrainResult:
    """Train a model from a file (or folder of files) into the folder `out`.

    Resumes from what `reporter.checkpoint()` holds; `resume_from` is another folder to seed it from, where it is empty.
    Raises TrainerError for foreseen failures, Stopped when it was asked to stop.
    """
    info = get(model_type)
    checked = config if isinstance(config, info.config) else check_config(model_type, _as_mapping(config))
    if resume_from is not None and resume_from.is_dir() and not any(reporter.checkpoint().iterdir()):
        shutil.copytree(resume_from, reporter.checkpoint(), dirs_exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if info.framework == "pytorch" and isinstance(checked, DeepConfig) and launch.is_wanted(checked):
        return launch.train(model_type, checked, Path(data_path), Path(out), reporter)
    trainer = importlib.import_module(info.module)
    result: TrainResult = trainer.train(checked, Path(data_path), Path(out), reporter)
    return result


def load(folder: Path) -> Predictor:
    """The model in that folder, ready to predict. Raises ModelProblem when it is damaged or not one of ours."""
    manifest = read_manifest(folder)
    try:
        info = get(manifest.get("model_type", ""))
    except UnknownTrainer as error:
        shown = str(manifest.get("model_type"))[:100]
        raise ModelProblem(f"The model's manifest names an unknown model type: {shown!r}.") from error
    trainer = importlib.import_module(info.module)
    predictor: Predictor = trainer.load(Path(folder), manifest)
    return predictor


def read_manifest(folder: Path) -> dict[str, Any]:
    """`model.json` of that folder, as it was written. Raises ModelProblem."""
    path = Path(folder) / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise ModelProblem(f"The model's manifest is larger than {MANIFEST_BYTES} bytes.")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelProblem("There is no model here: model.json is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelProblem(f"The model's manifest cannot be read: {type(error).__name__}.") from error
    if not isinstance(manifest, dict):
        raise ModelProblem("The model's manifest is not a JSON object.")
    return manifest


def _as_mapping(config: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    return config.model_dump() if isinstance(config, BaseModel) else config
