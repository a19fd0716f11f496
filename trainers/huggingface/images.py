"""Classes of images, by an architecture of transformers (vit, convnext, swin), on the pixels of `trainers.vision`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from trainers.configs.checks import check
from trainers.configs.huggingface import ArchitectureConfig
from trainers.configs.vision import VisionConfig
from trainers.deep import device, scores
from trainers.deep.classes import names_of_outputs
from trainers.deep.loop import fit, stoppable
from trainers.deep.progress import BEGIN, END
from trainers.huggingface import networks
from trainers.huggingface.architectures import fields_of, make_config
from trainers.huggingface.bases import base_config, base_folder
from trainers.protocol import Reporter, TrainResult
from trainers.vision import pixels, samples
from trainers.vision.data import fingerprint, prepare
from trainers.vision.predictor import ImagePredictor
from trainers.vision.sources import find
from trainers.vision.work import ImageWork, predictor

SMALLEST = 28  # pixels
PATCH = 16  # pixels, where the architecture has patches and its config does not say of how many


def train(config: ArchitectureConfig, data_path: Path, out: Path, reporter: Reporter, *, seed: int) -> TrainResult:
    """Train on the images at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    name = config.architecture

    # Data
    folder = base_folder(config) if config.base_model else None
    base = base_config(folder, config) if folder else None
    asked = _vision_config(config, data_path, base)
    images = prepare(asked, data_path, out, reporter, seed=seed, smallest=SMALLEST, upto=BEGIN)
    classes, outputs = images.classes, config.num_classes or len(images.classes)

    # Model
    device.seed_everything(seed)
    named = names_of_outputs(classes, outputs)
    names = {"id2label": dict(enumerate(named)), "label2id": {each: number for number, each in enumerate(named)}}
    if folder is not None and base is not None:
        base.update(names)
        network = networks.from_weights("image_classification", folder, base, str(config.base_model))
        reporter.log("INFO", f"starts from the weights of {folder.name}")
    else:
        network = networks.new("image_classification", make_config(config, **names, image_size=images.size), compute)
    networks.try_out(network, name, {"pixel_values": torch.zeros(1, 3, images.size, images.size)})
    parameters = networks.parameters_of(network)
    reporter.log("INFO", f"{parameters:,} parameters")
    model = _Logits(network)

    # Loop
    device.seed_everything(seed)
    work = ImageWork.of(images, model, asked, outputs=outputs, seed=seed)
    versions = f"{torch.__version__} {transformers.__version__} {name} {config.decides()}"
    mark = fingerprint(asked, images.examples, seed=seed, framework=versions)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "scoring the held-out images")
    with stoppable(model, reporter):
        probabilities = work.probabilities(model, compute, progress.part, images.test)
    metrics, report = scores.classification(images.labels[images.test], probabilities, classes)
    metrics |= progress.metrics(n_train=len(images.train), n_test=len(images.test), parameters=parameters)
    manifest = {
        "model_type": name,
        **compute.ran,
        "transformers_version": transformers.__version__,
        "task": "image_classification",
        "classes": classes,
        "image_size": images.size,
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    networks.save(out, manifest, network)
    report["samples"] = samples.save(out, images, probabilities, classes)
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
    network = networks.load(folder, manifest, "image_classification").to(compute.device)
    return predictor(_Logits(network), manifest, compute)


class _Logits(nn.Module):
    """(n, 3, size, size) -> (n, outputs), of a network that answers more than that."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(pixel_values=images).logits
        return found


def _vision_config(config: ArchitectureConfig, data_path: Path, base: Any) -> VisionConfig:
    """What `trainers.vision` needs to know, the size being one that the architecture can divide into its patches.

    Raises ConfigProblem: such a size is none that is taken.
    """
    shared = set(VisionConfig.model_fields) & set(type(config).model_fields)
    fields = {name: getattr(config, name) for name in shared}
    if base is not None and isinstance(getattr(base, "image_size", None), int):
        fields["image_size"] = base.image_size
    elif "patch_size" in fields_of(config.architecture):
        patch = config.own_fields().get("patch_size", PATCH)
        size = (
            config.image_size
            or pixels.look(find(data_path, image_column=config.image_column, label_column=config.label_column))[0]
        )
        if isinstance(patch, int) and patch > 0:
            fields["image_size"] = max(-(-size // patch) * patch, -(-SMALLEST // patch) * patch)
    return check(VisionConfig, fields)
