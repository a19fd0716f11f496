"""The warm inference workers, cancelled and killed in the middle of predictions."""

import time
from typing import Any

import pytest

from jobs.models import Job, TrainedModel
from jobs.services.control import job_cancel
from jobs.services.submission import inference_submit
from tests.conftest import wait_until
from tests.recovery.conftest import Platform, is_gone, tree

pytestmark = pytest.mark.recovery


@pytest.fixture
def model(platform: Platform) -> TrainedModel:
    """A model whose predictions take as long, or crash, as their parameters say."""
    worker = platform.worker()
    job = platform.submit(seconds=0, steps=1)
    platform.wait_for(job, "completed")
    worker.terminate()
    worker.wait()
    return TrainedModel.objects.get(job=job)


def ask(platform: Platform, model: TrainedModel, **parameters: Any) -> Job:
    """A prediction that waits for its worker: no worker may be running yet when it has parameters."""
    job = inference_submit(user=platform.user, model_id=model.public_id, input_data="1,2")
    if parameters:  # such as the contract would refuse
        Job.objects.filter(pk=job.pk, status="pending").update(parameters=parameters)
    return job


@pytest.mark.full
def test_a_warm_worker_answers_again_and_again_from_one_process(platform: Platform, model: TrainedModel) -> None:
    worker = platform.worker("inference")
    horse = platform.horse(worker)
    jobs = [ask(platform, model) for _ in range(5)]
    for job in jobs:
        platform.wait_for(job, "completed")
        assert job.result == {"model_id": model.public_id, "predictions": [{"value": 0.0}]}
    assert platform.horse(worker).pid == horse.pid, platform.logs()
    worker.terminate()
    assert worker.wait(timeout=6) == 0
    wait_until(lambda: is_gone(horse.pid), timeout=2, what="the end of the server")


def test_a_prediction_that_is_cancelled_ends_and_the_next_ones_are_answered(
    platform: Platform, model: TrainedModel
) -> None:
    stuck, crashing, after = ask(platform, model, seconds=600), ask(platform, model, crash="segv"), ask(platform, model)
    worker = platform.worker("inference")
    platform.wait_for(stuck, "running")
    horse = platform.horse(worker)
    started = time.monotonic()
    job_cancel(user=platform.user, job=stuck)
    wait_until(lambda: is_gone(horse.pid), timeout=5, what="the end of the prediction")
    assert time.monotonic() - started < 5
    wait_until(lambda: platform.statuses(stuck) == ["cancelled"], what="the attempt's end")
    platform.wait_for(crashing, "failed")
    assert "a segmentation fault in native code" in crashing.error
    assert platform.statuses(crashing) == ["failed"]
    platform.wait_for(after, "completed")
    assert platform.statuses(after) == ["completed"]
    assert worker.poll() is None


@pytest.mark.full
def test_a_prediction_whose_worker_is_killed_is_made_by_another(platform: Platform, model: TrainedModel) -> None:
    platform.reconciler()
    job = ask(platform, model, seconds=2)
    worker = platform.worker("inference")
    platform.wait_for(job, "running")
    processes = tree(worker.pid)
    platform.start_worker("inference")
    worker.kill()
    worker.wait()
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=5, what="the end of the process tree")
    platform.wait_for(job, "completed", timeout=30)
    assert platform.statuses(job) == ["lost", "completed"]


@pytest.mark.full
def test_a_prediction_that_takes_its_worker_down_each_time_is_given_up(platform: Platform, model: TrainedModel) -> None:
    job, after = ask(platform, model, crash="kill"), ask(platform, model)
    worker = platform.worker("inference")
    platform.wait_for(job, "failed", timeout=30)
    assert platform.statuses(job) == ["lost", "lost", "lost"]
    assert job.error.startswith("Given up after 3 attempts that were lost")
    platform.wait_for(after, "completed")
    assert worker.poll() is None
