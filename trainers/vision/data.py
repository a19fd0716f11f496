"""From what a user has to labelled pixels in three parts: the same for every image classifier. Needs no framework."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.configs.vision import VisionConfig
from trainers.protocol import ConfigProblem, DataProblem, Reporter
from trainers.vision import pixels
from trainers.vision.augment import Augmentation
from trainers.vision.sources import Examples, counts, find

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
    classes = _classes(examples, config, reporter)
    found, grey = pixels.look(examples)
    size = max(config.image_size or found, smallest)
    if found < smallest and config.image_size is None:
        reporter.log("INFO", f"images of about {found} pixels are brought to {size}, the least that this network takes")
    decoded, readable = pixels.decode_all(examples, pixels.side_kept(size), folder, reporter, upto=upto)
    number_of = {name: number for number, name in enumerate(classes)}
    labels = np.array([number_of[label] for label in examples.labels], np.int64)
    train, val, test = _split(examples, labels, readable, config, seed)
    reporter.log(
        "INFO",
        f"{len(train)} images to learn from, {len(val)} held out, {len(classes)} classes, {size} x {size} pixels",
    )
    mirrors = not (grey and found <= pixels.SMALL)  # small and grey: digits, letters
    return ImageSet(examples, classes, decoded, labels, train, val, test, size, mirrors)


def names_of_outputs(classes: Sequence[str], outputs: int) -> list[str]:
    """A name for each output; those beyond the data's classes were never seen."""
    return [*classes, *(f"unused {number}" for number in range(len(classes), outputs))]


def class_weights(labels: np.ndarray, outputs: int) -> np.ndarray:
    """n / (classes * n of the class): each class counts as much as the others."""
    count = np.bincount(labels, minlength=outputs)
    return np.divide(len(labels), (count > 0).sum() * count, out=np.zeros(outputs), where=count > 0)


def fingerprint(config: VisionConfig, examples: Examples, *, seed: int, framework: str) -> str:
    """Of all that a checkpoint must have in common with the training that goes on with it."""
    digest = hashlib.blake2b(json.dumps([framework, seed, config.decides()], sort_keys=True).encode())
    for name, label in zip(examples.names, examples.labels, strict=True):
        digest.update(f"{name}\0{label}\0".encode())
    return digest.hexdigest()


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
    train = np.setdiff1d(readable, held_out)
    if not len(held_out) or len(train) < LEAST:
        raise DataProblem(f"{len(readable)} images are too few to learn from; give at least two of each class.")
    return train, held_out, held_out
