"""The shell's door, and the trainers that only tests and benchmarks use."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.trainers.conftest import Recorder
from trainers import __main__ as shell
from trainers import registry, testing
from trainers.protocol import Stopped, TrainerError

ROOT = Path(__file__).parents[2]


def test_a_model_is_trained_and_asked_from_the_shell(tables, tmp_path):
    out = tmp_path / "model"
    command = [sys.executable, "-m", "trainers"]
    trained = subprocess.run(
        [*command, "random_forest", "--data", tables["wine"], "--set", "n_estimators=20", "--out", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (trained.returncode, trained.stderr) == (0, "")
    for part in ("task: classification", "step 20: val_accuracy", "accuracy  ", f"model              {out}"):
        assert part in trained.stdout
    asked = subprocess.run(
        [*command, "predict", out, "--data", tables["wine"], "--set", "probability=true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    answers = [json.loads(line) for line in asked.stdout.splitlines()]
    assert len(answers) == 178
    assert set(answers[0]["probabilities"]) == {"0", "1", "2"}


def test_a_reader_that_has_read_enough_ends_it_quietly(tables, tmp_path, recorder):
    model = tmp_path / "model"
    registry.train("logistic_regression", {}, tables["wine"], model, recorder)
    rows = tables["wine"].read_text().splitlines()
    (tmp_path / "many.csv").write_text("\n".join([rows[0], *rows[1:] * 100]))  # more than a pipe holds
    command = [sys.executable, "-m", "trainers", "predict", model, "--data", tmp_path / "many.csv"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell_command:
        assert json.loads(shell_command.stdout.readline())["label"] == "0"
        shell_command.stdout.close()
        assert shell_command.wait(timeout=120) == 141
        assert shell_command.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a forest", "--data", "x.csv"], "There is no model type"),
        (["svm", "--data", "no.csv"], "There is no file no.csv"),
        (["svm", "--data", "no.csv", "--set", "C=-1", "--set", "tol=x"], "tol must be a number above 0"),
        (["predict", "nowhere", "--data", "x.csv"], "There is no model here"),
    ],
)
def test_a_failure_is_told_in_a_line_and_the_status_is_1(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert shell.main(arguments) == 1
    assert words in capsys.readouterr().err


def test_the_noop_trainer_takes_no_time_and_no_data(tmp_path, recorder):
    result = registry.train("noop", {}, tmp_path / "nothing.csv", tmp_path / "m", recorder)
    assert result.metrics == {"training_time": 0.0}
    assert registry.load(tmp_path / "m").predict([{}, {}]) == [{"value": 0.0}, {"value": 0.0}]


def test_the_sleeper_is_there_only_where_it_is_asked_for():
    code = "import trainers.registry as r; print('sleeper' in r.TRAINERS, 'svm' in r.TRAINERS)"
    for value, expected in (("1", "True True"), ("only", "True False"), ("", "False True")):
        environment = {**os.environ, "AUTOML_TEST_TRAINERS": value}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == expected


def sleep(tmp_path: Path, recorder: Recorder, **config):
    (tmp_path / "out").mkdir(exist_ok=True)
    return testing.train(testing.SleeperConfig(**config), tmp_path, tmp_path / "out", recorder)


@pytest.mark.parametrize("c_sleep", [False, True])
def test_the_sleeper_takes_the_time_that_it_says(c_sleep, tmp_path, recorder):
    started = time.monotonic()
    sleep(tmp_path, recorder, seconds=0.4, steps=4, c_sleep=c_sleep)
    assert 0.4 <= time.monotonic() - started < 5
    assert recorder.fractions == [0.25, 0.5, 0.75, 1.0]


def test_the_sleeper_resumes_after_its_last_step(tmp_path, recorder):
    with pytest.raises(RuntimeError, match="told to crash"):
        sleep(tmp_path, recorder, seconds=0, steps=5, crash="raise", crash_at_step=3, crash_once=True)
    sleep(tmp_path, recorder, seconds=0, steps=5, crash="raise", crash_at_step=3, crash_once=True)
    assert "resumed after step 3 of 5" in recorder.text()
    assert recorder.steps("step") == [1, 2, 3, 4, 5]
    with pytest.raises(TrainerError):
        sleep(tmp_path / "x", Recorder(tmp_path / "x" / "k"), seconds=0, crash="error")


def test_the_sleeper_stops_when_asked_and_keeps_its_children_until_then(tmp_path):
    recorder = Recorder(tmp_path / "k", stop_after=2)
    with pytest.raises(Stopped):
        sleep(tmp_path, recorder, seconds=0, steps=9, spawn_children=2)
    children = json.loads((tmp_path / "k" / "children.json").read_text())
    assert len(children) == 2
    assert not [pid for pid in children if psutil.pid_exists(pid)]


@pytest.mark.parametrize(("how", "status"), [("exit", 13), ("segv", -11), ("kill", -9)])
def test_the_sleeper_ends_its_process_as_told(how, status):
    program = f"from pathlib import Path; from trainers.testing import _crash; _crash({how!r}, Path())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    assert done.returncode == status
