"""`inception`, `mobilenet`, `efficientnet`: image classification with `keras.applications`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainers.configs.keras_vision import EfficientNetConfig, InceptionConfig, KerasVisionConfig, MobileNetConfig
from trainers.deep import manifest as manifests
from trainers.deep import scores
from trainers.deep.progress import BEGIN, END
from trainers.deep.seed import seed_of
from trainers.keras_vision import backend, networks
from trainers.keras_vision.backend import keras
from trainers.keras_vision.loop import fit, logits_of, probabilities, steps_of
from trainers.keras_vision.weights import start_from
from trainers.protocol import ModelProblem, Reporter, TrainResult
from trainers.vision import samples
from trainers.vision.augment import middle
from trainers.vision.data import fingerprint, prepare
from trainers.vision.predictor import ImagePredictor

MODEL = "model.keras"
MODEL_TYPES: dict[type[KerasVisionConfig], str] = {
    InceptionConfig: "inception",
    MobileNetConfig: "mobilenet",
    EfficientNetConfig: "efficientnet",
}


def train(config: KerasVisionConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the images at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = backend.choose(config.device, config.precision)
    seed = seed_of(config.random_state, reporter)
    reporter.log("INFO", f"computes on {compute.name} with {backend.version()}, seed {seed}")
    with compute.scope():
        return _train(config, data_path, out, reporter, compute, seed)


def _train(
    config: KerasVisionConfig, data_path: Path, out: Path, reporter: Reporter, compute: backend.Compute, seed: int
) -> TrainResult:
    # Data
    name = MODEL_TYPES[type(config)]
    images = prepare(config, data_path, out, reporter, seed=seed, smallest=networks.SMALLEST[name], upto=BEGIN)

    # Model
    keras.utils.set_random_seed(seed)
    architecture = {
        "name": name,
        "variant": getattr(config, "variant", None),
        "outputs": config.num_classes or len(images.classes),
        "image_size": images.size,
        "dropout_rate": config.dropout_rate,
    }
    model = networks.build(architecture, policy=compute.policy, seed=seed)
    networks.shorten_memories(model, steps_of(images, config))
    if config.weights:
        start_from(model, Path(config.weights), reporter)

    # Loop
    mark = fingerprint(config, images.examples, seed=seed, framework=backend.version())
    progress = fit(model, images, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "scoring the held-out images")
    found = probabilities(model, images, images.test, batch_size=progress.part, reporter=reporter)
    metrics, report = scores.classification(images.labels[images.test], found, images.classes)
    report["samples"] = samples.save(out, images, found, images.classes)
    metrics |= progress.metrics(n_train=len(images.train), n_test=len(images.test), parameters=model.count_params())
    manifest = {
        "model_type": name,
        **compute.ran,
        "task": "image_classification",
        "classes": images.classes,
        "image_size": images.size,
        "architecture": architecture,
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    if compute.policy != "float32":
        model = _as_float32(model, architecture)
    model.save(out / MODEL)
    manifests.seal(out, manifest, [MODEL])
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
    """The model that `train` saved, on this machine's backend, whichever wrote it. Raises ModelProblem."""
    manifests.verify(folder, manifest)
    compute = backend.choose()
    try:
        size, classes = int(manifest["image_size"]), [str(name) for name in manifest["classes"]]
        with compute.scope():
            model = keras.saving.load_model(folder / MODEL, compile=False, safe_mode=True)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelProblem(
            f"The model, written by {str(manifest.get('framework_version'))[:40]}, cannot be read by "
            f"{backend.version()}."
        ) from error

    def logits(pixels: np.ndarray) -> np.ndarray:
        with compute.scope():
            return logits_of(model, middle(pixels, size))[:, : len(classes)]

    return ImagePredictor(logits, classes, size)


def _as_float32(model: Any, architecture: Mapping[str, Any]) -> Any:
    """The same weights in layers that any machine computes fast."""
    plain = networks.build(architecture)
    plain.set_weights(model.get_weights())
    return plain
