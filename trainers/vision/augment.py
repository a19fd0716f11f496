"""Random changes of training images. What is drawn depends on seed, epoch and image only: the same after a restart.

numpy and Pillow only: the torch and the Keras trainers share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

Strength = Literal["none", "light", "strong"]
SCALES = (0.5, 1.0)  # share of the area that a strong crop keeps
RATIOS = (3 / 4, 4 / 3)
ERASED = (0.02, 0.2)  # share of the area that is erased (Zhong et al. 2017, https://arxiv.org/abs/1708.04896)
COLOURS = 0.3  # brightness, contrast and saturation change by up to so much


@dataclass(frozen=True)
class Augmentation:
    strength: Strength
    flip: bool
    size: int  # pixels that come out

    def batch(self, images: np.ndarray, places: Sequence[int], *, seed: int, epoch: int) -> np.ndarray:
        """(n, side, side, 3) unsigned bytes -> (n, size, size, 3) unsigned bytes."""
        out = np.empty((len(images), self.size, self.size, 3), np.uint8)
        for number, (image, place) in enumerate(zip(images, places, strict=True)):
            out[number] = self._one(image, np.random.default_rng([seed, epoch, place]))
        return out

    def _one(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        if self.strength == "none":
            return middle(image, self.size)
        if self.strength == "strong":
            image = _colours(_scaled_crop(image, self.size, random), random)
        else:
            spare = image.shape[0] - self.size
            top, left = random.integers(0, spare + 1, 2)
            image = image[top : top + self.size, left : left + self.size]
        if self.flip and random.random() < 0.5:
            image = image[:, ::-1]
        return _erased(image, random) if self.strength == "strong" and random.random() < 0.25 else image


def middle(images: np.ndarray, size: int) -> np.ndarray:
    """The middle `size` x `size` pixels of (…, side, side, 3)."""
    edge = (images.shape[-2] - size) // 2
    return images[..., edge : edge + size, edge : edge + size, :]


def _scaled_crop(image: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    side = image.shape[0]
    area = random.uniform(*SCALES) * side * side
    ratio = np.exp(random.uniform(*np.log(RATIOS)))
    height = min(side, max(1, round(float(np.sqrt(area / ratio)))))
    width = min(side, max(1, round(float(np.sqrt(area * ratio)))))
    top, left = random.integers(0, side - height + 1), random.integers(0, side - width + 1)
    box = (left, top, left + width, top + height)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))


def _colours(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = random.uniform(1 - COLOURS, 1 + COLOURS, 3).astype(np.float32)
    values = image.astype(np.float32) * brightness
    mean = values.mean()
    values = (values - mean) * contrast + mean
    grey = values.mean(axis=2, keepdims=True)
    values = (values - grey) * saturation + grey
    return values.round().clip(0, 255).astype(np.uint8)


def _erased(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    side = image.shape[0]
    area = random.uniform(*ERASED) * side * side
    ratio = np.exp(random.uniform(*np.log((0.3, 3.3))))
    height = min(side, max(1, round(float(np.sqrt(area / ratio)))))
    width = min(side, max(1, round(float(np.sqrt(area * ratio)))))
    top, left = random.integers(0, side - height + 1), random.integers(0, side - width + 1)
    image = image.copy()
    image[top : top + height, left : left + width] = random.integers(0, 256, (height, width, 3), np.uint8)
    return image
