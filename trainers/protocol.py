"""What a trainer and the one who runs it say to each other. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    import polars as pl

Task = Literal[
    "classification",
    "regression",
    "image_classification",
    "text_classification",
    "language_modelling",
    "masked_language_modelling",
]
LEAST_TEMPERATURE = 0.001  # divided by less, logits pass what numbers can hold


class TrainerError(Exception):
    """A failure that was foreseen. `message` is told to the user as it is; `details` is JSON-able context."""

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(message)


class DataProblem(TrainerError):
    """The data cannot be used as it is. `details` names what is known: column, row, rows (header is row 1)."""


class ConfigProblem(TrainerError):
    """Hyperparameters that make no sense. `details` maps a field's name to a list of sentences."""


class ModelProblem(TrainerError):
    """A saved model that is damaged, was tampered with, or was written by something else."""


class Stopped(Exception):  # noqa: N818 - it is no error: the caller asked for it
    """`should_stop()` was true; what could be kept lies in the checkpoint folder."""


class Reporter(Protocol):
    """The trainer's only way to the outside. Every method may be called from any thread."""

    def log(self, level: str, message: str) -> None:
        """One line for the user; `level` is INFO, WARN or ERROR."""

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Points of the series named by the keys, at `step` (trees, iterations; None for final values)."""

    def progress(self, fraction: float, message: str = "") -> None:
        """How far the work is, in [0, 1]. The message says so when the fraction is an estimate."""

    def checkpoint(self) -> Path:
        """The folder to write checkpoints to; what it holds when training starts is resumed from."""

    def should_stop(self) -> bool:
        """True once training is to end early: write a checkpoint and raise `Stopped`."""


class Ran(TypedDict):
    """What computed a training: of its result, and of the manifest of its model."""

    framework: str
    framework_version: str
    backend: str
    device: str


@dataclass(frozen=True)
class TrainResult:
    """What a training made. All of it but `folder` is JSON-able."""

    metrics: dict[str, float]
    folder: Path  # holds model.json and the model's files
    framework: str  # "sklearn"
    framework_version: str
    backend: str  # what computed inside the framework, e.g. "cython", "libsvm"
    device: str  # "cpu"
    task: Task
    # For pages, as far as the task has them: confusion_matrix {labels, matrix}, per_class [{label, precision, recall,
    # f1, support}], classes (how many there are, where only the most frequent are drawn), feature_importances [{name,
    # importance}], residuals [{actual, predicted}] (at most 500), samples of the held-out part [{file (a picture in the
    # folder) or text, label, predicted, score}] (at most 24), generated [{prompt, text}].
    report: dict[str, Any] = field(default_factory=dict)
    columns: list[dict[str, Any]] = field(default_factory=list)  # the inputs in order: {name, kind, examples, ...}
    target: str = ""


class Predictor(Protocol):
    """A loaded model."""

    task: Task
    columns: list[dict[str, Any]]

    def predict(
        self, rows: "Sequence[Mapping[str, Any]] | pl.DataFrame", parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One prediction a row: {"label", "score"[, "probabilities"][, "top_k"]} or {"value"}. Raises TrainerError."""

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """As `predict`, for what a caller wrote: CSV rows, JSON, or a `Path` to a file. Raises TrainerError."""


def temperature_of(parameters: Mapping[str, Any]) -> float:
    """What an inference's logits are divided by: 1 if it does not say; near 0, the likeliest class only is left."""
    asked = parameters.get("temperature")
    return 1.0 if asked is None else max(float(asked), LEAST_TEMPERATURE)
