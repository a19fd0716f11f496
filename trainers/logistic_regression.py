"""`logistic_regression`: scikit-learn's LogisticRegression on scaled features.

With the default solver, lbfgs, every iteration is seen through scikit-learn's own callbacks, which leave the result as
it is: progress counts iterations, and the chart shows the held-out accuracy. The other solvers are one call that
nothing can look into. A fit cannot be resumed; an interrupted training starts over.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.multiclass import OneVsRestClassifier

from trainers.configs.logistic_regression import LogisticRegressionConfig
from trainers.protocol import Reporter, TrainResult
from trainers.tabular import store
from trainers.tabular.data import Data, class_weights, column_importances, load_data
from trainers.tabular.predictor import TabularPredictor, classes_of
from trainers.tabular.result import finish
from trainers.tabular.watch import Watch, fitting

TRUSTED: list[str] = []  # all of its types are scikit-learn's public ones, which skops knows
WATCHED_ROWS = 2000  # held-out rows that the chart is drawn from
SCORING_SHARE = 0.01  # of the fit's time that drawing may cost
FREE_SCORING = 0.02  # seconds, so that short fits have a chart too


def train(config: LogisticRegressionConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the table at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    # Data
    data = load_data(config, data_path, reporter, scaled=True, classifier_only=True)

    # Model
    if config.n_jobs is not None:
        reporter.log("INFO", "n_jobs has no effect on a logistic regression (since scikit-learn 1.8)")
    classifier = LogisticRegression(
        C=np.inf if config.effective_penalty() is None else config.C,
        l1_ratio=_l1_ratio(config),
        solver=config.solver,
        max_iter=config.max_iter,
        class_weight=class_weights(config.class_weight, data),
        fit_intercept=config.fit_intercept,
        intercept_scaling=config.intercept_scaling,
        dual=config.dual,
        tol=config.tol,
        random_state=data.seed,
    )
    model: Any = classifier
    if config.solver == "liblinear" and len(np.unique(data.y_train)) > 2:
        reporter.log("INFO", "liblinear tells two classes apart: one model a class is fitted, against the rest")
        model = OneVsRestClassifier(classifier)

    # Fit
    with Watch(reporter) as watch, fitting(reporter):
        watch.phase(0.05, 0.05, f"fitting ({config.solver})")
        if config.solver == "lbfgs":
            classifier.set_callbacks(_Iterations(config, data, reporter, watch))
        watch.stop_if_asked()
        started = time.perf_counter()
        model.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - started
        watch.stop_if_asked()
    if config.solver == "lbfgs":
        classifier.set_callbacks()

    # Artefacts
    coefficients = np.vstack([part.coef_ for part in getattr(model, "estimators_", [model])])
    iterations = int(np.max([np.max(part.n_iter_) for part in getattr(model, "estimators_", [model])]))
    reporter.log("INFO", f"fitted in {seconds:.2f} s and {iterations} iterations")
    return finish(
        model_type="logistic_regression",
        backend=config.solver,
        config=config,
        data=data,
        model=model,
        out=out,
        reporter=reporter,
        metrics={"training_time": seconds, "iterations": float(iterations)},
        report={"feature_importances": column_importances(data, np.abs(coefficients).mean(axis=0))},
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> TabularPredictor:
    """The model that `train` saved. Raises ModelProblem."""
    columns, encoder, model = store.load(folder, manifest, TRUSTED)
    store.check_type(model, LogisticRegression, OneVsRestClassifier)
    return TabularPredictor("classification", columns, encoder, model, classes_of(manifest, model))


def _l1_ratio(config: LogisticRegressionConfig) -> float:
    penalty = config.effective_penalty()
    if penalty == "elasticnet":
        return float(config.l1_ratio or 0.0)
    return 1.0 if penalty == "l1" else 0.0


class _Iterations:
    """scikit-learn's FitCallback: called after each iteration of lbfgs."""

    def __init__(self, config: LogisticRegressionConfig, data: Data, reporter: Reporter, watch: Watch) -> None:
        self.most = max(config.max_iter, 1)
        self.verbose = bool(config.verbose)
        self.reporter = reporter
        self.watch = watch
        self.X, self.y = data.X_test[:WATCHED_ROWS], data.y_test[:WATCHED_ROWS]
        self.started = time.perf_counter()
        self.scoring = 0.0

    def setup(self, estimator: Any, context: Any) -> None:
        self.started = time.perf_counter()

    def teardown(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        if context.task_name != "lbfgs-iter" or fitted_estimator is None:
            return False
        self.watch.stop_if_asked()
        now = time.perf_counter()
        if self.scoring > FREE_SCORING + SCORING_SHARE * (now - self.started):
            return False
        iteration = context.task_id + 1
        accuracy = float(accuracy_score(self.y, fitted_estimator.predict(self.X)))
        self.reporter.metrics({"val_accuracy": accuracy}, step=iteration)
        # max_iter is a limit: most fits converge long before it.
        self.watch.step(0.05 + 0.89 * iteration / self.most, f"iteration {iteration} of at most {self.most}")
        if self.verbose:
            self.reporter.log("INFO", f"iteration {iteration}: val_accuracy {accuracy:.4f}")
        self.scoring += time.perf_counter() - now
        return False
