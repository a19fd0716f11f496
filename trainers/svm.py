"""`svm`: scikit-learn's SVC and SVR on scaled features, with calibrated probabilities where they are wanted.

A fit is one call into libsvm that nothing can look into: progress is the time against an estimate, taken from fits of
small parts. It cannot be resumed; an interrupted training starts over.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, SVR

from trainers.configs.svm import SVMConfig
from trainers.protocol import Reporter, TrainResult
from trainers.tabular import store
from trainers.tabular.data import Data, class_weights, column_importances, load_data
from trainers.tabular.predictor import TabularPredictor, classes_of
from trainers.tabular.result import finish
from trainers.tabular.watch import Watch, fitting

AUTO_PROBABILITY_ROWS = 5000
MANY_ROWS = 20_000  # libsvm's time grows with the square of the rows
FOLDS = 5
PARTS = (20, 10)  # fits of n/20 and n/10 rows: 1.25 % of the whole, whose time is at least quadratic in the rows
WORTH_ESTIMATING = 5.0  # seconds
TRUSTED = [
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.model_selection._split.StratifiedKFold",
]


def train(config: SVMConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the table at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    # Data
    data = load_data(config, data_path, reporter, scaled=True)
    n = len(data.y_train)
    if n > MANY_ROWS:
        reporter.log("WARN", f"an SVM's time grows with the square of the rows; {n} are many. random_forest is faster.")

    # Model
    machine = _machine(config, data, reporter)
    folds = _calibration_folds(config, data, reporter)
    model: Any = machine
    if folds:
        cv = StratifiedKFold(folds, shuffle=True, random_state=data.seed)
        model = CalibratedClassifierCV(machine, cv=cv, ensemble=False)

    # Fit
    with Watch(reporter) as watch, fitting(reporter):
        watch.phase(0.05, 0.05, "fitting")
        estimate = _estimate(machine, config, data, folds, watch)
        if estimate is not None:
            reporter.log("INFO", f"the fit will take about {estimate:.0f} s (an estimate from fits of small parts)")
        watch.stop_if_asked()
        watch.phase(0.05, 0.94, "fitting", estimate)
        started = time.perf_counter()
        model.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - started
        watch.stop_if_asked()

    # Artefacts
    fitted = model.calibrated_classifiers_[0].estimator if folds else model
    reporter.log("INFO", f"fitted in {seconds:.2f} s; {len(fitted.support_)} support vectors of {n} rows")
    if config.verbose:
        reporter.log("INFO", f"iterations of the solver: {np.sum(fitted.n_iter_)}; gamma: {fitted._gamma:.6g}")
    metrics = {"training_time": seconds, "support_vectors": float(len(fitted.support_))}
    report: dict[str, Any] = {}
    if config.kernel == "linear":
        report["feature_importances"] = column_importances(data, np.abs(np.asarray(fitted.coef_)).mean(axis=0))
    return finish(
        model_type="svm",
        backend="libsvm",
        config=config,
        data=data,
        model=model,
        out=out,
        reporter=reporter,
        metrics=metrics,
        report=report,
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> TabularPredictor:
    """The model that `train` saved. Raises ModelProblem."""
    columns, encoder, model = store.load(folder, manifest, TRUSTED)
    store.check_type(model, CalibratedClassifierCV, SVC, SVR)
    classes = classes_of(manifest, model) if manifest["task"] == "classification" else []
    return TabularPredictor(manifest["task"], columns, encoder, model, classes)


def _machine(config: SVMConfig, data: Data, reporter: Reporter) -> SVC | SVR:
    shared = {
        "C": config.C,
        "kernel": config.kernel,
        "gamma": config.gamma,
        "degree": config.degree,
        "coef0": config.coef0,
        "shrinking": config.shrinking,
        "tol": config.tol,
        "cache_size": config.cache_size,
        "max_iter": config.max_iter,
    }
    if data.task == "regression":
        for name in ("class_weight", "probability", "break_ties", "decision_function_shape"):
            if name in config.model_fields_set and getattr(config, name) != SVMConfig.model_fields[name].default:
                reporter.log("WARN", f"{name} is for classification and not used: the target is a number")
        return SVR(**shared, epsilon=config.epsilon)
    if "epsilon" in config.model_fields_set and config.epsilon != SVMConfig.model_fields["epsilon"].default:
        reporter.log("WARN", "epsilon is for regression and not used: the target is a class")
    return SVC(
        **shared,
        class_weight=class_weights(config.class_weight, data),
        decision_function_shape=config.decision_function_shape,
        break_ties=config.break_ties,
    )


def _calibration_folds(config: SVMConfig, data: Data, reporter: Reporter) -> int:
    """Folds of the cross-validation that calibrates probabilities; 0 for none."""
    if data.task == "regression" or config.probability is False:
        return 0
    if config.probability == "auto" and len(data.y_train) > AUTO_PROBABILITY_ROWS:
        reporter.log(
            "INFO",
            f"no probabilities: probability=auto calibrates them with up to {AUTO_PROBABILITY_ROWS} training rows; "
            "probability=true always does",
        )
        return 0
    smallest = int(np.unique(data.y_train, return_counts=True)[1].min())
    if smallest < 2:
        reporter.log("WARN", "no probabilities: a class with one training row cannot be calibrated")
        return 0
    return min(FOLDS, smallest)


def _estimate(machine: SVC | SVR, config: SVMConfig, data: Data, folds: int, watch: Watch) -> float | None:
    """Seconds that the whole fit will take, from the growth between two small parts; None if it is too short."""
    n = len(data.y_train)
    order = np.random.default_rng(data.seed).permutation(n)
    times: list[float] = []
    for part in PARTS:
        rows = order[: n // part]
        if len(rows) < 50 or (data.task == "classification" and len(np.unique(data.y_train[rows])) < 2):
            return None
        started = time.perf_counter()
        # A cache as much smaller as the kernel matrix is: with the whole one a part would never miss it.
        trial = clone(machine).set_params(cache_size=config.cache_size / part**2)
        trial.fit(data.X_train[rows], data.y_train[rows])
        times.append(time.perf_counter() - started)
        if times[0] * PARTS[0] ** 2 < WORTH_ESTIMATING:
            return None
        watch.stop_if_asked()
    growth = float(np.clip(np.log(times[1] / times[0]) / np.log(PARTS[0] / PARTS[1]), 2.0, 3.0))
    whole = times[1] * PARTS[1] ** growth
    return whole * (1 + folds * ((folds - 1) / folds) ** growth) if folds else whole
