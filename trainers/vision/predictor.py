"""Answers for images, with a loaded model of any framework."""

import base64
import binascii
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainers.protocol import DataProblem, TrainerError
from trainers.vision.pixels import decode, side_kept
from trainers.vision.sources import MAX_IMAGE_BYTES, SUFFIXES, files_of

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
BATCH = 32


class ImagePredictor:
    """Predicts the class of images: a file, a folder or zip of them, data URIs, base64, or {"image": …} rows."""

    task = "image_classification"
    columns = [{"name": "image", "kind": "image"}]

    def __init__(self, logits: Callable[[np.ndarray], np.ndarray], classes: Sequence[str], size: int) -> None:
        """`logits`: (n, side, side, 3) unsigned bytes, the side being `side_kept(size)`, -> (n, classes)."""
        self.logits, self.classes, self.size = logits, list(classes), size

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One prediction an image: {"label", "score"[, "probabilities"][, "top_k"][, "image"]}.

        Raises:
            DataProblem: something is no image; the message says which.
        """
        asked = dict(parameters or {})
        named = list(_images(input_data))
        if not named:
            raise DataProblem("There are no images to predict on.")
        answers: list[dict[str, Any]] = []
        for begin in range(0, len(named), BATCH):
            part = named[begin : begin + BATCH]
            pixels = np.stack([self._pixels(name, content) for name, content in part])
            for (name, _), row in zip(part, self._probabilities(pixels, asked), strict=True):
                answers.append(({"image": name} if len(named) > 1 else {}) | self._answer(row, asked))
        return answers

    def _pixels(self, name: str, content: bytes) -> np.ndarray:
        try:
            return decode(content, side_kept(self.size))
        except Exception as error:  # a decoder raises many things for a damaged file
            if isinstance(error, TrainerError | MemoryError):
                raise
            raise DataProblem(f"{name} is no image that can be read.", details={"image": name}) from error

    def _probabilities(self, pixels: np.ndarray, asked: Mapping[str, Any]) -> np.ndarray:
        scaled = self.logits(pixels).astype(np.float64) / float(asked.get("temperature") or 1.0)
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


def _images(given: Any) -> "list[tuple[str, bytes]]":
    """(how it is called, its bytes) of each image."""
    if isinstance(given, Path):
        if given.is_dir() or (zipfile.is_zipfile(given) and given.suffix.lower() not in SUFFIXES):
            return files_of(given)
        if given.stat().st_size > MAX_IMAGE_BYTES:
            raise DataProblem(f"{given.name} is longer than {MAX_IMAGE_BYTES} bytes.")
        return [(given.name, given.read_bytes())]
    if isinstance(given, str | Mapping):
        return _of_row(given, "the image")
    if isinstance(given, list | tuple):
        return [each for number, row in enumerate(given, 1) for each in _of_row(row, f"image {number}")]
    raise DataProblem("Give an image as a file, a data URI (data:image/png;base64,…), or a list of these.")


def _of_row(row: Any, name: str) -> list[tuple[str, bytes]]:
    """The image of a text or {"image": text}; a path that stands there may be a folder of many."""
    if isinstance(row, Mapping):
        row = row.get("image")
    if isinstance(row, Path):
        return _images(row)
    if not isinstance(row, str):
        raise DataProblem(f'{name} is neither text nor {{"image": text}}.')
    return [(name, _decoded(row, name))]


def _decoded(text: str, name: str) -> bytes:
    match = _DATA_URI.match(text.strip())
    body = text.strip()[match.end() :] if match else text
    if len(body) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise DataProblem(f"{name} is longer than {MAX_IMAGE_BYTES} bytes.")
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataProblem(f"{name} is no base64 text; give data:image/png;base64,… or a file.") from error
