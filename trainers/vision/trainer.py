"""`resnet`, `vgg`, `alexnet`: image classification in plain torch."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.configs.vision import AlexNetConfig, ResNetConfig, VGGConfig, VisionConfig
from trainers.deep import device, scores, store
from trainers.deep.loop import END, fit
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Reporter, TrainResult
from trainers.vision import pixels
from trainers.vision.alexnet import AlexNet
from trainers.vision.augment import Augmentation
from trainers.vision.predictor import ImagePredictor
from trainers.vision.resnet import ResNet
from trainers.vision.sources import Examples, counts, find
from trainers.vision.vgg import VGG
from trainers.vision.weights import start_from
from trainers.vision.work import ImageWork

READ = 0.02  # of the bar
MODEL_TYPES: dict[type[VisionConfig], str] = {ResNetConfig: "resnet", VGGConfig: "vgg", AlexNetConfig: "alexnet"}


def train(config: VisionConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the images at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    seed = config.random_state if config.random_state is not None else secrets.randbelow(2**32)
    reporter.log("INFO", f"computes on {compute.name}, seed {seed}")

    # Data
    examples = find(data_path, image_column=config.image_column, label_column=config.label_column)
    classes = _classes(examples, config, reporter)
    size, grey = pixels.look(examples)
    size = max(config.image_size or size, 32 if isinstance(config, VGGConfig) else 28)
    images, readable = pixels.decode_all(examples, pixels.side_kept(size), out, reporter, upto=READ)
    labels = np.array([classes.index(label) for label in examples.labels], np.int64)
    train_places, val_places, test_places = _split(examples, labels, readable, config, seed)
    reporter.log(
        "INFO",
        f"{len(train_places)} images to learn from, {len(val_places)} held out, {len(classes)} classes, "
        f"{size} x {size} pixels",
    )

    # Model
    device.seed_everything(seed)
    small = size <= pixels.SMALL
    if small:
        reporter.log("INFO", "small images: the network's first layer keeps their size")
    outputs = config.num_classes or len(classes)
    model = build(architecture(config, outputs, small=small))
    if config.weights:
        start_from(model, Path(config.weights), reporter)

    # Loop
    flip = config.flip if config.flip is not None else not (grey and small)
    work = ImageWork(
        model=model,
        pixels=images,
        labels=labels,
        train=train_places,
        held_out=val_places,
        augmentation=Augmentation(config.augment, flip, size),
        class_weights=_class_weights(labels[train_places], outputs) if config.class_weight else None,
        label_smoothing=config.label_smoothing,
        seed=seed,
    )
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=_fingerprint(config, examples, seed))

    # Artefacts
    reporter.progress(END, "scoring the held-out images")
    probabilities = work.probabilities(model, compute, progress.part, test_places)
    metrics, report = scores.classification(labels[test_places], probabilities, _named(classes, outputs))
    metrics |= {
        "training_time": progress.seconds,
        "epochs": float(progress.epoch),
        "best_epoch": float(progress.best_epoch),
        "n_train": float(len(train_places)),
        "n_test": float(len(test_places)),
        "parameters": float(sum(each.numel() for each in model.parameters())),
    }
    manifest = {
        "model_type": MODEL_TYPES[type(config)],
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "backend": compute.backend,
        "device": compute.name,
        "task": "image_classification",
        "classes": list(_named(classes, outputs)),
        "image_size": size,
        "architecture": architecture(config, outputs, small=small),
        "config": config.model_dump(mode="json"),
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
    model = store.load(folder, manifest, build)
    return ImagePredictor(model, manifest["classes"], int(manifest["image_size"]), device.choose())


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


# --- Data ------------------------------------------------------------------------------------------------------------
def _classes(examples: Examples, config: VisionConfig, reporter: Reporter) -> list[str]:
    """The classes in the order of the outputs: numbers by their value, else names by the alphabet."""
    found = counts(examples.labels)
    if len(found) < 2:
        raise DataProblem(f'All images are of the class "{found[0][0]}"; give at least two classes.')
    if config.num_classes is not None and config.num_classes < len(found):
        sentence = f"is {config.num_classes}, but the data has {len(found)} classes."
        raise ConfigProblem(f"num_classes {sentence}", details={"num_classes": [sentence]})
    names = [name for name, _ in found]
    rare = [f"{name} ({count})" for name, count in found if count < 2]
    if rare:
        reporter.log("WARN", f"classes with one image only are learnt from, but not scored: {', '.join(rare[:20])}")
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def _named(classes: Sequence[str], outputs: int) -> list[str]:
    """A name for each output; those beyond the data's classes were never seen."""
    return [*classes, *(f"unused {number}" for number in range(len(classes), outputs))]


def _split(
    examples: Examples, labels: np.ndarray, readable: np.ndarray, config: VisionConfig, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places to learn from, to choose the best epoch by, and to score: the data's own parts, else a stratified draw."""
    part = np.array(examples.parts)[readable]
    named = {name: readable[part == name] for name in ("train", "val", "test")}
    if len(named["train"]) and (len(named["val"]) or len(named["test"])):
        held_out = named["val"] if len(named["val"]) else named["test"]
        return named["train"], held_out, named["test"] if len(named["test"]) else held_out
    random = np.random.default_rng(seed)
    held: list[int] = []
    for label in np.unique(labels[readable]):
        places = readable[labels[readable] == label]
        count = min(max(round(len(places) * config.validation_split), 1), len(places) - 1)
        held += random.permutation(places)[:count].tolist()
    held_out = np.sort(np.array(held, np.int64))
    train_places = np.setdiff1d(readable, held_out)
    if not len(held_out) or len(train_places) < ImageWork.least_part:
        raise DataProblem(f"{len(readable)} images are too few to learn from; give at least two of each class.")
    return train_places, held_out, held_out


def _class_weights(labels: np.ndarray, outputs: int) -> np.ndarray:
    """n / (classes * n of the class): each class counts as much as the others."""
    count = np.bincount(labels, minlength=outputs)
    return np.divide(len(labels), (count > 0).sum() * count, out=np.zeros(outputs), where=count > 0)


def _fingerprint(config: VisionConfig, examples: Examples, seed: int) -> str:
    digest = hashlib.blake2b(json.dumps([torch.__version__, seed, config.decides()], sort_keys=True).encode())
    for name, label in zip(examples.names, examples.labels, strict=True):
        digest.update(f"{name}\0{label}\0".encode())
    return digest.hexdigest()
