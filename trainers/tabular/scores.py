"""Scores of predictions on held-out rows, and what pages draw of them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

MAX_CLASSES_DRAWN = 50
MAX_RESIDUALS = 500


def classification(
    actual: npt.NDArray[np.str_],
    predicted: npt.NDArray[np.str_],
    classes: list[str],
    *,
    probabilities: npt.NDArray[np.float64] | None = None,
    decisions: npt.NDArray[np.float64] | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, report). Averages are macro unless named otherwise, over the classes that the rows or predictions have.

    `probabilities` and `decisions` are (n, classes); ROC AUC comes from whichever there is.
    """
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        actual, predicted, labels=classes, average=None, zero_division=0.0
    )
    scored = np.isin(classes, actual) | np.isin(classes, predicted)
    values = {
        "accuracy": float(metrics.accuracy_score(actual, predicted)),
        "balanced_accuracy": float(np.mean(recall[support > 0])),
        "f1": float(np.mean(f1[scored])),
        "f1_weighted": float(np.average(f1, weights=support)),
        "precision": float(np.mean(precision[scored])),
        "recall": float(np.mean(recall[scored])),
    }
    auc = _roc_auc(actual, classes, probabilities if probabilities is not None else decisions)
    if auc is not None:
        values["roc_auc"] = auc
    if probabilities is not None:
        values["log_loss"] = _log_loss(actual, classes, probabilities)
    drawn = sorted(np.argsort(-support, kind="stable")[:MAX_CLASSES_DRAWN])
    labels = [classes[i] for i in drawn]
    return values, {
        "classes": len(classes),
        "confusion_matrix": {
            "labels": labels,
            "matrix": metrics.confusion_matrix(actual, predicted, labels=labels).tolist()
            if np.isin(labels, actual).any()
            else [],
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


def regression(
    actual: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, report). r2 is 0.0 where the held-out values are all the same and none is hit."""
    values = {
        "r2": float(metrics.r2_score(actual, predicted)),
        "mae": float(metrics.mean_absolute_error(actual, predicted)),
        "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
    }
    shown = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), MAX_RESIDUALS)).astype(int))
    residuals = [{"actual": float(actual[i]), "predicted": float(predicted[i])} for i in shown]
    return values, {"residuals": residuals}


def _roc_auc(actual: npt.NDArray[np.str_], classes: list[str], scores: npt.NDArray[np.float64] | None) -> float | None:
    """Binary AUC, or the mean of one-vs-rest AUCs over the classes that have rows for and against."""
    if scores is None:
        return None
    columns = range(1, 2) if len(classes) == 2 else range(len(classes))
    aucs = []
    for i in columns:
        is_class = actual == classes[i]
        if 0 < is_class.sum() < len(actual):
            aucs.append(float(metrics.roc_auc_score(is_class, scores[:, i])))
    return float(np.mean(aucs)) if aucs else None


def _log_loss(actual: npt.NDArray[np.str_], classes: list[str], probabilities: npt.NDArray[np.float64]) -> float:
    position = {label: i for i, label in enumerate(classes)}
    of_actual = probabilities[np.arange(len(actual)), [position[label] for label in actual]]
    return float(-np.mean(np.log(np.clip(of_actual, np.finfo(np.float64).eps, 1.0)))) + 0.0  # not -0.0
