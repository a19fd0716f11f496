"""How far a training is, how it cuts its epochs into steps, and what it says meanwhile. Needs no framework."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainers.protocol import Reporter, TrainerError

REPORT_EVERY = 0.2  # seconds; each look at a loss waits for the GPU
RETOLD = 5.0  # seconds before a checkpoint whose losses a resumed training tells again: a kill may have swallowed them
BEGIN, END = 0.02, 0.98  # of the bar: before lies the data, behind the model's files


@dataclass
class Progress:
    """How far a training is, and how it has gone so far."""

    epoch: int = 0
    position: int = 0  # examples of this epoch that were learnt from
    step: int = 0
    part: int = 0  # examples that fit into memory at once
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # metrics after each epoch

    def end_epoch(self, metrics: dict[str, float], *, watched: str, higher_is_better: bool) -> bool:
        """Whether the epoch that ends with these metrics is the best so far."""
        self.epoch += 1
        self.position = 0
        self.history.append(metrics)
        # Any numbers are better than none: the accuracy of a model that answers NaN can look as good as another.
        value = metrics[watched] if all(map(math.isfinite, metrics.values())) else math.nan
        sign = 1 if higher_is_better else -1
        if self.best is not None and not math.isnan(self.best) and not sign * value > sign * self.best:
            return False
        self.best, self.best_epoch = value, self.epoch
        return True

    @property
    def best_metrics(self) -> dict[str, float]:
        """Those of the best epoch."""
        return self.history[self.best_epoch - 1]

    @property
    def has_diverged(self) -> bool:
        """Whether there is no epoch whose scores are numbers."""
        return self.best is not None and math.isnan(self.best)

    def metrics(self, *, n_train: int, n_test: int, parameters: int) -> dict[str, float]:
        """What every training ends with, beside its scores: seconds, and counts of epochs, examples and parameters."""
        return {
            "training_time": self.seconds,
            "epochs": float(self.epoch),
            "best_epoch": float(self.best_epoch),
            "n_train": float(n_train),
            "n_test": float(n_test),
            "parameters": float(parameters),
        }

    def is_out_of_patience(self, epochs: int | None) -> bool:
        """Whether the last so many epochs were none of them better than the best before."""
        return epochs is not None and self.best is not None and self.epoch - self.best_epoch >= epochs


class Teller:
    """Tells a reporter the loss of each step, and now and then the rate, the speed, the memory, and how far it is."""

    def __init__(
        self,
        reporter: Reporter,
        progress: Progress,
        *,
        unit: str,
        items: int,
        epochs: int,
        read: Callable[[Sequence[Any]], list[float]],
        memory_bytes: Callable[[], int],
        remedy: str,
    ) -> None:
        """`read` brings losses from where they were computed; `remedy` is for who sees a loss that is no number."""
        self.reporter, self.progress = reporter, progress
        self.unit, self.items, self.epochs = unit, items, epochs
        self.read, self.memory_bytes, self.remedy = read, memory_bytes, remedy
        self._losses: list[tuple[int, Any]] = []  # of steps that were not told yet
        self._examples = 0  # since the last report
        self._rate = 0.0
        self._reported_at = time.perf_counter()
        self._told: deque[tuple[float, int, float]] = deque()  # (when, step, loss) of the last RETOLD seconds

    def step(self, loss: Any, *, examples: int, rate: float) -> None:
        """A step is done. Raises TrainerError as `flush` does."""
        self._losses.append((self.progress.step, loss))
        self._examples += examples
        self._rate = rate
        if time.perf_counter() - self._reported_at >= REPORT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Report what was not reported yet.

        Raises:
            TrainerError: a loss is no number any more.
        """
        if not self._losses:
            return
        progress = self.progress
        values = self.read([loss for _, loss in self._losses])  # here the CPU waits for the GPU
        for (step, _), value in zip(self._losses, values, strict=True):
            if not math.isfinite(value):
                raise TrainerError(
                    f"The loss was {value} in step {step}: the training has diverged. {self.remedy}",
                    details={"step": step, "learning_rate": self._rate},
                )
            self.reporter.metrics({"train_loss": value}, step=step)
            self._told.append((time.perf_counter(), step, value))
        now = time.perf_counter()
        while self._told[0][0] < now - RETOLD:
            self._told.popleft()
        self.reporter.metrics(
            {
                "learning_rate": self._rate,
                f"{self.unit}_per_second": self._examples / max(now - self._reported_at, 1e-9),
                "memory_mb": self.memory_bytes() / 1e6,
            },
            step=progress.step,
        )
        done = (progress.epoch + progress.position / self.items) / self.epochs
        self.reporter.progress(
            BEGIN + (END - BEGIN) * done,
            f"epoch {min(progress.epoch + 1, self.epochs)} of {self.epochs}, loss {values[-1]:.4f}",
        )
        self._losses.clear()
        self._examples = 0
        self._reported_at = now

    def rest(self) -> None:
        """What was done since the last report is no part of the speed."""
        self._reported_at = time.perf_counter()

    @property
    def told(self) -> list[tuple[int, float]]:
        """(step, loss) of the last seconds, for a checkpoint."""
        return [(step, value) for _, step, value in self._told]

    def tell_again(self, told: Iterable[Sequence[Any]]) -> None:
        """What a checkpoint kept of `told`."""
        for step, value in told:
            self.reporter.metrics({"train_loss": value}, step=step)


def chunks(items: int, position: int, size: int, least: int) -> list[tuple[int, int]]:
    """Stretches of `size` from `position` on; a last one of fewer than `least` joins the one before."""
    edges = list(range(position, items, size)) + [items]
    if len(edges) > 2 and edges[-1] - edges[-2] < least:
        del edges[-2]
    return list(zip(edges[:-1], edges[1:], strict=True))


def parts(batch: Mapping[str, Any], size: int, least: int) -> Iterator[dict[str, Any]]:
    """The batch (arrays or tensors) in even parts of about `size` examples, none of them with fewer than `least`."""
    examples = len(next(iter(batch.values())))
    count = max(min(math.ceil(examples / size), examples // least), 1)
    edges = [examples * number // count for number in range(count + 1)]
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        yield {name: each[begin:end] for name, each in batch.items()}
