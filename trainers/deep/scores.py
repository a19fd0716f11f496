"""Scores of a classification on held-out examples, and what pages draw of them. numpy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_CLASSES_DRAWN = 50
MOST, MOST_WRONG = 24, 12  # samples, and mistakes among them


def classification(
    actual: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, report) of class numbers (n,) and probabilities (n, classes).

    Averages over classes are macro, over those that the examples or predictions have.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(matrix, (actual, predicted), 1)
    hits = np.diag(matrix).astype(float)
    support, found = matrix.sum(axis=1), matrix.sum(axis=0)
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=support > 0)
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    f1 = np.divide(2 * hits, support + found, out=np.zeros_like(hits), where=support + found > 0)
    scored = support + found > 0
    chosen = np.clip(probabilities[np.arange(len(actual)), actual], 1e-15, 1)
    values = {
        "accuracy": float(hits.sum() / len(actual)),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "f1": float(f1[scored].mean()),
        "f1_weighted": float(np.average(f1, weights=support)),
        "precision": float(precision[scored].mean()),
        "recall": float(recall[scored].mean()),
        "log_loss": float(-np.log(chosen).mean()),
    }
    if len(classes) > 5:
        best = np.argpartition(-probabilities, 4, axis=1)[:, :5]
        values["top_5_accuracy"] = float((best == actual[:, None]).any(axis=1).mean())
    if len(classes) == 2 and 0 < support[1] < len(actual):
        values["roc_auc"] = _binary_auc(actual == 1, probabilities[:, 1])
    most = np.argsort(-(support + found), kind="stable")[:MAX_CLASSES_DRAWN]
    drawn = sorted(place for place in most.tolist() if scored[place])  # of many outputs most may never have been seen
    return values, {
        "classes": len(classes),
        "confusion_matrix": {
            "labels": [classes[i] for i in drawn],
            "matrix": matrix[np.ix_(drawn, drawn)].tolist(),
        },
        "per_class": [
            {
                "label": classes[i],
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i in drawn
        ],
    }


def chosen(actual: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """Rows of the surest mistakes, and of the surest hits of each class in turn."""
    predicted = probabilities.argmax(axis=1)
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = surest[predicted[surest] != actual[surest]][:MOST_WRONG]
    right = surest[predicted[surest] == actual[surest]]
    turn = np.zeros(len(right), np.int64)  # how many of the same class come before
    for label in np.unique(actual[right]):
        mine = np.flatnonzero(actual[right] == label)
        turn[mine] = np.arange(len(mine))
    right = right[np.argsort(turn, kind="stable")][: MOST - len(wrong)]
    return [*wrong.tolist(), *right.tolist()]


def _binary_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann & Whitney 1947); ties count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places]
    n_positive, n_negative = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
