"""From a path to matrices: everything that happens to a table before a model sees it."""

import difflib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainers.configs.base import UINT32_MAX, TabularConfig
from trainers.protocol import DataProblem, Reporter, Task
from trainers.tabular import kinds, values
from trainers.tabular.encoder import Encoder, Matrix
from trainers.tabular.read import read_table
from trainers.tabular.split import split
from trainers.tabular.target import find_target


@dataclass(frozen=True)
class Data:
    """X_* are (n, features) float64 and finite, y_* (n,) labels (text) or numbers (float64)."""

    task: Task
    target: str
    classes: list[str]  # sorted; empty for a regression
    columns: list[kinds.Column]
    encoder: Encoder
    seed: int
    X_train: Matrix
    X_test: Matrix
    y_train: npt.NDArray[Any]
    y_test: npt.NDArray[Any]


def load_data(
    config: TabularConfig, path: Path, reporter: Reporter, *, scaled: bool, classifier_only: bool = False
) -> Data:
    """Read, understand, split and encode a table; the log tells what was found. Raises DataProblem."""
    seed = config.random_state
    if seed is None:
        seed = secrets.randbelow(UINT32_MAX)
        reporter.log("INFO", f"random_state: {seed} (drawn)")
    reporter.progress(0.0, "reading the data")
    table = read_table(path)
    notes = table.notes
    try:
        target = find_target(table, config.target, config.task, notes, classifier_only=classifier_only)
        table = kinds.read_plain_numbers(target.table, target.name)
        columns, found = kinds.find_columns(table, target.name)
        notes += found
        frame = kinds.parse_table(table, columns, notes)
        train, test = split(target, config.test_size, seed, notes)
    finally:
        for level, message in notes:
            reporter.log(level, message)
    train_frame = frame[train]
    encoder = Encoder.fit(train_frame, columns, scaled=scaled)
    X_train, X_test = encoder.transform(train_frame), encoder.transform(frame[test])
    used = sum(column.kind != "ignored" for column in columns)
    reporter.log(
        "INFO",
        f"{len(target.y)} rows: {len(train)} to learn from, {len(test)} held out; "
        f"{used} of {len(columns)} input columns, {X_train.shape[1]} features",
    )
    return Data(
        task=target.task,
        target=target.name,
        classes=target.classes,
        columns=columns,
        encoder=encoder,
        seed=seed,
        X_train=X_train,
        X_test=X_test,
        y_train=target.y[train],
        y_test=target.y[test],
    )


def class_weights(
    asked: Literal["balanced", "balanced_subsample"] | Mapping[str, float] | None, data: Data
) -> str | dict[str | int, float] | None:
    """`class_weight` for the classes that the training rows have; 1 for those not named.

    scikit-learn looks a text label up as an integer where it spells one. Raises DataProblem for an unknown class.
    """
    if asked is None or isinstance(asked, str):
        return asked
    weights = dict.fromkeys(np.unique(data.y_train).tolist(), 1.0)
    for key, weight in asked.items():
        label = key if key in data.classes else _as_number_label(key)
        if label not in data.classes:
            near = difflib.get_close_matches(key[:100], data.classes, n=1, cutoff=0.5)
            hint = f'Did you mean "{near[0]}"?' if near else f"The classes are {', '.join(data.classes[:20])}."
            raise DataProblem(
                f'class_weight names "{key[:100]}", which is no class of "{data.target}". {hint}',
                details={"column": data.target, "field": "class_weight"},
            )
        if label in weights:
            weights[label] = weight
    return {_as_looked_up(label): weight for label, weight in weights.items()}


def _as_looked_up(label: str) -> str | int:
    try:
        return int(label)
    except ValueError:
        return label


def _as_number_label(key: str) -> str:
    try:
        return values.label_of_number(float(key))
    except (ValueError, OverflowError):
        return key


def column_importances(data: Data, of_features: npt.NDArray[np.float64], limit: int = 100) -> list[dict[str, Any]]:
    """Importances (features,) summed by input column, as shares of 1, the largest first."""
    total = float(of_features.sum()) or 1.0
    by_column: dict[str, float] = {}
    for source, importance in zip(data.encoder.feature_sources(), of_features, strict=True):
        by_column[source] = by_column.get(source, 0.0) + float(importance) / total
    ranked = sorted(by_column.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": name, "importance": importance} for name, importance in ranked[:limit]]
