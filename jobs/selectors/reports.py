"""What a trained model's page draws of its report, bounded: a report of a thousand classes is still a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.models import TrainedModel

MATRIX_CLASSES = 50  # 2,500 cells
ROOMY_CLASSES = 12  # up to here a matrix shows its shares too
LISTED_CLASSES = 200
CONFUSIONS = 10
SAMPLES = 24
SAMPLE_TEXT = 300  # characters
DEFAULT_SORT = "-support"
SORTS = ("label", "precision", "recall", "f1", "support")


@dataclass(frozen=True)
class Matrix:
    """Counts by truth (rows) and prediction, of the most frequent classes."""

    labels: Sequence[str]
    rows: Sequence[Sequence[int]]
    classes: int  # that there are

    @property
    def is_dense(self) -> bool:
        return len(self.labels) > ROOMY_CLASSES

    @property
    def is_cut(self) -> bool:
        return len(self.labels) < self.classes


@dataclass(frozen=True)
class Confusion:
    """One class that was taken for another, `count` times: `share` of its rows."""

    label: str
    predicted: str
    count: int
    share: float


def confusion_matrix(report: Mapping[str, Any]) -> Matrix | None:
    """The matrix of the report, None where it has none."""
    found = report.get("confusion_matrix")
    if not found or not found["matrix"]:
        return None
    labels, rows = found["labels"], found["matrix"]
    classes = int(report.get("classes") or len(labels))
    if len(labels) > MATRIX_CLASSES:
        by_count = sorted(range(len(labels)), key=lambda i: -sum(rows[i]))
        kept = sorted(by_count[:MATRIX_CLASSES])
        labels, rows = [labels[i] for i in kept], [[rows[i][j] for j in kept] for i in kept]
    return Matrix(labels, rows, classes)


def confusions(matrix: Matrix) -> list[Confusion]:
    """The most frequent mistakes."""
    found = [
        Confusion(matrix.labels[i], matrix.labels[j], count, count / sum(row))
        for i, row in enumerate(matrix.rows)
        for j, count in enumerate(row)
        if count and i != j
    ]
    return sorted(found, key=lambda each: (-each.count, -each.share))[:CONFUSIONS]


def class_scores(report: Mapping[str, Any], sort: str) -> tuple[list[Mapping[str, Any]], int]:
    """(the first rows of the scores a class, how many there are). `sort` is a name of SORTS, behind - descending;
    anything else sorts by the number of rows."""
    rows = list(report.get("per_class") or ())
    if sort.removeprefix("-") not in SORTS:
        sort = DEFAULT_SORT
    key = sort.removeprefix("-")
    rows.sort(key=lambda row: row[key], reverse=sort.startswith("-"))
    return rows[:LISTED_CLASSES], len(rows)


def samples(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predictions on held-out examples: {label, predicted, score, right, file | text}."""
    found = []
    for sample in (report.get("samples") or ())[:SAMPLES]:
        text = str(sample.get("text") or "")
        shown = text[:SAMPLE_TEXT] + ("…" if len(text) > SAMPLE_TEXT else "")
        found.append({**sample, "text": shown, "right": sample["label"] == sample["predicted"]})
    return found


def has_curves(model: TrainedModel) -> bool:
    """Whether it was trained in epochs, whose metrics its run has."""
    return model.run_id is not None and bool(model.metrics.get("epochs"))
