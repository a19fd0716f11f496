"""`random_forest`: scikit-learn's RandomForestClassifier and RandomForestRegressor, grown in steps.

Growing by `warm_start` gives tree for tree the forest of a single fit: tree i's seed is the i-th draw of the forest's.
So progress counts trees, the chart shows held-out scores as they grow, and a killed training goes on with its trees.
"""

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import joblib
import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import accuracy_score, r2_score

from trainers.configs.random_forest import CLASSIFICATION_CRITERIA, REGRESSION_CRITERIA, RandomForestConfig
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Reporter, Stopped, TrainResult
from trainers.tabular import store
from trainers.tabular.data import Data, class_weights, column_importances, load_data
from trainers.tabular.predictor import TabularPredictor, classes_of
from trainers.tabular.result import Ending, finish
from trainers.tabular.trees import TreeCheckpoint, check_trees
from trainers.tabular.watch import Watch, fitting

Forest: TypeAlias = "RandomForestClassifier | RandomForestRegressor"

STEP = (1.0, 5.0)  # seconds, least and most, that one step of growing should take
ROUNDS = 25  # trees that each core grows in a step, where that fits: at its end, cores wait for the last tree
GROWTH = 4  # a step grows at most this many times the trees there are: the first ones measure how long a tree takes
CHECKPOINT_EVERY = 10.0  # seconds
CHECKPOINT_SHARE = 0.02  # of the fit's time that checkpoints may cost
SCORING_SHARE = 0.01  # of the fit's time that drawing the chart may cost
FREE_SCORING = 0.02  # seconds, so that short fits have a chart too
WATCHED_ROWS = 2000  # held-out rows that the chart is drawn from
BEGIN = 0.05  # of the bar, when the data is read
SLOW = 3.0  # seconds of growing from which on it is worth measuring what comes after it
MEASURED_TREES = 8  # that this is measured with
TRUSTED = ["sklearn.tree._tree.Tree"]  # its arrays are checked after loading


