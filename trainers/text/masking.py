"""Masked language modelling (Devlin et al. 2019): some tokens are hidden, and told from both sides."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainers.deep.device import Compute
from trainers.deep.loop import Batch
from trainers.text.windows import Windows

HIDDEN = 0.15  # share of the tokens that are to be told
MASKED, EXCHANGED = 0.8, 0.1  # of these; the rest stays as it is
NOT_ASKED = -100  # target of a token that is not to be told
_EVALUATED = 2**31  # "epoch" of the held-out part: the same tokens are hidden each time


class MaskedWork:
    """`trainers.deep.loop.Work` for masked language models. What is hidden comes from seed, epoch and sequence."""

    unit = "sequences"
    least_part = 1
    watched = "val_loss"
    higher_is_better = False

    def __init__(
        self,
        model: nn.Module,
        train: Windows,
        held_out: Windows,
        logits: Callable[[nn.Module, torch.Tensor], torch.Tensor],
        *,
        mask: int,
        vocabulary: int,
        seed: int,
    ) -> None:
        self.model = model
        self.items = train.count
        self._train, self._held_out, self._logits = train, held_out, logits
        self._mask, self._vocabulary, self._seed = mask, vocabulary, seed

    def load(self, indices: Sequence[int], epoch: int) -> Batch:
        return self._hidden(self._train, indices, epoch)

    def weight(self, batch: Batch) -> float:
        return float((batch["targets"] != NOT_ASKED).sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        logits = self._logits(model, batch["inputs"])
        return F.cross_entropy(
            logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=NOT_ASKED, reduction="sum"
        )

    def evaluate(self, model: nn.Module, compute: Compute, batch_size: int) -> dict[str, float]:
        """Mean loss (nats) of a hidden token of the held-out part, and the perplexity that it is."""
        total, count = 0.0, 0.0
        with torch.inference_mode():
            for begin in range(0, self._held_out.count, batch_size):
                numbers = range(begin, min(begin + batch_size, self._held_out.count))
                hidden = self._hidden(self._held_out, numbers, _EVALUATED)
                batch = {name: each.to(compute.device) for name, each in hidden.items()}
                with compute.autocast():
                    total += float(self.loss(model, batch))
                count += self.weight(hidden)
        return {"val_loss": total / count, "val_perplexity": math.exp(min(total / count, 700))}

    def _hidden(self, part: Windows, numbers: Sequence[int], epoch: int) -> Batch:
        inputs = part.batch(numbers)["inputs"].numpy().copy()
        targets = np.full_like(inputs, NOT_ASKED)
        for place, number in enumerate(numbers):
            random = np.random.default_rng([self._seed, epoch, number])
            row = inputs[place]
            asked = random.random(len(row)) < HIDDEN
            asked[random.integers(len(row))] = True  # one at least
            targets[place, asked] = row[asked]
            fate = random.random(len(row))
            row[asked & (fate < MASKED)] = self._mask
            exchanged = asked & (fate >= MASKED) & (fate < MASKED + EXCHANGED)
            row[exchanged] = random.integers(0, self._vocabulary, int(exchanged.sum()))
        return {"inputs": torch.from_numpy(inputs), "targets": torch.from_numpy(targets)}
