"""The pictures that are kept of the held-out images."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.vision import samples
from trainers.vision.data import ImageSet

CLASSES = ["ant", "bee", "cat"]


def some(side: int, predicted: list[int], actual: list[int], sure: list[float]) -> tuple[ImageSet, np.ndarray]:
    """Held-out images whose number is their shade, behind one that is learnt from, and what the model says of them."""
    count = len(actual)
    pixels = np.stack([np.full((side, side, 3), number, np.uint8) for number in range(count + 1)])
    images = ImageSet(
        examples=None,
        classes=CLASSES,
        pixels=pixels,
        labels=np.array([0, *actual]),
        train=np.array([0]),
        val=np.arange(1, count + 1),
        test=np.arange(1, count + 1),
        size=side,
        mirrors=True,
    )
    probabilities = np.array([[(1 - s) / 2] * 3 for s in sure])
    probabilities[np.arange(count), predicted] = sure
    return images, probabilities


def test_the_surest_mistakes_come_first_and_then_hits_of_each_class_in_turn(tmp_path: Path) -> None:
    images, probabilities = some(
        28, predicted=[0, 1, 0, 0, 2, 1], actual=[0, 0, 0, 2, 2, 1], sure=[0.9, 0.6, 0.99, 0.95, 0.5, 0.7]
    )
    found = samples.save(tmp_path, images, probabilities, CLASSES)
    told = [(each["label"], each["predicted"], round(each["score"], 2)) for each in found]
    assert told == [
        ("cat", "ant", 0.95),
        ("ant", "bee", 0.6),
        ("ant", "ant", 0.99),
        ("bee", "bee", 0.7),
        ("cat", "cat", 0.5),
        ("ant", "ant", 0.9),
    ]
    first = Image.open(tmp_path / found[0]["file"])
    assert (first.size, first.getpixel((0, 0))) == ((28, 28), (4, 4, 4))


def test_at_most_twenty_four_are_kept_half_of_them_mistakes(tmp_path: Path) -> None:
    images, probabilities = some(28, predicted=[0] * 60, actual=[0, 1] * 30, sure=[0.5] * 60)
    found = samples.save(tmp_path, images, probabilities, CLASSES)
    assert [each["label"] == each["predicted"] for each in found] == [False] * 12 + [True] * 12
    assert len(list(tmp_path.glob("samples/*"))) == 24


def test_a_picture_takes_ten_kilobytes_at_most() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for pixels, kind in ((noise, "JPEG"), (noise[:48, :48], "PNG"), (noise[:97, :97], "JPEG")):
        content, suffix = samples.thumbnail(pixels)
        assert len(content) <= samples.MAX_BYTES
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, max(picture.size) <= samples.SIDE) == (kind, True)
        assert suffix == {"JPEG": "jpg", "PNG": "png"}[kind]
