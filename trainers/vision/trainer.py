"""`resnet`, `vgg`, `alexnet`: image classification in plain torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.configs.vision import AlexNetConfig, ResNetConfig, VGGConfig, VisionConfig
from trainers.deep import device, scores, store
from trainers.deep.classes import class_weights
from trainers.deep.loop import fit, stoppable
from trainers.deep.progress import END
from trainers.deep.seed import seed_of
from trainers.protocol import ModelProblem, Reporter, TrainResult
from trainers.vision import samples
from trainers.vision.alexnet import AlexNet
from trainers.vision.augment import middle
from trainers.vision.data import fingerprint, prepare
from trainers.vision.pixels import SMALL
from trainers.vision.predictor import ImagePredictor
from trainers.vision.resnet import ResNet
from trainers.vision.vgg import VGG
from trainers.vision.weights import start_from
from trainers.vision.work import ImageWork, channels_first, normalised

READ = 0.02  # of the bar
MODEL_TYPES: dict[type[VisionConfig], str] = {ResNetConfig: "resnet", VGGConfig: "vgg", AlexNetConfig: "alexnet"}


def train(config: VisionConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the images at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    seed = seed_of(config.random_state, reporter)
    reporter.log("INFO", f"computes on {compute.name}, seed {seed}")

    # Data
    smallest = 32 if isinstance(config, VGGConfig) else 28
    images = prepare(config, data_path, out, reporter, seed=seed, smallest=smallest, upto=READ)

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
    work = ImageWork(
        model=model,
        pixels=images.pixels,
        labels=images.labels,
        train=images.train,
        held_out=images.val,
        augmentation=images.augmentation(config),
        class_weights=class_weights(images.labels[images.train], outputs) if config.class_weight else None,
        label_smoothing=config.label_smoothing,
        seed=seed,
        known=len(images.classes),
    )
    mark = fingerprint(config, images.examples, seed=seed, framework=torch.__version__)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "scoring the held-out images")
    with stoppable(model, reporter):
        probabilities = work.probabilities(model, compute, progress.part, images.test)
    metrics, report = scores.classification(images.labels[images.test], probabilities, images.classes)
    report["samples"] = samples.save(out, images, probabilities, images.classes)
    metrics |= {
        "training_time": progress.seconds,
        "epochs": float(progress.epoch),
        "best_epoch": float(progress.best_epoch),
        "n_train": float(len(images.train)),
        "n_test": float(len(images.test)),
        "parameters": float(sum(each.numel() for each in model.parameters())),
    }
    manifest = {
        "model_type": MODEL_TYPES[type(config)],
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "backend": compute.backend,
        "device": compute.name,
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
        framework="pytorch",
        framework_version=torch.__version__,
        backend=compute.backend,
        device=compute.name,
        task="image_classification",
        report=report,
        columns=[{"name": "image", "kind": "image"}],
        target="class",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> ImagePredictor:
    """The model that `train` saved. Raises ModelProblem."""
    compute = device.choose()
    model = store.load(folder, manifest, build).to(compute.device)
    try:
        size, classes = int(manifest["image_size"]), [str(name) for name in manifest["classes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelProblem("The model's manifest is damaged.") from error

    def logits(images: np.ndarray) -> np.ndarray:
        batch = channels_first(middle(images, size)).to(compute.device)
        with torch.inference_mode(), compute.autocast():
            found: np.ndarray = model(normalised(batch))[:, : len(classes)].float().cpu().numpy()
        return found

    return ImagePredictor(logits, classes, size)


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
