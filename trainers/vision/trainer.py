"""`resnet`, `vgg`, `alexnet`: image classification in plain torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainers.configs.vision import AlexNetConfig, ResNetConfig, VGGConfig, VisionConfig
from trainers.deep import device, scores, store
from trainers.deep.loop import fit, stoppable
from trainers.deep.progress import BEGIN, END
from trainers.deep.seed import seed_of
from trainers.protocol import ModelProblem, Reporter, TrainResult
from trainers.vision import samples
from trainers.vision.alexnet import AlexNet
from trainers.vision.data import fingerprint, prepare
from trainers.vision.pixels import SMALL
from trainers.vision.predictor import ImagePredictor
from trainers.vision.resnet import ResNet
from trainers.vision.vgg import VGG
from trainers.vision.weights import start_from
from trainers.vision.work import ImageWork, predictor

MODEL_TYPES: dict[type[VisionConfig], str] = {ResNetConfig: "resnet", VGGConfig: "vgg", AlexNetConfig: "alexnet"}


def train(config: VisionConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the images at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    seed = seed_of(config.random_state, reporter)
    reporter.log("INFO", f"computes on {compute.name}, seed {seed}")

    # Data
    smallest = 32 if isinstance(config, VGGConfig) else 28
    images = prepare(config, data_path, out, reporter, seed=seed, smallest=smallest, upto=BEGIN)

    # Model
    device.seed_everything(seed)
    small = images.size <= SMALL
    if small:
        reporter.log("INFO", "small images: the network's first layer keeps their size")
    outputs = config.num_classes or len(images.classes)
    model = build(architecture(config, outputs, small=small))
    if config.weights:
        start_from(model, Path(config.weights), reporter)

    # Loop
    work = ImageWork.of(images, model, config, outputs=outputs, seed=seed)
    mark = fingerprint(config, images.examples, seed=seed, framework=torch.__version__)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "scoring the held-out images")
    with stoppable(model, reporter):
        probabilities = work.probabilities(model, compute, progress.part, images.test)
    metrics, report = scores.classification(images.labels[images.test], probabilities, images.classes)
    report["samples"] = samples.save(out, images, probabilities, images.classes)
    parameters = sum(each.numel() for each in model.parameters())
    metrics |= progress.metrics(n_train=len(images.train), n_test=len(images.test), parameters=parameters)
    manifest = {
        "model_type": MODEL_TYPES[type(config)],
        **compute.ran,
        "task": "image_classification",
        "classes": images.classes,
        "image_size": images.size,
        "architecture": architecture(config, outputs, small=small),
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    store.save(out, manifest, model)
    reporter.metrics(metrics)
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        **compute.ran,
        task="image_classification",
        report=report,
        columns=ImagePredictor.columns,
        target="class",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> ImagePredictor:
    """The model that `train` saved. Raises ModelProblem."""
    compute = device.choose()
    model = store.load(folder, manifest, build).to(compute.device)
    return predictor(model, manifest, compute)


# --- Model -----------------------------------------------------------------------------------------------------------
def architecture(config: VisionConfig, outputs: int, *, small: bool) -> dict[str, Any]:
    """What `build` needs, as the manifest keeps it."""
    kept: dict[str, Any] = {"name": MODEL_TYPES[type(config)], "outputs": outputs, "small": small}
    for name in ("depth", "batch_norm", "dropout_rate"):
        if hasattr(config, name):
            kept[name] = getattr(config, name)
    return kept


def build(kept: Mapping[str, Any]) -> nn.Module:
    """A network with new weights."""
    name, outputs, small, dropout = kept["name"], kept["outputs"], kept["small"], kept["dropout_rate"]
    if name == "resnet":
        return ResNet(kept["depth"], outputs, small=small, dropout=dropout)
    if name == "vgg":
        return VGG(kept["depth"], outputs, small=small, batch_norm=kept["batch_norm"], dropout=dropout)
    if name == "alexnet":
        return AlexNet(outputs, small=small, dropout=dropout)
    raise ModelProblem(f"There is no network {str(name)[:50]!r}.")
