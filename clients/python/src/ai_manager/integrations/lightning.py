"""PyTorch Lightning: `Trainer(logger=AIManagerLogger(run))`.

What `self.log(…)` logs arrives at Lightning's global step, hyperparameters go into the run's config. Only rank zero
logs: give a function that begins the run when several processes train (`AIManagerLogger(lambda: manager.run())`).
A training that fails marks the run failed; otherwise it stays open, so that `trainer.test` can log into it too.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ai_manager.integrations import RunOrBegin, begun
from ai_manager.run import Run

try:
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities import rank_zero_only
except ImportError:
    try:
        from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
        from pytorch_lightning.utilities import rank_zero_only
    except ImportError as error:
        raise ImportError("ai_manager.integrations.lightning needs Lightning: pip install lightning") from error


class AIManagerLogger(Logger):  # type: ignore[misc]
    """Logs what Lightning logs."""

    def __init__(self, run: RunOrBegin) -> None:
        super().__init__()
        self._given = run
        self._run: Run | None = None

    @property
    @rank_zero_experiment  # type: ignore[untyped-decorator]
    def experiment(self) -> Run:
        """The run itself; on other ranks than zero an object that does nothing."""
        if self._run is None:
            self._run = begun(self._given)
        return self._run

    @property
    def name(self) -> str | None:
        return self._run.name if self._run is not None else None

    @property
    def version(self) -> str | None:
        return str(self._run.id) if self._run is not None and self._run.id is not None else None

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.experiment.log(metrics, step=step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self.experiment.config.update(vars(params) if isinstance(params, Namespace) else dict(params or {}))

    @rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        if self._run is None:
            return
        if status == "failed":
            self._run.finish("failed", "The training failed")
        else:
            self._run.flush(timeout=5.0)
