"""Labelled texts as sequences of tokens that a classifier learns from: long ones as several, none of them cut off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

from trainers.deep.device import Compute
from trainers.deep.loop import Batch
from trainers.text import tokens

_AT_ONCE = 512  # texts that the tokenizer gets at a time


@dataclass(frozen=True)
class Sequences:
    """Texts in stretches of tokens. `text[i]` is the number of the text that row i is of, `share[i]` its part of it."""

    rows: list[np.ndarray]  # int32 each
    text: np.ndarray
    share: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def split(self) -> int:
        """How many texts have more than one stretch."""
        return int((np.bincount(self.text) > 1).sum()) if len(self.text) else 0

    def padded(self, numbers: Sequence[int], padding: int) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (n, longest) each."""
        rows = [self.rows[number] for number in numbers]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), padding, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def sequences(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Sequences:
    """Each text as stretches of at most `length` tokens, the tokenizer's own marks at the ends of each.

    Where it has none, a text without a token is the mark of a text's end: models take no empty sequences.
    """
    nothing = [tokens.end_of_text(tokenizer) or 0]
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    rows: list[np.ndarray] = []
    owners: list[int] = []
    for begin in range(0, len(texts), _AT_ONCE):
        for place, encoded in enumerate(tokenizer.encode_batch(list(texts[begin : begin + _AT_ONCE])), begin):
            for each in (encoded, *encoded.overflowing):
                rows.append(np.array(each.ids or nothing, np.int32))
                owners.append(place)
    text = np.array(owners, np.int64)
    sizes = np.array([len(row) for row in rows], np.float64)
    of_text = np.bincount(text, weights=sizes, minlength=len(texts))
    return Sequences(rows, text, (sizes / of_text[text]).astype(np.float32))


class Reader:
    """A model, and how it is given tokens: with a mask of what is padding, where its architecture takes one.

    The first `known` of its outputs are classes that the data has.
    """

    def __init__(self, model: nn.Module, padding: int, *, takes_mask: bool, known: int) -> None:
        self.model, self.padding, self.takes_mask, self.known = model, padding, takes_mask, known

    def logits(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(n, outputs) float32."""
        names = ("input_ids", "attention_mask") if self.takes_mask else ("input_ids",)
        found: torch.Tensor = model(**{name: batch[name] for name in names}).logits
        return found.float()

    def probabilities(
        self,
        model: nn.Module,
        found: Sequences,
        texts: int,
        compute: Compute,
        batch_size: int,
        *,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """(texts, known classes): of each text the mean over its stretches, by their lengths."""
        total = np.zeros((texts, self.known))
        by_length = sorted(range(len(found)), key=lambda number: len(found.rows[number]))  # little padding
        with torch.inference_mode():
            for begin in range(0, len(by_length), batch_size):
                numbers = by_length[begin : begin + batch_size]
                batch = {name: each.to(compute.device) for name, each in found.padded(numbers, self.padding).items()}
                with compute.autocast():
                    logits = self.logits(model, batch)[:, : self.known]
                rows = (logits / temperature).softmax(dim=1).cpu().double().numpy()
                np.add.at(total, found.text[numbers], rows * found.share[numbers, None])
        return total / total.sum(axis=1, keepdims=True)


class ClassificationWork:
    """`trainers.deep.loop.Work` for classes of texts. A text counts once, however many stretches it has."""

    unit = "sequences"
    least_part = 1
    watched = "val_loss"
    higher_is_better = False

    def __init__(
        self,
        reader: Reader,
        *,
        train: Sequences,
        train_labels: np.ndarray,
        held_out: Sequences,
        held_out_labels: np.ndarray,
        class_weights: np.ndarray | None,
        label_smoothing: float,
    ) -> None:
        """Labels are numbers of classes, one a text."""
        self.model = reader.model
        self.items = len(train)
        self._reader, self._train, self._held_out = reader, train, held_out
        self._labels, self._held_out_labels = train_labels, held_out_labels
        weights = np.ones(int(train_labels.max()) + 1) if class_weights is None else class_weights
        self._weights = (train.share * weights[train_labels[train.text]]).astype(np.float32)
        self._label_smoothing = label_smoothing

    def load(self, indices: Sequence[int], epoch: int) -> Batch:
        numbers = list(indices)
        return {
            **self._train.padded(numbers, self._reader.padding),
            "labels": torch.from_numpy(self._labels[self._train.text[numbers]]),
            "weights": torch.from_numpy(self._weights[numbers]),
        }

    def weight(self, batch: Batch) -> float:
        return float(batch["weights"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        losses = F.cross_entropy(
            self._reader.logits(model, batch),
            batch["labels"],
            label_smoothing=self._label_smoothing,
            reduction="none",
        )
        return (losses * batch["weights"]).sum()

    def evaluate(self, model: nn.Module, compute: Compute, batch_size: int) -> dict[str, float]:
        labels = self._held_out_labels
        probabilities = self._reader.probabilities(model, self._held_out, len(labels), compute, batch_size)
        chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-15, 1)
        return {
            "val_loss": float(-np.log(chosen).mean()),
            "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        }


def answer(classes: Sequence[str], row: np.ndarray, asked: Mapping[str, Any]) -> dict[str, Any]:
    """An inference's answer for one row of probabilities: {"label", "score"[, "probabilities"][, "top_k"]}."""
    best = int(row.argmax())
    found: dict[str, Any] = {"label": classes[best], "score": float(row[best])}
    threshold = asked.get("confidence_threshold")
    if threshold is not None and found["score"] < threshold:
        found["label"] = None
    if asked.get("probability"):
        found["probabilities"] = {name: float(value) for name, value in zip(classes, row, strict=True)}
    if asked.get("top_k"):
        order = np.argsort(-row, kind="stable")[: int(asked["top_k"])]
        found["top_k"] = [{"label": classes[place], "score": float(row[place])} for place in order]
    return found
