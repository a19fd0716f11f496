"""Several processes learn what one learns, and whatever becomes of one of them is told by the one that started them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import wait_until
from tests.outside import ROOT
from tests.trainers.conftest import Recorder
from trainers import registry
from trainers.configs.vision import AlexNetConfig
from trainers.deep import launch
from trainers.deep.group import Group
from trainers.protocol import ConfigProblem, DataProblem, Stopped, TrainerError, TrainResult

# No batch norms, and no dropout: then the processes' shares are all that differs. AdamW divides by the gradient's size,
# and makes much of the order in which small ones were added up.
SETTINGS = {
    "epochs": 2, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.01, "dropout_rate": 0.0, "device": "cpu",
}  # fmt: skip
ALONE, TOGETHER = {"num_gpus": 1}, {"num_gpus": 2}


def train(data: Path, recorder: Recorder, **hyperparameters: Any) -> TrainResult:
    out = recorder.folder.with_name(f"{recorder.folder.name}-out")
    return registry.train("alexnet", {**SETTINGS, **hyperparameters}, data, out, recorder)


def curve(*recorders: Recorder) -> dict[int, float]:
    return {step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values}


def members() -> list[psutil.Process]:
    """The processes of a training that this one has started."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = each.cmdline()
            if "trainers.deep.member" in command and "trainers.deep.launch" not in command:
                found.append(each)
    return found


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_example_of_a_step_is_one_processs(size: int) -> None:
    shares = [list(Group(rank, size).share(range(7))) for rank in range(size)]
    assert [each for share in shares for each in share] == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_group_of_one_waits_for_nobody() -> None:
    assert (Group().total(2.5), Group().agreed(2), Group().random_states()) == (2.5, 2, [])


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:port"])
def test_machines_that_have_nowhere_to_meet_are_refused(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(launch.RENDEZVOUS, address)
    with pytest.raises(ConfigProblem, match="its operator sets AUTOML_RDZV"):
        train(tmp_path, recorder, num_nodes=2)


def test_a_part_that_fits_into_no_processs_memory_is_halved_and_all_begin_anew(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int | None] = []

    def run(*arguments: Any) -> dict[str, Any]:
        tried.append(arguments[-1])
        if len(tried) < 3:
            return {"kind": "part_too_large", "part": arguments[-1] or 16}
        return {"kind": "refused", "type": "DataProblem", "message": "enough", "details": {}}

    monkeypatch.setattr(launch, "_run", run)
    with pytest.raises(DataProblem, match="enough"):
        launch.train("alexnet", AlexNetConfig(num_gpus=2), tmp_path, tmp_path, recorder)
    assert tried == [None, 8, 4]
    assert "16 examples at once do not fit into a process's memory" in recorder.text("WARN")


def test_of_many_outcomes_the_one_that_says_most_counts(tmp_path: Path) -> None:
    config = AlexNetConfig(num_gpus=2)
    assert (
        launch._outcome(tmp_path, 1, config)["message"] == "torchrun ended with 1, and none of its processes said why"
    )
    (tmp_path / "outcome-0000.json").write_text('{"kind": "broken", "message": "Connection closed by peer"}')
    assert launch._outcome(tmp_path, 1, config)["message"] == "Connection closed by peer"
    (tmp_path / launch.KILLED).write_text('{"kind": "broken", "message": "killed by signal 9 (SIGKILL)"}')
    assert "SIGKILL" in launch._outcome(tmp_path, 1, config)["message"]
    (tmp_path / "outcome-0001.json").write_text('{"kind": "refused", "type": "DataProblem"}')
    assert launch._outcome(tmp_path, 1, config)["type"] == "DataProblem"


@pytest.mark.full
def test_two_processes_learn_what_one_learns(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    data = class_folders(18)
    one, two = Recorder(tmp_path / "one"), Recorder(tmp_path / "two")
    alone, together = train(data, one, **ALONE), train(data, two, **TOGETHER)
    assert "2 processes share every batch" in two.text()
    assert curve(two) == pytest.approx(curve(one), abs=1e-5)
    assert together.metrics["log_loss"] == pytest.approx(alone.metrics["log_loss"], abs=1e-4)
    assert together.report["confusion_matrix"] == alone.report["confusion_matrix"]
    assert two.fractions == sorted(two.fractions) and two.fractions[-1] == 1.0
    assert registry.load(together.folder).columns
    assert not list(tmp_path.glob(".group-*")) and not members()


@pytest.mark.full
def test_stopped_processes_end_as_ones_that_were_not(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    class StoppedAtTwo(Recorder):
        def should_stop(self) -> bool:
            return bool(self.steps("train_loss"))

    data = class_folders(24)
    settings = {**TOGETHER, "dropout_rate": 0.4, "augment": "strong", "epochs": 4}
    whole = Recorder(tmp_path / "whole")
    train(data, whole, **settings)
    first = StoppedAtTwo(tmp_path / "parts")
    with pytest.raises(Stopped):
        train(data, first, **settings)
    second = Recorder(tmp_path / "parts")
    train(data, second, **settings)
    assert "resumed in epoch" in second.text()
    assert max(curve(first)) < max(curve(whole))
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)


@pytest.mark.full
def test_what_is_wrong_with_the_data_is_told_as_by_one_process(
    class_folders: Callable[..., Path],
    recorder: Recorder,
) -> None:
    root = class_folders(4)
    for path in (root / "disc").iterdir():
        path.unlink()
    with pytest.raises(DataProblem, match='All images are of the class "cross"'):
        train(root, recorder, **TOGETHER)


@pytest.mark.full
def test_a_package_that_is_missing_is_told_as_by_one_process(
    class_folders: Callable[..., Path], recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "PIL.py").write_text('raise ModuleNotFoundError("No module named \'PIL\'", name="PIL")\n')
    monkeypatch.setenv("PYTHONPATH", str(lacking))  # of the processes that are started, not of this one
    with pytest.raises(ModuleNotFoundError, match="PIL") as raised:
        train(class_folders(4), recorder, **TOGETHER)
    assert raised.value.name == "PIL"


@pytest.mark.full
def test_gpus_that_are_not_there_are_asked_for_in_vain(
    class_folders: Callable[..., Path],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigProblem, match="num_gpus is 2, but this worker has no GPUs"):
        train(class_folders(4), recorder, num_gpus=2, device="auto")


@pytest.mark.full
def test_a_killed_process_takes_the_others_with_it(class_folders: Callable[..., Path], recorder: Recorder) -> None:
    def kill_one() -> None:
        wait_until(lambda: recorder.steps("train_loss"), timeout=120, what="the first step")
        members()[-1].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(RuntimeError, match="SIGKILL"):
        train(class_folders(18), recorder, **TOGETHER, epochs=1000)
    killer.join()
    wait_until(lambda: not members(), timeout=10, what="the end of the others")


@pytest.mark.full
def test_two_machines_learn_what_one_learns(
    class_folders: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
) -> None:
    data = class_folders(18)
    one, two = Recorder(tmp_path / "one"), Recorder(tmp_path / "two")
    train(data, one, **ALONE)
    monkeypatch.setenv(launch.RENDEZVOUS, f"127.0.0.1:{free_port}")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    command = [sys.executable, "-m", "trainers.deep.launch", "--join", "--once", "--node-rank", "1", "--num-nodes", "2"]
    other = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        train(data, two, num_nodes=2)
        assert other.wait(timeout=60) == 0
    finally:
        other.kill()
        other.wait()
    assert curve(two) == pytest.approx(curve(one), abs=1e-5)


@pytest.mark.full
def test_machines_that_do_not_come_are_waited_for_in_vain(
    class_folders: Callable[..., Path],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
) -> None:
    monkeypatch.setenv(launch.RENDEZVOUS, f"127.0.0.1:{free_port}")
    monkeypatch.setattr(launch, "MEETING_SECONDS", 3)
    with pytest.raises(TrainerError, match="The 2 machines of this training did not meet at 127.0.0.1"):
        train(class_folders(4), recorder, num_nodes=2)
