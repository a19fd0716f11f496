"""Random changes of training images. What is drawn depends on seed, epoch and image only: the same after a restart."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

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

    def batch(self, images: np.ndarray, places: list[int], *, seed: int, epoch: int) -> torch.Tensor:
        """(n, side, side, 3) unsigned bytes -> (n, 3, size, size) unsigned bytes."""
        out = torch.empty((len(images), 3, self.size, self.size), dtype=torch.uint8)
        for number, (image, place) in enumerate(zip(images, places, strict=True)):
            random = np.random.default_rng([seed, epoch, place])
            out[number] = self._one(torch.from_numpy(image).permute(2, 0, 1), random)
        return out

    def _one(self, image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        if self.strength == "none":
            return middle(image, self.size)
        if self.strength == "strong":
            image = _colours(_scaled_crop(image, self.size, random), random)
        else:
            spare = image.shape[-1] - self.size
            top, left = random.integers(0, spare + 1, 2)
            image = image[:, top : top + self.size, left : left + self.size]
        if self.flip and random.random() < 0.5:
            image = image.flip(2)
        return _erased(image, random) if self.strength == "strong" and random.random() < 0.25 else image


def middle(images: torch.Tensor, size: int) -> torch.Tensor:
    """The middle `size` x `size` pixels of (…, side, side)."""
    edge = (images.shape[-1] - size) // 2
    return images[..., edge : edge + size, edge : edge + size]


def _scaled_crop(image: torch.Tensor, size: int, random: np.random.Generator) -> torch.Tensor:
    side = image.shape[-1]
    area = random.uniform(*SCALES) * side * side
    ratio = np.exp(random.uniform(*np.log(RATIOS)))
    height = min(side, max(1, round(float(np.sqrt(area / ratio)))))
    width = min(side, max(1, round(float(np.sqrt(area * ratio)))))
    top, left = random.integers(0, side - height + 1), random.integers(0, side - width + 1)
    crop = image[None, :, top : top + height, left : left + width].float()
    scaled = F.interpolate(crop, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scaled[0].round().clamp(0, 255).to(torch.uint8)


def _colours(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    brightness, contrast, saturation = random.uniform(1 - COLOURS, 1 + COLOURS, 3)
    values = image.float() * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(0, keepdim=True)
    values = (values - grey) * saturation + grey
    return values.round().clamp(0, 255).to(torch.uint8)


def _erased(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    side = image.shape[-1]
    area = random.uniform(*ERASED) * side * side
    ratio = np.exp(random.uniform(*np.log((0.3, 3.3))))
    height = min(side, max(1, round(float(np.sqrt(area / ratio)))))
    width = min(side, max(1, round(float(np.sqrt(area * ratio)))))
    top, left = random.integers(0, side - height + 1), random.integers(0, side - width + 1)
    image = image.clone()
    noise = torch.from_numpy(random.integers(0, 256, (3, height, width), np.uint8))
    image[:, top : top + height, left : left + width] = noise
    return image
