"""Progress while the main thread cannot report."""

import threading
import time

import pytest

from trainers.protocol import Stopped, TrainerError
from trainers.tabular import watch as module
from trainers.tabular.watch import Watch, fitting


def wait_for(condition, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(module, "TICK", 0.01)


def test_time_moves_progress_towards_the_end_of_a_phase_and_never_there(recorder):
    with Watch(recorder) as watch:
        watch.phase(0.1, 0.5, "fitting", estimate=0.05)
        wait_for(lambda: recorder.fractions[-1] > 0.45)
        wait_for(lambda: "above about 0 s (an estimate" in recorder.messages[-1])
    assert recorder.fractions == sorted(recorder.fractions)
    assert recorder.fractions[-1] < 0.5 or recorder.fractions[-1] == pytest.approx(0.5)
    assert "progress" in recorder.threads


def test_without_an_estimate_only_the_time_is_told(recorder):
    with Watch(recorder) as watch:
        watch.phase(0.2, 0.9, "fitting")
        wait_for(lambda: "fitting (0 s)" in recorder.messages)
    assert set(recorder.fractions) == {0.2}


def test_the_thread_is_gone_afterwards(recorder):
    with Watch(recorder):
        pass
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_what_the_reporter_raises_in_the_thread_ends_the_training(recorder, monkeypatch):
    def refuse(fraction: float, message: str = "") -> None:
        raise ConnectionError("the claim is gone")

    with pytest.raises(ConnectionError), Watch(recorder) as watch:
        monkeypatch.setattr(recorder, "progress", refuse)
        wait_for(lambda: watch._failure is not None)
        watch.stop_if_asked()


def test_being_asked_to_stop_stops(recorder):
    recorder.stop_after = 0
    with pytest.raises(Stopped), Watch(recorder) as watch:
        watch.stop_if_asked()


def test_what_scikit_learn_refuses_is_a_failure_that_is_told(recorder):
    with pytest.raises(TrainerError, match="could not fit this model to this data: no"), fitting(recorder):
        raise ValueError("no")
