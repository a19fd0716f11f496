"""scikit-learn: its estimators have no callbacks, so what there is to know is logged after the fit.

with manager.run(name="forest") as run:
    model = RandomForestClassifier().fit(x_train, y_train)
    log_params(run, model)
    log_scores(run, model, x_test, y_test)
"""

from __future__ import annotations

from typing import Any

from ai_manager.run import Run

try:
    from sklearn import metrics
    from sklearn.base import is_classifier
except ImportError as error:
    raise ImportError("ai_manager.integrations.sklearn needs scikit-learn: pip install scikit-learn") from error

# What estimators that learn step by step remember of each step.
_CURVES = ("loss_curve_", "validation_scores_", "train_score_", "oob_scores_", "validation_score_")


def log_params(run: Run, estimator: Any) -> None:
    """The estimator's class and parameters, those of a pipeline's steps too, into the run's config."""
    run.config["estimator"] = type(estimator).__name__
    run.config["params"] = estimator.get_params(deep=True)


def log_scores(run: Run, estimator: Any, x: Any, y: Any, *, prefix: str = "test", step: int | None = None) -> None:
    """Accuracy, precision, recall, F1 (macro), log loss, ROC AUC of a classifier; R², MAE, RMSE of a regressor."""
    predicted = estimator.predict(x)
    if not is_classifier(estimator):
        scores = {
            "r2": metrics.r2_score(y, predicted),
            "mae": metrics.mean_absolute_error(y, predicted),
            "rmse": metrics.mean_squared_error(y, predicted) ** 0.5,
        }
    else:
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            y, predicted, average="macro", zero_division=0
        )
        scores = {"accuracy": metrics.accuracy_score(y, predicted), "precision": precision, "recall": recall, "f1": f1}
        if hasattr(estimator, "predict_proba"):
            scores.update(_probability_scores(estimator, x, y))
    run.log({f"{prefix}/{name}": float(value) for name, value in scores.items()}, step=step)


def _probability_scores(estimator: Any, x: Any, y: Any) -> dict[str, float]:
    probabilities, classes = estimator.predict_proba(x), estimator.classes_
    scores = {"log_loss": metrics.log_loss(y, probabilities, labels=classes)}
    try:
        if len(classes) == 2:
            scores["roc_auc"] = metrics.roc_auc_score(y, probabilities[:, 1])
        else:
            scores["roc_auc"] = metrics.roc_auc_score(y, probabilities, multi_class="ovr", labels=classes)
    except ValueError:
        return scores  # a class that this data has not: its curve is not defined
    return scores


def log_learning(run: Run, estimator: Any) -> None:
    """The learning curves that boosting and neural networks keep, one step a stage."""
    fitted = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    for name in _CURVES:
        curve = getattr(fitted, name, None)
        if curve is None:
            continue
        for step, value in enumerate(curve):
            run.log({f"train/{name.rstrip('_')}": value}, step=step)


def log_search(run: Run, search: Any) -> None:
    """A grid or random search: one step a candidate, the best one's parameters into the run's config."""
    results = search.cv_results_
    for step, parameters in enumerate(results["params"]):
        values = {f"search/{key}": results[key][step] for key in results if key.startswith(("mean_", "std_", "rank_"))}
        numeric = {name: value for name, value in parameters.items() if isinstance(value, (int, float))}
        run.log({**values, **{f"params/{name}": float(value) for name, value in numeric.items()}}, step=step)
    run.config.update(best_params=search.best_params_, best_score=float(search.best_score_))
