"""The loss is the one that torch itself computes, and what was never seen is never chosen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainers.deep import device
from trainers.vision.augment import Augmentation
from trainers.vision.work import ImageWork

LABELS = np.array([0, 0, 0, 1])


class Constant(nn.Module):
    """The same logits for every image, the last one the highest."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.5, -0.2, 3.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), 3)


def work(**options: object) -> ImageWork:
    settings = {"class_weights": None, "label_smoothing": 0.0, **options}
    return ImageWork(
        model=Constant(),
        pixels=np.zeros((4, 32, 32, 3), np.uint8),
        labels=LABELS,
        train=np.arange(4),
        held_out=np.arange(4),
        augmentation=Augmentation("light", True, 28),
        seed=0,
        **settings,
    )


@pytest.mark.parametrize("weights", [None, np.array([0.5, 2.0, 0.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_loss_is_torchs_own(weights: np.ndarray | None, smoothing: float) -> None:
    found = work(class_weights=weights, label_smoothing=smoothing)
    batch = found.load([0, 1, 2, 3], epoch=0)
    assert batch["images"].shape == (4, 3, 28, 28)
    mean = found.loss(found.model, batch) / found.weight(batch)
    expected = F.cross_entropy(
        found.model(batch["images"]),
        torch.from_numpy(LABELS),
        weight=None if weights is None else torch.from_numpy(weights).float(),
        label_smoothing=smoothing,
    )
    assert mean.item() == pytest.approx(expected.item(), abs=1e-6)


def test_an_output_that_no_example_was_seen_of_is_never_chosen() -> None:
    compute = device.choose("cpu")
    all_outputs, known = work(), work(known=2)
    assert all_outputs.evaluate(all_outputs.model, compute, 2)["val_accuracy"] == 0
    assert known.evaluate(known.model, compute, 2)["val_accuracy"] == 0.75
    probabilities = known.probabilities(known.model, compute, 3, np.arange(4))
    assert probabilities.shape == (4, 2)
    assert probabilities.sum(axis=1) == pytest.approx(1)