def train(config: RandomForestConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the table at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    # Data: forests compute in single precision
    data = load_data(config, data_path, reporter, scaled=False)
    X = np.ascontiguousarray(data.X_train, np.float32)

    # Model
    forest = _forest(config, data, reporter)

    # Loop
    with Watch(reporter) as watch, fitting(reporter):
        watch.step(BEGIN, "growing trees")
        seconds, ending = _grow(forest, X, data, config, reporter, watch)
        importances = column_importances(data, forest.feature_importances_)

    # Artefacts
    metrics = {"training_time": seconds, "trees": float(config.n_estimators)}
    if config.oob_score:
        metrics["oob_score"] = float(forest.oob_score_)
        for name in ("oob_decision_function_", "oob_prediction_"):  # one row a training row: not part of a model
            forest.__dict__.pop(name, None)
    forest.__dict__.pop("_sample_weight", None)
    return finish(
        model_type="random_forest",
        backend="cython",
        config=config,
        data=data,
        model=forest,
        out=out,
        reporter=reporter,
        metrics=metrics,
        report={"feature_importances": importances},
        ending=ending,
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> TabularPredictor:
    """The model that `train` saved. Raises ModelProblem."""
    columns, encoder, model = store.load(folder, manifest, TRUSTED)
    store.check_type(model, RandomForestClassifier, RandomForestRegressor)
    check_trees(model.estimators_)
    model.set_params(n_jobs=None)  # starting threads takes longer than a few rows
    classes = classes_of(manifest, model) if manifest["task"] == "classification" else []
    return TabularPredictor(manifest["task"], columns, encoder, model, classes)


def _grow(
    forest: Forest, X: npt.NDArray[np.float32], data: Data, config: RandomForestConfig, reporter: Reporter, watch: Watch
) -> tuple[float, Ending]:
    """Grow all trees; seconds that it took, those of a resumed training's first part not among them, and what is left.

    Scoring and saving a forest can take a third of the time that growing it takes: the bar has a part for them.
    """
    wanted = config.n_estimators
    cores = joblib.effective_n_jobs(forest.n_jobs)
    started = time.perf_counter()
    checkpoint = TreeCheckpoint(reporter.checkpoint(), _fingerprint(forest, X, data))
    forest.set_params(warm_start=True, oob_score=False, n_estimators=1)
    forest.fit(X, data.y_train)
    _resume(forest, checkpoint, wanted, reporter)
    chart = _Chart(forest, data, reporter)
    saved_at, saving = time.perf_counter(), 0.0
    resumed = len(forest.estimators_)
    after: _After | None = None
    while True:
        grown = len(forest.estimators_)
        now = time.perf_counter()
        a_tree = (now - started) / max(grown - resumed, 1)
        if after is None and grown - resumed >= MEASURED_TREES and a_tree * wanted > SLOW:
            after = _measure_after(forest, X, data, config, cores)
        grown_at = after.grown_at(a_tree) if after else 0.94
        watch.step(BEGIN + (grown_at - BEGIN) * grown / wanted, f"{grown} of {wanted} trees")
        chart.draw(now - started)
        if config.verbose:
            reporter.log("INFO", f"{grown} of {wanted} trees")
        stopping = reporter.should_stop()
        if stopping or (now - saved_at >= CHECKPOINT_EVERY and saving <= CHECKPOINT_SHARE * (now - started)):
            checkpoint.save(forest.estimators_)
            saved_at = time.perf_counter()
            saving += saved_at - now
        if stopping:
            reporter.log("INFO", f"stopped with {grown} of {wanted} trees, which are kept")
            raise Stopped
        watch.stop_if_asked()
        if grown >= wanted:
            break
        forest.set_params(n_estimators=min(grown + _step(now - started, grown - resumed, cores), wanted))
        forest.fit(X, data.y_train)
    ending = after.ending(wanted, watch.reported) if after else Ending()
    if config.oob_score:
        estimate = after.oob * wanted if after else None
        watch.phase(watch.reported, ending.begins, "scoring the rows that each tree has not seen", estimate)
        forest.set_params(oob_score=True)
        forest.fit(X, data.y_train)  # grows nothing: it scores the trees there are
    forest.set_params(warm_start=False)
    seconds = time.perf_counter() - started
    reporter.log("INFO", f"grew {wanted - (resumed if resumed > 1 else 0)} trees in {seconds:.2f} s on {cores} cores")
    return seconds, ending


@dataclass(frozen=True)
class _After:
    """Seconds that a tree costs once it has grown: scored on rows it has not seen and on held-out ones, and saved."""

    oob: float
    scoring: float
    saving: float

    def grown_at(self, a_tree: float) -> float:
        """Where on the bar the last tree has grown; `a_tree` is the seconds that one takes to grow."""
        return BEGIN + (1 - BEGIN) * a_tree / (a_tree + self.oob + self.scoring + self.saving)

    def ending(self, trees: int, now: float) -> Ending:
        """What comes after the scoring of the rows not seen, which begins at `now` on the bar."""
        begins = now + (1 - now) * self.oob / (self.oob + self.scoring + self.saving)
        return Ending(begins, self.scoring * trees, self.saving * trees)


def _measure_after(
    forest: Forest, X: npt.NDArray[np.float32], data: Data, config: RandomForestConfig, cores: int
) -> _After:
    """What comes after the growing, done with a few trees."""
    part = copy.copy(forest)
    part.estimators_ = forest.estimators_[-MEASURED_TREES:]
    held_out = np.ascontiguousarray(data.X_test, np.float32)
    times = [time.perf_counter()]
    if config.oob_score:
        for tree in part.estimators_:
            tree.predict(X[: len(X) // 3], check_input=False)  # a bootstrap leaves out 1/e of the rows
    times.append(time.perf_counter())
    for tree in part.estimators_:
        tree.predict(held_out, check_input=False)
    times.append(time.perf_counter())
    store.packed(part)
    times.append(time.perf_counter())
    oob, scoring, saving = (np.diff(times) / len(part.estimators_)).tolist()
    return _After(oob if config.oob_score else 0.0, scoring / cores, saving)


def _step(elapsed: float, grown: int, cores: int) -> int:
    """How many trees to grow next, as a multiple of the cores; `grown` of them took `elapsed` seconds."""
    a_round = elapsed / max(grown, 1) * cores
    rounds = round(min(max(STEP[0], ROUNDS * a_round), STEP[1]) / a_round)
    return max(min(rounds, GROWTH * grown // cores), 1) * cores


def _resume(forest: Forest, checkpoint: TreeCheckpoint, wanted: int, reporter: Reporter) -> None:
    """Put the checkpoint's trees into the forest, which has grown its first one, if they are of this very training."""
    try:
        trees = checkpoint.load(forest.estimators_[0])
    except FileNotFoundError:
        return
    except ModelProblem as problem:
        reporter.log("WARN", f"{problem.message}; growing all trees anew")
        return
    if len(trees) > 1:
        forest.estimators_ = trees[:wanted]
        reporter.log("INFO", f"resumed with {len(forest.estimators_)} of {wanted} trees from the checkpoint")


class _Chart:
    """Held-out scores while the forest grows. Each tree predicts once; no more of them than the time allows."""

    def __init__(self, forest: Forest, data: Data, reporter: Reporter) -> None:
        self.forest = forest
        self.classifies = data.task == "classification"
        self.reporter = reporter
        self.X = np.ascontiguousarray(data.X_test[:WATCHED_ROWS], np.float32)
        self.y = data.y_test[:WATCHED_ROWS]
        self.total: Any = 0.0  # sum of the predictions of the first `trees` trees
        self.trees = 0
        self.spent = 0.0

    def draw(self, elapsed: float) -> None:
        """Let more trees predict, as far as `elapsed` seconds of growing allow, and report the score so far."""
        before = self.trees
        for tree in self.forest.estimators_[self.trees :]:
            if self.spent > FREE_SCORING + SCORING_SHARE * elapsed:
                break
            started = time.perf_counter()
            predict = tree.predict_proba if self.classifies else tree.predict
            self.total = self.total + predict(self.X, check_input=False)
            self.trees += 1
            self.spent += time.perf_counter() - started
        if self.trees == before:
            return
        if self.classifies:
            labels = self.forest.classes_[np.argmax(self.total, axis=1)]
            values = {"val_accuracy": float(accuracy_score(self.y, labels))}
        else:
            values = {"val_r2": float(r2_score(self.y, self.total / self.trees))}
        self.reporter.metrics(values, step=self.trees)


def _forest(config: RandomForestConfig, data: Data, reporter: Reporter) -> Forest:
    """The unfitted forest. Raises ConfigProblem where the config does not fit the task that the data has."""
    shared = {
        "n_estimators": config.n_estimators,
        "max_depth": config.max_depth,
        "min_samples_split": config.min_samples_split,
        "min_samples_leaf": config.min_samples_leaf,
        "min_weight_fraction_leaf": config.min_weight_fraction_leaf,
        "max_leaf_nodes": config.max_leaf_nodes,
        "min_impurity_decrease": config.min_impurity_decrease,
        "bootstrap": config.bootstrap,
        "oob_score": config.oob_score,
        "n_jobs": -1 if config.n_jobs is None else config.n_jobs,
        "random_state": data.seed,
        "ccp_alpha": config.ccp_alpha,
        "max_samples": config.max_samples,
        "monotonic_cst": _monotonic(config, data),
    }
    if isinstance(config.max_features, int) and config.max_features > data.X_train.shape[1]:
        reporter.log("WARN", f"max_features {config.max_features} is more than the {data.X_train.shape[1]} features")
    if data.task == "classification":
        _refuse(config.criterion, REGRESSION_CRITERIA, CLASSIFICATION_CRITERIA, data)
        return RandomForestClassifier(
            **shared,
            criterion="gini" if config.criterion == "auto" else config.criterion,
            max_features="sqrt" if config.max_features == "auto" else config.max_features,
            class_weight=class_weights(config.class_weight, data),
        )
    _refuse(config.criterion, CLASSIFICATION_CRITERIA, REGRESSION_CRITERIA, data)
    criterion = config.criterion
    if criterion == "friedman_mse":
        reporter.log("WARN", 'criterion "friedman_mse" is deprecated: in a forest it is the same as "squared_error"')
    if criterion in ("auto", "friedman_mse"):
        criterion = "squared_error"
    if criterion == "poisson" and (data.y_train.min() < 0 or data.y_train.sum() <= 0):
        raise DataProblem(
            f'criterion "poisson" needs a target of 0 or more; "{data.target}" goes down to {data.y_train.min():g}.',
            details={"column": data.target},
        )
    if config.class_weight is not None:
        reporter.log("WARN", "class_weight is for classification and not used: the target is a number")
    return RandomForestRegressor(
        **shared,
        criterion=criterion,
        max_features=1.0 if config.max_features == "auto" else config.max_features,
    )


def _refuse(criterion: str, wrong: tuple[str, ...], right: tuple[str, ...], data: Data) -> None:
    if criterion in wrong:
        sentence = f'"{criterion}" does not fit the task, a {data.task} of "{data.target}"; use {", ".join(right)}.'
        raise ConfigProblem(f"criterion {sentence}", details={"criterion": [sentence]})


def _monotonic(config: RandomForestConfig, data: Data) -> list[int] | None:
    """The constraints, one for each feature of the matrix."""
    asked = config.monotonic_cst
    if asked is None:
        return None
    if len(data.classes) > 2:
        raise _monotonic_problem("is not possible with more than two classes.")
    if isinstance(asked, list):
        if len(asked) != len(data.columns):
            raise _monotonic_problem(f"has {len(asked)} entries for {len(data.columns)} input columns.")
        asked = {column.name: sign for column, sign in zip(data.columns, asked, strict=True)}
    kinds = {column.name: column.kind for column in data.columns}
    for name, sign in asked.items():
        if sign and kinds.get(name) not in ("number", "boolean", "ignored"):
            what = f"is a {kinds[name]}" if name in kinds else "is no input column"
            raise _monotonic_problem(f'names "{name[:100]}", which {what}; only columns of numbers can be constrained.')
    return [asked.get(name, 0) for name in data.encoder.feature_names()]


def _monotonic_problem(sentence: str) -> ConfigProblem:
    return ConfigProblem(f"monotonic_cst {sentence}", details={"monotonic_cst": [sentence]})


def _fingerprint(forest: Forest, X: npt.NDArray[np.float32], data: Data) -> str:
    """Of all that decides how the trees turn out, but for how many there are."""
    decides = {
        k: v for k, v in forest.get_params().items() if k not in ("n_estimators", "n_jobs", "oob_score", "warm_start")
    }
    digest = hashlib.blake2b(json.dumps([sklearn.__version__, X.shape, decides], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(X).data)
    digest.update("\0".join(map(str, data.y_train.tolist())).encode())
    return digest.hexdigest()
