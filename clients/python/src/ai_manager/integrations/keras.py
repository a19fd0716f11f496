"""Keras: `model.fit(…, callbacks=[AIManagerCallback(run)])`.

Each epoch's losses and metrics are logged at the epoch's number, with the learning rate; with `log_every_batches`,
every n-th batch's too, as `batch/…` at the number of batches seen.
"""

from __future__ import annotations

from typing import Any

from ai_manager.run import Run

try:
    import keras
except ImportError as error:
    raise ImportError("ai_manager.integrations.keras needs Keras: pip install keras") from error


class AIManagerCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs what Keras reports. The optimizer's settings go into the run's config."""

    def __init__(self, run: Run, *, log_every_batches: int = 0) -> None:
        super().__init__()
        self._run = run
        self._every = log_every_batches
        self._batches = 0

    def on_train_begin(self, logs: Any = None) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None:
            self._run.config["optimizer"] = optimizer.get_config()
        self._run.config["parameters"] = self.model.count_params() if self.model.built else None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            self._run.log({f"batch/{name}": value for name, value in (logs or {}).items()}, step=self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = dict(logs or {})
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        if rate is not None:
            values.setdefault("learning_rate", keras.ops.convert_to_numpy(rate))
        self._run.log(values, step=epoch)
