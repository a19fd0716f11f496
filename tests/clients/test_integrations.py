"""A real loop of each training library, logged through its integration.

scikit-learn is installed with the tests. The others run with the long tests, by an interpreter that has them: the one
that CLIENT_TEST_PYTHON names, that of `scripts/setup.sh client-loops`, or this one.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import SOURCES
from tests.clients.server import TrackingServer

LOOPS = Path(__file__).parent / "loops"
INSTALLED = Path(__file__).resolve().parent.parent.parent / ".venv-sdk" / "bin" / "python"


def interpreter() -> str:
    return os.environ.get("CLIENT_TEST_PYTHON") or (str(INSTALLED) if INSTALLED.exists() else sys.executable)


def run_loop(name: str, server: TrackingServer, *packages: str) -> dict[str, dict[str, Any]]:
    """Run a loop to its end; its runs by name."""
    python = interpreter()
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "KERAS_BACKEND": "torch"}
    found = subprocess.run([python, "-c", f"import {', '.join(packages)}"], env=environment, capture_output=True)
    if found.returncode:
        pytest.skip(f"{', '.join(packages)} not installed; `scripts/setup.sh client-loops` installs them")
    done = subprocess.run(
        [python, str(LOOPS / f"{name}.py"), server.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {run["status"] for run in server.state.runs.values()} == {"completed"}
    return {run["name"]: run for run in server.state.runs.values()}


def steps(server: TrackingServer, run: dict[str, Any], name: str) -> list[int]:
    return [step for step, _ in server.state.series(run["id"], name)]


@pytest.mark.full
def test_keras_logs_its_epochs(server: TrackingServer) -> None:
    run = run_loop("keras_loop", server, "keras", "torch")["keras"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        assert steps(server, run, name) == [0, 1, 2, 3]
    assert steps(server, run, "batch/loss") == list(range(2, 25, 2))
    assert server.state.series(run["id"], "learning_rate")[0][1] == pytest.approx(0.01)
    assert run["config"]["optimizer"]["name"] == "adam"
    assert run["config"]["parameters"] == 49


@pytest.mark.full
def test_transformers_logs_what_its_trainer_logs(server: TrackingServer) -> None:
    run = run_loop("transformers_loop", server, "transformers", "accelerate")["transformers"]
    assert steps(server, run, "train/loss") == [2, 4, 6, 8]
    assert steps(server, run, "eval/loss") == [4, 8]
    assert run["config"]["trainer"]["num_train_epochs"] == 2
    assert run["config"]["model"]["hidden_size"] == 16


@pytest.mark.full
def test_lightning_logs_fit_and_test(server: TrackingServer) -> None:
    run = run_loop("lightning_loop", server, "lightning")["lightning"]
    assert steps(server, run, "train_loss") == list(range(1, 24, 2))
    assert steps(server, run, "val_loss") == [7, 15, 23]
    assert len(steps(server, run, "test_loss")) == 1
    assert run["config"]["lr"] == 0.1


@pytest.mark.full
def test_boosters_log_every_round(server: TrackingServer) -> None:
    runs = run_loop("boosters_loop", server, "xgboost", "lightgbm", "sklearn")
    rounds = steps(server, runs["xgboost"], "valid/logloss")
    assert rounds == list(range(len(rounds))) and len(rounds) >= 5
    assert steps(server, runs["xgboost cv"], "test/logloss_std") == [0, 1, 2]
    assert steps(server, runs["xgboost"], "train/error") == rounds
    assert runs["xgboost"]["config"]["best_iteration"] >= 0
    rounds = steps(server, runs["lightgbm"], "valid/auc")
    assert rounds == list(range(len(rounds))) and len(rounds) >= 5
    assert runs["lightgbm"]["config"]["lightgbm"]["objective"] == "binary"


def test_scikit_learn_logs_scores_curves_and_searches(server: TrackingServer, manager: Any) -> None:
    from ai_manager.integrations.sklearn import log_learning, log_params, log_scores, log_search
    from sklearn.datasets import load_diabetes, load_wine
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, x_test, y, y_test = train_test_split(*load_wine(return_X_y=True), random_state=0)
    with manager.run(name="classifier") as run:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0, 10.0]}, cv=3
        ).fit(x, y)
        log_params(run, search.best_estimator_)
        log_search(run, search)
        log_scores(run, search.best_estimator_, x_test, y_test, step=0)
    stored = server.state.runs[1]
    assert stored["config"]["estimator"] == "Pipeline"
    assert stored["config"]["best_params"]["logisticregression__C"] in (0.1, 1.0, 10.0)
    assert [value for _, value in server.state.series(1, "params/logisticregression__C")] == [0.1, 1.0, 10.0]
    assert server.state.series(1, "test/accuracy")[0][1] == pytest.approx(search.score(x_test, y_test))
    for name in ("precision", "recall", "f1", "log_loss", "roc_auc"):
        assert len(server.state.series(1, f"test/{name}")) == 1

    x, x_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    with manager.run(name="regressor") as run:
        model = GradientBoostingRegressor(n_estimators=20).fit(x, y)
        log_learning(run, model)
        log_scores(run, model, x_test, y_test)
    assert [step for step, _ in server.state.series(2, "train/train_score")] == list(range(20))
    assert server.state.series(2, "test/r2")[0][1] == pytest.approx(model.score(x_test, y_test))


@pytest.mark.parametrize("name", ["keras", "transformers", "lightning", "xgboost"])
def test_a_library_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import ai_manager.integrations.{name}"],  # -S: no installed packages
        env={"PYTHONPATH": str(SOURCES), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "pip install" in done.stderr
