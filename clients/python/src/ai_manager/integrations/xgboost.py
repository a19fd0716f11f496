"""XGBoost: `xgboost.train(…, callbacks=[AIManagerCallback(run)])`, or the same argument of `XGBClassifier(…)`.

The evaluation metrics of every round are logged as `<data set>/<metric>` at the round's number.
"""

from __future__ import annotations

from typing import Any

from ai_manager.run import Run

try:
    from xgboost.callback import TrainingCallback
except ImportError as error:
    raise ImportError("ai_manager.integrations.xgboost needs XGBoost: pip install xgboost") from error


class AIManagerCallback(TrainingCallback):  # type: ignore[misc]
    """Logs each round's evaluation; of a cross-validation its mean, with `<metric>_std`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """False: the training goes on."""
        values = {}
        for data, metrics in evals_log.items():
            for metric, history in metrics.items():
                last = history[-1]
                if isinstance(last, tuple):
                    last, values[f"{data}/{metric}_std"] = last
                values[f"{data}/{metric}"] = last
        self._run.log(values, step=epoch)
        return False

    def after_training(self, model: Any) -> Any:
        attributes = model.attributes() if hasattr(model, "attributes") else {}  # a cross-validation has no one model
        if "best_iteration" in attributes:
            self._run.config.update(best_iteration=int(model.best_iteration), best_score=float(model.best_score))
        return model
