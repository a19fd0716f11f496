"""Sequences of tokens as the training loop wants them."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainers.deep.device import Compute
from trainers.deep.loop import Batch


class Windows:
    """Sequences of `length` tokens that lie behind one another in a row, the last one at its end.

    Every token but the first is predicted at least once: nothing is cut off.
    """

    def __init__(self, tokens: np.ndarray, length: int) -> None:
        self.tokens = tokens
        self.length = min(length, len(tokens) - 1)
        self.count = max(math.ceil((len(tokens) - 1) / self.length), 1)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """inputs and targets, (n, length) each; a target is the token after its input."""
        last = len(self.tokens) - 1 - self.length
        rows = np.stack([self.tokens[(begin := min(n * self.length, last)) : begin + self.length + 1] for n in numbers])
        together = torch.from_numpy(rows.astype(np.int64))
        return {"inputs": together[:, :-1], "targets": together[:, 1:]}


def logits_of(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Of a model that answers its logits alone."""
    logits: torch.Tensor = model(inputs)
    return logits


class LanguageWork:
    """`trainers.deep.loop.Work` for language models; `logits` is how theirs are had."""

    unit = "sequences"
    least_part = 1
    watched = "val_loss"
    higher_is_better = False

    def __init__(
        self,
        model: nn.Module,
        train: Windows,
        held_out: Windows,
        logits: Callable[[nn.Module, torch.Tensor], torch.Tensor] = logits_of,
    ) -> None:
        self.model = model
        self.items = train.count
        self._train, self._held_out, self._logits = train, held_out, logits

    def load(self, indices: Sequence[int], epoch: int) -> Batch:
        return self._train.batch(indices)

    def weight(self, batch: Batch) -> float:
        return float(batch["targets"].numel())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        logits = self._logits(model, batch["inputs"])
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), reduction="sum")

    def evaluate(self, model: nn.Module, compute: Compute, batch_size: int) -> dict[str, float]:
        """Mean loss (nats) of a held-out token, and the perplexity that it is."""
        total, count = 0.0, 0
        with torch.inference_mode():
            for begin in range(0, self._held_out.count, batch_size):
                numbers = range(begin, min(begin + batch_size, self._held_out.count))
                batch = {name: each.to(compute.device) for name, each in self._held_out.batch(numbers).items()}
                with compute.autocast():
                    total += float(self.loss(model, batch))
                count += batch["targets"].numel()
        return {"val_loss": total / count, "val_perplexity": math.exp(min(total / count, 700))}
