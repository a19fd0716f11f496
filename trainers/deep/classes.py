"""Classes and parts of labelled examples, the same for images and texts. numpy only."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from trainers.protocol import ConfigProblem, DataProblem, Reporter

# What a column or folder calls a part of the data -> the part.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    "test": "test",
}


def part_of_file(name: str) -> str:
    """The part that a file's name begins with, or "": train.csv, validation-00000-of-00001.parquet."""
    return PARTS.get(re.split(r"[-_.]", PurePosixPath(name).name.lower())[0], "")


def in_order(labels: Sequence[str], *, num_classes: int | None, unit: str, reporter: Reporter) -> list[str]:
    """The classes in the order of a model's outputs: numbers by their value, else names by the alphabet.

    `unit` is what the examples are, in the singular: "image".

    Raises:
        DataProblem: there is one class only.
        ConfigProblem: there are more than `num_classes`.
    """
    found = Counter(labels).most_common()
    if not found:
        raise DataProblem(f"There are no {unit}s to learn from.")
    if len(found) < 2:
        raise DataProblem(f'All {unit}s are of the class "{found[0][0]}"; give at least two classes.')
    if num_classes is not None and num_classes < len(found):
        sentence = f"is {num_classes}, but the data has {len(found)} classes."
        raise ConfigProblem(f"num_classes {sentence}", details={"num_classes": [sentence]})
    names = [name for name, _ in found]
    rare = [name for name, count in found if count < 2]
    if rare:
        reporter.log("WARN", f"classes with one {unit} only are learnt from, but not scored: {', '.join(rare[:20])}")
    # Python refuses to read numbers of thousands of digits.
    are_numbers = all(name.isdecimal() and len(name) < 100 for name in names)
    return sorted(names, key=int) if are_numbers else sorted(names)


def names_of_outputs(classes: Sequence[str], outputs: int) -> list[str]:
    """A name for each output; those beyond the data's classes were never seen."""
    return [*classes, *(f"unused {number}" for number in range(len(classes), outputs))]


def class_weights(labels: np.ndarray, outputs: int) -> np.ndarray:
    """n / (classes * n of the class): each class counts as much as the others."""
    count = np.bincount(labels, minlength=outputs)
    return np.divide(len(labels), (count > 0).sum() * count, out=np.zeros(outputs), where=count > 0)


def split(
    labels: np.ndarray, parts: np.ndarray, places: np.ndarray, *, share: float, seed: int, least: int, unit: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places to learn from, to choose the best epoch by, and to score: the data's own parts, else a stratified draw.

    `labels` (class numbers) and `parts` are of all examples, `places` those that can be used; `share` is held out, at
    least `least` are needed to learn from. What is in no part is learnt from. Where the data has no test part, the last
    two are the same; where it has no other held-out part, one is drawn: a test part that chose the epoch proves little.

    Raises:
        DataProblem: there are too few.
    """
    part = parts[places]
    val, test = places[part == "val"], places[part == "test"]
    train = places[(part != "val") & (part != "test")]
    if len(train) < least:  # nothing to learn from is marked as such
        train, val, test = places, val[:0], test[:0]
    if not len(val):
        train, val = _drawn(labels, train, share=share, seed=seed)
    if not len(val):
        val = test  # one example of each class
    if not len(val) or len(train) < least:
        raise DataProblem(f"{len(places)} {unit}s are too few to learn from; give at least two of each class.")
    return train, val, test if len(test) else val


def _drawn(labels: np.ndarray, places: np.ndarray, *, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(the others, some of each class that has two or more), both sorted."""
    random = np.random.default_rng(seed)
    held: list[int] = []
    for label in np.unique(labels[places]):
        own = places[labels[places] == label]
        count = min(max(round(len(own) * share), 1), len(own) - 1)
        held += random.permutation(own)[:count].tolist()
    held_out = np.sort(np.array(held, np.int64))
    return np.setdiff1d(places, held_out), held_out
