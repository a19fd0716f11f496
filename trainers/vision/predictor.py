"""Answers for images, with a loaded model of any framework."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainers.protocol import DataProblem, Task, temperature_of
from trainers.vision.pixels import Unreadable, decode, side_kept
from trainers.vision.sources import unlabelled
from trainers.vision.trees import MAX_IMAGE_BYTES

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
BATCH = 32
MAX_IMAGES = 10_000  # of one input


class ImagePredictor:
    """Predicts the class of images: a file, a folder or zip of them, data URIs, base64, or {"image": …} rows."""

    task: Task = "image_classification"
    columns = [{"name": "image", "kind": "image"}]

    def __init__(self, logits: Callable[[np.ndarray], np.ndarray], classes: Sequence[str], size: int) -> None:
        """`logits`: (n, side, side, 3) unsigned bytes, the side being `side_kept(size)`, -> (n, classes)."""
        self.logits, self.classes, self.size = logits, list(classes), size

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One prediction an image: {"label", "score"[, "probabilities"][, "top_k"][, "image"]}.

        Raises:
            DataProblem: something is no image; the message says which. Or there are too many.
        """
        asked = dict(parameters or {})
        named = _images(input_data)
        if not named:
            raise DataProblem("There are no images to predict on.")
        if len(named) > MAX_IMAGES:
            raise DataProblem(f"There are {len(named):,} images; at most {MAX_IMAGES:,} are taken at once.")
        answers: list[dict[str, Any]] = []
        for begin in range(0, len(named), BATCH):
            part = named[begin : begin + BATCH]
            pixels = np.stack([self._pixels(each) for each in part])
            for each, row in zip(part, self._probabilities(pixels, asked), strict=True):
                answers.append(({"image": each.name} if len(named) > 1 else {}) | self._answer(row, asked))
        return answers

    def _pixels(self, image: "_Image") -> np.ndarray:
        try:
            return decode(image.read(), side_kept(self.size))
        except (OSError, Unreadable) as error:
            raise DataProblem(f"{image.name} is no image that can be read.", details={"image": image.name}) from error

    def _probabilities(self, pixels: np.ndarray, asked: Mapping[str, Any]) -> np.ndarray:
        scaled = self.logits(pixels).astype(np.float64) / temperature_of(asked)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _answer(self, row: np.ndarray, asked: Mapping[str, Any]) -> dict[str, Any]:
        best = int(row.argmax())
        answer: dict[str, Any] = {"label": self.classes[best], "score": float(row[best])}
        threshold = asked.get("confidence_threshold")
        if threshold is not None and answer["score"] < threshold:
            answer["label"] = None
        if asked.get("probability"):
            answer["probabilities"] = {name: float(value) for name, value in zip(self.classes, row, strict=True)}
        if asked.get("top_k"):
            order = np.argsort(-row, kind="stable")[: int(asked["top_k"])]
            answer["top_k"] = [{"label": self.classes[place], "score": float(row[place])} for place in order]
        return answer


@dataclass(frozen=True)
class _Image:
    """How it is called, and its content once it is asked for: of many, few are in memory at a time."""

    name: str
    read: Callable[[], bytes | np.ndarray]


def _images(given: Any) -> list[_Image]:
    if isinstance(given, Path):
        names, read = unlabelled(given)
        return [_Image(name, partial(read, number)) for number, name in enumerate(names)]
    if isinstance(given, str | Mapping):
        return _of_row(given, "the image")
    if isinstance(given, list | tuple):
        return [each for number, row in enumerate(given, 1) for each in _of_row(row, f"image {number}")]
    raise DataProblem("Give an image as a file, a data URI (data:image/png;base64,…), or a list of these.")


def _of_row(row: Any, name: str) -> list[_Image]:
    """The image of a text or {"image": text}; a path that stands there may be a folder of many."""
    if isinstance(row, Mapping):
        row = row.get("image")
    if isinstance(row, Path):
        return _images(row)
    if not isinstance(row, str):
        raise DataProblem(f'{name} is neither text nor {{"image": text}}.')
    return [_Image(name, partial(_decoded, row, name))]


def _decoded(text: str, name: str) -> bytes:
    match = _DATA_URI.match(text.strip())
    body = text.strip()[match.end() :] if match else text
    if len(body) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise DataProblem(f"{name} is longer than {MAX_IMAGE_BYTES} bytes.")
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataProblem(f"{name} is no base64 text; give data:image/png;base64,… or a file.") from error
