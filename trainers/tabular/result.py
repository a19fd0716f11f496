"""Scores a fitted model on the held-out rows, saves it, and makes the TrainResult."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from trainers.configs.base import TabularConfig
from trainers.protocol import Reporter, TrainResult
from trainers.tabular import scores, store
from trainers.tabular.data import Data
from trainers.tabular.predictor import class_scores
from trainers.tabular.watch import Watch

DEVICE = "cpu"


@dataclass(frozen=True)
class Ending:
    """What comes after the fit: where on the bar it begins, and the seconds it takes, where the trainer has an idea."""

    begins: float = 0.95
    scoring: float | None = None
    saving: float | None = None

    @property
    def scored(self) -> float:
        """Where on the bar the saving begins."""
        scoring, saving = (self.scoring, self.saving) if self.scoring and self.saving else (2.0, 3.0)
        return self.begins + (1 - self.begins) * scoring / (scoring + saving)


def finish(
    *,
    model_type: str,
    backend: str,
    config: TabularConfig,
    data: Data,
    model: Any,
    out: Path,
    reporter: Reporter,
    metrics: dict[str, float],
    report: dict[str, Any],
    ending: Ending = Ending(),  # noqa: B008  (frozen)
) -> TrainResult:
    """`metrics` and `report` are what the trainer itself measured; held-out scores are added to them."""
    with Watch(reporter) as watch:
        watch.phase(ending.begins, ending.scored, "scoring the held-out rows", ending.scoring)
        scored, drawn = _scores(data, model)
        metrics = {**scored, **metrics, "n_train": float(len(data.y_train)), "n_test": float(len(data.y_test))}
        metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
        columns = [column.to_json() for column in data.columns]
        manifest = {
            "model_type": model_type,
            "framework": "sklearn",
            "framework_version": sklearn.__version__,
            "backend": backend,
            "device": DEVICE,
            "task": data.task,
            "target": data.target,
            "classes": data.classes,
            "columns": columns,
            "config": config.model_dump(mode="json"),
            "seed": data.seed,
            "metrics": metrics,
        }
        watch.phase(ending.scored, 1.0, "saving the model", ending.saving)
        store.save(out, manifest, data.encoder, model)
    reporter.metrics(metrics)
    reporter.log("INFO", "held-out scores: " + ", ".join(f"{name} {value:.4g}" for name, value in scored.items()))
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        framework="sklearn",
        framework_version=sklearn.__version__,
        backend=backend,
        device=DEVICE,
        task=data.task,
        report={**drawn, **report},
        columns=columns,
        target=data.target,
    )


def _scores(data: Data, model: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, what pages draw) of the held-out rows."""
    if data.task == "classification":
        found = class_scores(model, data.X_test, data.classes)
        return scores.classification(
            data.y_test,
            found.labels,
            data.classes,
            probabilities=found.values if found.are_probabilities else None,
            decisions=None if found.are_probabilities else found.values,
        )
    return scores.regression(data.y_test, model.predict(data.X_test))
