"""From what a user has to labelled pixels in three parts: the same for every image classifier. Needs no framework."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.configs.vision import VisionConfig
from trainers.deep.classes import in_order, split
from trainers.protocol import Reporter
from trainers.vision import pixels
from trainers.vision.augment import Augmentation
from trainers.vision.sources import Examples, find

LEAST = 2  # images to learn from: batch norms learn nothing from one


@dataclass(frozen=True)
class ImageSet:
    """Labelled images, decoded and split. The parts are places in `pixels` and `labels`."""

    examples: Examples
    classes: list[str]  # in the order of the outputs
    pixels: np.ndarray  # (n, side, side, 3) unsigned bytes
    labels: np.ndarray  # (n,) numbers of classes
    train: np.ndarray
    val: np.ndarray  # the best epoch is chosen by these
    test: np.ndarray  # scored at the end; the same as `val` where the data has no such part of its own
    size: int  # pixels that the network sees
    mirrors: bool  # whether a mirror image is taken to be of the same class

    def augmentation(self, config: VisionConfig) -> Augmentation:
        """As the config wants it."""
        return Augmentation(config.augment, self.mirrors if config.flip is None else config.flip, self.size)


def prepare(
    config: VisionConfig, path: Path, folder: Path, reporter: Reporter, *, seed: int, smallest: int, upto: float
) -> ImageSet:
    """Find, decode and split the images at `path`.

    The network sees at least `smallest` pixels; `folder` takes the decoded images where memory is too small for them;
    `upto` is where on the bar this ends.

    Raises TrainerError, Stopped.
    """
    examples = find(path, image_column=config.image_column, label_column=config.label_column)
    classes = in_order(examples.labels, num_classes=config.num_classes, unit="image", reporter=reporter)
    found, grey = pixels.look(examples)
    size = max(config.image_size or found, smallest)
    if found < smallest and config.image_size is None:
        reporter.log("INFO", f"images of about {found} pixels are brought to {size}, the least that this network takes")
    decoded, readable = pixels.decode_all(examples, pixels.side_kept(size), folder, reporter, upto=upto)
    number_of = {name: number for number, name in enumerate(classes)}
    labels = np.array([number_of[label] for label in examples.labels], np.int64)
    train, val, test = split(
        labels,
        np.array(examples.parts),
        readable,
        share=config.validation_split,
        seed=seed,
        least=LEAST,
        unit="image",
    )
    reporter.log(
        "INFO",
        f"{len(train)} images to learn from, {len(val)} held out, {len(classes)} classes, {size} x {size} pixels",
    )
    mirrors = not (grey and found <= pixels.SMALL)  # small and grey: digits, letters
    return ImageSet(examples, classes, decoded, labels, train, val, test, size, mirrors)


def fingerprint(config: VisionConfig, examples: Examples, *, seed: int, framework: str) -> str:
    """Of all that a checkpoint must have in common with the training that goes on with it."""
    digest = hashlib.blake2b(json.dumps([framework, seed, config.decides()], sort_keys=True).encode())
    for name, label in zip(examples.names, examples.labels, strict=True):
        digest.update(f"{name}\0{label}\0".encode())
    return digest.hexdigest()
