"""A reporter that remembers, and tables to train on."""

import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

TABLES = ("wine", "breast_cancer", "diabetes")


class Recorder:
    """Keeps all that a trainer tells; asks it to stop after `stop_after` progress reports."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.stop_after = stop_after
        self.lines: list[tuple[str, str]] = []
        self.points: list[tuple[int | None, dict[str, float]]] = []
        self.fractions: list[float] = []
        self.messages: list[str] = []
        self.threads: set[str] = set()

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.points.append((step, values))

    def progress(self, fraction: float, message: str = "") -> None:
        self.fractions.append(fraction)
        self.messages.append(message)
        self.threads.add(threading.current_thread().name)

    def checkpoint(self) -> Path:
        return self.folder

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.fractions) >= self.stop_after

    def text(self, level: str | None = None) -> str:
        return "\n".join(message for at, message in self.lines if level in (None, at))

    def steps(self, name: str) -> list[int]:
        return [step for step, values in self.points if name in values and step is not None]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """There is a test process for each core, and torch's threads wait for each other by going round in circles."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "checkpoint")


def load(table: str) -> Any:
    """One of scikit-learn's own data sets, as its Bunch of `data` and `target`."""
    from sklearn import datasets  # seconds, for who collects other tests that use a Recorder

    return getattr(datasets, f"load_{table}")()


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """CSV files of scikit-learn's own data sets, the target last."""
    folder = tmp_path_factory.mktemp("tables")
    paths = {}
    for name in TABLES:
        bunch = load(name)
        columns = {str(column): bunch.data[:, i] for i, column in enumerate(bunch.feature_names)}
        paths[name] = folder / f"{name}.csv"
        pl.DataFrame({**columns, "target": bunch.target}).write_csv(paths[name])
    return paths
