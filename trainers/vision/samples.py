"""Held-out images with what the model says of them, to be looked at: small pictures beside the model. No torch."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainers.deep.scores import chosen
from trainers.vision.data import ImageSet

FOLDER = "samples"
SIDE = 96  # pixels, at most
LOSSLESS = 48  # pixels; up to here a PNG is small enough
MAX_BYTES = 10_000
_QUALITIES = (85, 70, 50, 30)


def save(out: Path, images: ImageSet, probabilities: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Write pictures into `out`/samples; the report's `samples`: {file, label, predicted, score} each.

    `probabilities` (n, classes) are the model's for `images.test`. First come those that it got wrong and was surest
    of, then those that it got right, the surest of each class in turn.
    """
    (out / FOLDER).mkdir(exist_ok=True)
    actual = images.labels[images.test]
    samples = []
    for number, row in enumerate(chosen(actual, probabilities)):
        content, suffix = thumbnail(images.pixels[images.test[row]])
        name = f"{FOLDER}/{number:02d}.{suffix}"
        (out / name).write_bytes(content)
        predicted = int(probabilities[row].argmax())
        samples.append(
            {
                "file": name,
                "label": classes[int(actual[row])],
                "predicted": classes[predicted],
                "score": float(probabilities[row, predicted]),
            }
        )
    return samples


def thumbnail(pixels: np.ndarray) -> tuple[bytes, str]:
    """(the file, its suffix) of an image (side, side, 3) of unsigned bytes, in at most MAX_BYTES."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    if max(image.size) <= LOSSLESS:
        return _encoded(image, "PNG", optimize=True), "png"
    for quality in _QUALITIES:
        content = _encoded(image, "JPEG", quality=quality)
        if len(content) <= MAX_BYTES:
            break
    return content, "jpg"


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()
