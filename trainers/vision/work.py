"""Images and their classes as the training loop wants them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainers.configs.vision import VisionConfig
from trainers.deep.classes import class_weights
from trainers.deep.device import Compute
from trainers.deep.loop import Batch
from trainers.protocol import ModelProblem
from trainers.vision.augment import Augmentation, middle
from trainers.vision.data import ImageSet
from trainers.vision.predictor import ImagePredictor

# Of ImageNet: what torchvision's weights expect, and as good as any for a network that starts anew.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def channels_first(images: np.ndarray) -> torch.Tensor:
    """(n, h, w, 3) -> (n, 3, h, w), as torch's layers want images."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def normalised(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, h, w) unsigned bytes -> floats of about zero mean and unit variance, on the same device."""
    mean = torch.tensor(MEAN, device=images.device)[:, None, None]
    spread = torch.tensor(SPREAD, device=images.device)[:, None, None]
    return (images.float() / 255 - mean) / spread


def predictor(model: nn.Module, manifest: Mapping[str, Any], compute: Compute) -> ImagePredictor:
    """Answers of a model that takes what `normalised` gives, and gives (n, outputs) logits. Raises ModelProblem."""
    try:
        size, classes = int(manifest["image_size"]), [str(name) for name in manifest["classes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelProblem("The model's manifest is damaged.") from error

    def logits(images: np.ndarray) -> np.ndarray:
        batch = channels_first(middle(images, size)).to(compute.device)
        with torch.inference_mode(), compute.autocast():
            found: np.ndarray = model(normalised(batch))[:, : len(classes)].float().cpu().numpy()
        return found

    return ImagePredictor(logits, classes, size)


class ImageWork:
    """`trainers.deep.loop.Work` for images. `train` and `held_out` are places in `pixels` and `labels`.

    Of the model's outputs, only the first `known` are ever chosen among: of the others it has seen no example.
    """

    unit = "images"
    least_part = 2  # batch norms learn nothing from one
    watched = "val_accuracy"
    higher_is_better = True

    def __init__(
        self,
        *,
        model: nn.Module,
        pixels: np.ndarray,
        labels: np.ndarray,
        train: np.ndarray,
        held_out: np.ndarray,
        augmentation: Augmentation,
        class_weights: np.ndarray | None,
        label_smoothing: float,
        seed: int,
        known: int | None = None,
    ) -> None:
        self.model = model
        self.items = len(train)
        self._pixels, self._labels = pixels, labels
        self._train, self._held_out = train, held_out
        self._augmentation = augmentation
        self._weights = None if class_weights is None else torch.from_numpy(class_weights).float()
        self._label_smoothing = label_smoothing
        self._seed = seed
        self._known = known

    @classmethod
    def of(cls, images: ImageSet, model: nn.Module, config: VisionConfig, *, outputs: int, seed: int) -> "ImageWork":
        """As the config wants it, of a model with so many outputs."""
        return cls(
            model=model,
            pixels=images.pixels,
            labels=images.labels,
            train=images.train,
            held_out=images.val,
            augmentation=images.augmentation(config),
            class_weights=class_weights(images.labels[images.train], outputs) if config.class_weight else None,
            label_smoothing=config.label_smoothing,
            seed=seed,
            known=len(images.classes),
        )

    def load(self, indices: Sequence[int], epoch: int) -> Batch:
        places = self._train[list(indices)]
        images = self._augmentation.batch(self._pixels[places], places.tolist(), seed=self._seed, epoch=epoch)
        return {"images": channels_first(images), "labels": torch.from_numpy(self._labels[places])}

    def weight(self, batch: Batch) -> float:
        if self._weights is None:
            return float(len(batch["labels"]))
        return float(self._weights[batch["labels"]].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        weights = None if self._weights is None else self._weights.to(batch["labels"].device)
        return F.cross_entropy(
            model(normalised(batch["images"])),
            batch["labels"],
            weight=weights,
            label_smoothing=self._label_smoothing,
            reduction="sum",
        )

    def evaluate(self, model: nn.Module, compute: Compute, batch_size: int) -> dict[str, float]:
        probabilities = self.probabilities(model, compute, batch_size, self._held_out)
        labels = self._labels[self._held_out]
        chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-15, 1)
        return {
            "val_loss": float(-np.log(chosen).mean()),
            "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        }

    def probabilities(self, model: nn.Module, compute: Compute, batch_size: int, places: np.ndarray) -> np.ndarray:
        """(n, known classes) for the images at these places, unchanged."""
        found = []
        size = self._augmentation.size
        with torch.inference_mode():
            for begin in range(0, len(places), batch_size):
                images = channels_first(middle(self._pixels[places[begin : begin + batch_size]], size))
                with compute.autocast():
                    logits = model(normalised(images.to(compute.device)))
                found.append(logits[:, : self._known].float().softmax(dim=1).cpu().numpy())
        return np.concatenate(found)
