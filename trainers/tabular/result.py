"""Scores a fitted model on the held-out rows, saves it, and makes the TrainResult."""

from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from trainers.configs.base import TabularConfig
from trainers.protocol import Reporter, TrainResult
from trainers.tabular import scores, store
from trainers.tabular.data import Data
from trainers.tabular.predictor import class_scores

DEVICE = "cpu"


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
) -> TrainResult:
    """`metrics` and `report` are what the trainer itself measured; held-out scores are added to them."""
    reporter.progress(0.95, "scoring the held-out rows")
    if data.task == "classification":
        found = class_scores(model, data.X_test, data.classes)
        scored, drawn = scores.classification(
            data.y_test,
            found.labels,
            data.classes,
            probabilities=found.values if found.are_probabilities else None,
            decisions=None if found.are_probabilities else found.values,
        )
    else:
        scored, drawn = scores.regression(data.y_test, model.predict(data.X_test))
    metrics = {**scored, **metrics, "n_train": float(len(data.y_train)), "n_test": float(len(data.y_test))}
    metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
    report = {**drawn, **report}
    columns = [column.to_json() for column in data.columns]
    reporter.progress(0.97, "saving the model")
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
        report=report,
        columns=columns,
        target=data.target,
    )
