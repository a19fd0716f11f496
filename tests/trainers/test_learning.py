"""What the trainers learn is what plain scikit-learn learns."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from tests.conftest import in_brief
from tests.trainers.conftest import Recorder, load
from trainers import random_forest, registry

SEEDS = in_brief(range(5), 0)
CLASSIFIERS = {
    "random_forest": lambda seed: RandomForestClassifier(random_state=seed),
    "svm": lambda seed: make_pipeline(StandardScaler(), SVC()),
    "logistic_regression": lambda seed: make_pipeline(StandardScaler(), LogisticRegression(random_state=seed)),
}
REGRESSORS = {
    "random_forest": lambda seed: RandomForestRegressor(random_state=seed),
    "svm": lambda seed: make_pipeline(StandardScaler(), SVR()),
}


def halves(table: str, seed: int, *, stratify: bool):
    bunch = load(table)
    stratify_by = bunch.target if stratify else None
    return train_test_split(bunch.data, bunch.target, test_size=0.2, random_state=seed, stratify=stratify_by)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("table", ["wine", "breast_cancer"])
@pytest.mark.parametrize("model_type", CLASSIFIERS)
def test_a_classifier_scores_as_plain_scikit_learn_on_the_same_split(
    model_type, table, seed, tables, tmp_path, recorder
):
    X_train, X_test, y_train, y_test = halves(table, seed, stratify=True)
    plain = CLASSIFIERS[model_type](seed).fit(X_train, y_train)
    expected = plain.predict(X_test)

    result = registry.train(model_type, {"random_state": seed}, tables[table], tmp_path / "model", recorder)

    assert result.task == "classification"
    assert result.metrics["n_test"] == len(y_test)
    assert abs(result.metrics["accuracy"] - accuracy_score(y_test, expected)) <= 0.01
    assert abs(result.metrics["f1"] - f1_score(y_test, expected, average="macro")) <= 0.01
    if model_type != "svm":
        shares = plain.predict_proba(X_test)
        auc = roc_auc_score(y_test, shares if table == "wine" else shares[:, 1], multi_class="ovr")
        assert abs(result.metrics["roc_auc"] - auc) <= 0.01
    assert result.metrics["accuracy"] > 0.9  # the majority class would score 0.4 and 0.63


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("model_type", REGRESSORS)
def test_a_regressor_scores_as_plain_scikit_learn_on_the_same_split(model_type, seed, tables, tmp_path, recorder):
    X_train, X_test, y_train, y_test = halves("diabetes", seed, stratify=False)
    expected = REGRESSORS[model_type](seed).fit(X_train, y_train).predict(X_test)

    result = registry.train(model_type, {"random_state": seed}, tables["diabetes"], tmp_path / "model", recorder)

    assert result.task == "regression"
    assert abs(result.metrics["r2"] - r2_score(y_test, expected)) <= 0.01
    assert result.metrics["rmse"] == pytest.approx(np.sqrt(np.mean((y_test - expected) ** 2)), rel=0.01)
    assert 0 < len(result.report["residuals"]) <= 500


def test_svm_probabilities_are_those_of_the_calibration_that_scikit_learn_recommends(tables, tmp_path, recorder):
    X_train, X_test, y_train, y_test = halves("wine", 0, stratify=True)
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    scaler = StandardScaler().fit(X_train)
    plain = CalibratedClassifierCV(SVC(), cv=cv, ensemble=False).fit(scaler.transform(X_train), y_train)

    registry.train("svm", {"probability": True}, tables["wine"], tmp_path / "model", recorder)
    rows = [list(map(float, row)) for row in X_test]
    answers = registry.load(tmp_path / "model").predict_input(rows, {"probability": True})

    ours = np.array([[answer["probabilities"][label] for label in ("0", "1", "2")] for answer in answers])
    assert np.allclose(ours, plain.predict_proba(scaler.transform(X_test)), atol=1e-6)


@pytest.mark.parametrize(
    ("model_type", "table", "settings"),
    [
        ("random_forest", "wine", {"n_estimators": 37, "max_depth": 4}),
        ("random_forest", "diabetes", {"n_estimators": 37, "oob_score": True}),
        ("random_forest", "wine", {"n_estimators": 23, "class_weight": "balanced_subsample", "oob_score": True}),
        ("random_forest", "wine", {"n_estimators": 11, "bootstrap": False, "criterion": "entropy"}),
    ],
)
def test_a_forest_grown_in_steps_is_that_of_a_single_fit(model_type, table, settings, tables, tmp_path, recorder):
    regression = table == "diabetes"
    X_train, X_test, y_train, _ = halves(table, 3, stratify=not regression)
    plain = (RandomForestRegressor if regression else RandomForestClassifier)(**settings, random_state=3)
    plain.fit(X_train.astype(np.float32), y_train)

    result = registry.train(model_type, {**settings, "random_state": 3}, tables[table], tmp_path / "model", recorder)
    ours = registry.load(tmp_path / "model").model

    assert len(recorder.steps("val_r2" if regression else "val_accuracy")) > 1, "it was not grown in steps"
    assert [tree.random_state for tree in ours.estimators_] == [tree.random_state for tree in plain.estimators_]
    for mine, other in zip(ours.estimators_, plain.estimators_, strict=True):
        assert np.array_equal(mine.tree_.feature, other.tree_.feature)
        assert np.array_equal(mine.tree_.threshold, other.tree_.threshold)
        assert np.array_equal(mine.tree_.value, other.tree_.value)
    if settings.get("oob_score"):
        assert result.metrics["oob_score"] == plain.oob_score_


def test_watching_the_iterations_of_a_logistic_regression_does_not_change_it(tables, tmp_path, recorder):
    X_train, _, y_train, _ = halves("wine", 0, stratify=True)
    plain = LogisticRegression().fit(StandardScaler().fit_transform(X_train), y_train)

    registry.train("logistic_regression", {}, tables["wine"], tmp_path / "model", recorder)
    ours = registry.load(tmp_path / "model").model

    assert len(recorder.steps("val_accuracy")) >= 3
    assert ours.n_iter_ == plain.n_iter_
    assert np.allclose(ours.coef_, plain.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model_type", CLASSIFIERS)
def test_the_same_seed_gives_the_same_model_and_another_seed_another_split(model_type, tables, tmp_path):
    def run(name: str, seed: int) -> dict:
        recorder = Recorder(tmp_path / f"checkpoint-{name}")
        config = {"random_state": seed}
        result = registry.train(model_type, config, tables["wine"], tmp_path / name, recorder)
        return {key: value for key, value in result.metrics.items() if key != "training_time"}

    first, again = run("first", 7), run("again", 7)
    assert first == again
    encoders = [Path(tmp_path / name / "encoder.json").read_bytes() for name in ("first", "again")]
    assert encoders[0] == encoders[1]
    run("other", 8)
    assert Path(tmp_path / "other" / "encoder.json").read_bytes() != encoders[0]


def test_a_drawn_seed_is_told_so_that_the_training_can_be_repeated(tables, tmp_path, recorder):
    registry.train("random_forest", {"random_state": None, "n_estimators": 3}, tables["wine"], tmp_path / "m", recorder)
    assert f"random_state: {registry.read_manifest(tmp_path / 'm')['seed']} (drawn)" in recorder.text("INFO")


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("logistic_regression", {"penalty": "l1", "solver": "saga", "max_iter": 500}),
        ("logistic_regression", {"penalty": "elasticnet", "l1_ratio": 0.5, "solver": "saga"}),
        ("logistic_regression", {"penalty": None}),
        ("logistic_regression", {"C": "inf", "solver": "newton-cg"}),
        ("logistic_regression", {"solver": "liblinear"}),
        ("logistic_regression", {"solver": "liblinear", "penalty": "l1"}),
        ("logistic_regression", {"max_iter": 1}),
        ("logistic_regression", {"class_weight": {"0": 2.0, "1": 1.0, "2.0": 3.0}}),
        ("svm", {"kernel": "linear", "probability": False}),
        ("svm", {"kernel": "poly", "degree": 2, "decision_function_shape": "ovo", "probability": False}),
        ("svm", {"class_weight": "balanced", "break_ties": True, "verbose": True}),
        ("random_forest", {"max_samples": 0.5, "n_estimators": 5, "verbose": 1}),
        ("random_forest", {"max_features": 0.5, "n_estimators": 5, "min_samples_leaf": 0.05, "ccp_alpha": 0.01}),
        ("random_forest", {"class_weight": {"1": 5.0}, "n_estimators": 5}),
    ],
)
def test_settings_train_score_and_load_without_a_warning_on_the_console(
    model_type, settings, tables, tmp_path, recorder, recwarn, capfd
):
    result = registry.train(model_type, settings, tables["wine"], tmp_path / "model", recorder)
    predictor = registry.load(tmp_path / "model")
    answer = predictor.predict_input("13,1.5,2.3,15,100,2.8,3,0.2,2,5,1,3,1000", {"top_k": 2})[0]
    assert result.metrics["accuracy"] > 0.5
    assert answer["label"] in ("0", "1", "2")
    assert [len(answer["top_k"]), answer["score"] <= 1] == [2, True]
    assert not [warning for warning in recwarn if "sklearn" in str(warning.filename)]
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_limit_of_iterations_is_told(tables, tmp_path, recorder):
    registry.train("logistic_regression", {"max_iter": 1}, tables["wine"], tmp_path / "model", recorder)
    assert "lbfgs failed to converge" in recorder.text("WARN")


def test_progress_is_true_and_never_goes_back(tables, tmp_path, recorder):
    registry.train("random_forest", {"n_estimators": 60}, tables["wine"], tmp_path / "model", recorder)
    assert recorder.fractions == sorted(recorder.fractions)
    assert (recorder.fractions[0], recorder.fractions[-1]) == (0.0, 1.0)
    assert "60 of 60 trees" in recorder.messages


@pytest.mark.parametrize(("table", "oob"), [("wine", False), ("wine", True), ("diabetes", True)])
def test_a_forest_keeps_a_part_of_the_bar_for_what_comes_after_the_growing(
    table, oob, tables, tmp_path, recorder, monkeypatch
):
    monkeypatch.setattr(random_forest, "SLOW", 0.0)  # as if this were a long training
    after = random_forest._After(oob=0.25 if oob else 0.0, scoring=0.25, saving=0.5)
    measure = random_forest._measure_after

    def measure_and_exchange(*given):
        real = measure(*given)
        assert real.scoring > 0 and real.saving > 0 and (real.oob > 0) == oob
        return after

    monkeypatch.setattr(random_forest, "_measure_after", measure_and_exchange)
    monkeypatch.setattr(random_forest._After, "grown_at", lambda self, a_tree: 0.5)
    config = {"n_estimators": 60, "oob_score": oob, "n_jobs": 1}
    registry.train("random_forest", config, tables[table], tmp_path / "m", recorder)
    told = dict(zip(recorder.messages, recorder.fractions, strict=True))
    assert told["60 of 60 trees"] == pytest.approx(0.5)
    scoring, *_ = [at for message, at in told.items() if message.startswith("scoring the held-out rows")]
    saving, *_ = [at for message, at in told.items() if message.startswith("saving the model")]
    assert scoring == pytest.approx(0.625 if oob else 0.5, abs=0.01)
    assert saving == pytest.approx(0.75 if oob else 0.5 + 0.5 / 3, abs=0.01)
    assert any("15 s (an estimate" in message for message in recorder.messages)  # 60 trees of 0.25 s
    assert recorder.fractions == sorted(recorder.fractions)
    assert any("that each tree has not seen" in message for message in recorder.messages) == oob


def test_the_part_of_the_bar_for_growing_is_that_of_its_time():
    after = random_forest._After(oob=0.0, scoring=1.0, saving=2.0)
    assert after.grown_at(3.0) == pytest.approx(0.05 + 0.95 / 2)
    assert after.grown_at(0.0) == pytest.approx(0.05)
