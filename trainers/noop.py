"""`noop`: does nothing and saves a model that says nothing, to measure what surrounds a training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.configs.noop import NoopConfig
from trainers.protocol import Reporter, Task, TrainResult

if TYPE_CHECKING:
    import polars as pl

FORMAT_VERSION = 1


class NoopPredictor:
    """Answers 0.0, whatever it is asked."""

    task: Task = "regression"
    columns: list[dict[str, Any]] = []

    def predict(
        self, rows: "Sequence[Mapping[str, Any]] | pl.DataFrame", parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return [{"value": 0.0} for _ in range(len(rows))]

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return [{"value": 0.0}]


def train(config: NoopConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Write the manifest and be done; `data_path` is not opened."""
    reporter.log("INFO", "Nothing to do")
    manifest = {
        "format_version": FORMAT_VERSION,
        "model_type": "noop",
        "task": "regression",
        "columns": [],
        "metrics": {},
    }
    (out / "model.json").write_text(json.dumps(manifest), encoding="utf-8")
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics={"training_time": 0.0},
        folder=out,
        framework="sklearn",
        framework_version="",
        backend="none",
        device="cpu",
        task="regression",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> NoopPredictor:
    return NoopPredictor()
