"""Real work-horses: which jobs share a process, and that whatever ends one costs only the job that it ran."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from automl_site.errors import NotCancellable
from jobs.models import Job, JobStatus
from jobs.services.control import job_cancel
from jobs.services.submission import training_submit
from tests.conftest import wait_until
from tests.recovery.conftest import WITH_FRAMEWORKS, Platform, is_gone, logs_in, tree

pytestmark = pytest.mark.recovery


def completed(platform: Platform, **hyperparameters: Any) -> Job:
    job = platform.submit(**{"seconds": 0.05, "steps": 1, **hyperparameters})
    return platform.wait_for(job, "completed")


def test_short_jobs_share_a_process_up_to_its_limit(platform: Platform) -> None:
    worker = platform.worker(AUTOML_JOBS_PER_PROCESS="3")
    completed(platform)
    first = platform.horse(worker)
    completed(platform)
    assert platform.horse(worker).pid == first.pid, logs_in(platform.folder)
    last = completed(platform)
    wait_until(lambda: is_gone(first.pid), what="the end of a process that ran its last job")
    after = completed(platform)
    assert platform.horse(worker).pid != first.pid
    assert [platform.statuses(job) for job in (last, after)] == [["completed"]] * 2


@pytest.mark.full
def test_an_idle_process_ends_when_its_time_is_over(platform: Platform) -> None:
    worker = platform.worker(AUTOML_PROCESS_SECONDS="2")
    completed(platform)
    wait_until(lambda: len(tree(worker.pid)) == 2, what="nothing but the worker and its guard")
    completed(platform)


def is_ended_by(number: int, horse: psutil.Process) -> bool:
    """Send it again and again: a process that is still writing its job's end down does not listen to SIGTERM."""
    with suppress(psutil.NoSuchProcess):
        horse.send_signal(number)
    return is_gone(horse.pid)


@pytest.mark.full
def test_a_process_that_is_killed_between_two_jobs_costs_neither(platform: Platform) -> None:
    worker = platform.worker()
    before = completed(platform)
    horse = platform.horse(worker)
    for number in (signal.SIGKILL, signal.SIGTERM):
        wait_until(lambda horse=horse, number=number: is_ended_by(number, horse), what="its end")
        after = completed(platform)
        assert platform.statuses(after) == ["completed"]
        assert platform.horse(worker).pid != horse.pid
        horse = platform.horse(worker)
    before.refresh_from_db()
    assert (before.status, platform.statuses(before)) == ("completed", ["completed"])


@pytest.mark.full
def test_a_process_that_is_killed_costs_an_attempt_of_its_present_job_only(platform: Platform) -> None:
    worker = platform.worker()
    before = completed(platform)
    job = platform.submit(seconds=3, steps=30)
    waiting = platform.submit(seconds=0.1, steps=1)
    platform.wait_for_step(job, 2)
    platform.horse(worker).kill()
    platform.wait_for(job, "completed", timeout=30)
    platform.wait_for(waiting, "completed")
    assert [platform.statuses(each) for each in (before, job, waiting)] == [
        ["completed"],
        ["lost", "completed"],
        ["completed"],
    ]


def test_a_cancelled_job_takes_its_process_along_and_no_other_job(platform: Platform) -> None:
    worker = platform.worker()
    before = completed(platform)
    job = platform.submit(seconds=600, steps=600, spawn_children=2, ignore_stop=True, ignore_sigterm=True)
    children = platform.children_of(job)
    horse = platform.horse(worker)
    processes = {*tree(horse.pid), *children}
    job_cancel(user=platform.user, job=job)
    after = platform.submit(seconds=0.1, steps=1)
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=5, what="the end of the process tree")
    platform.wait_for(after, "completed")
    before.refresh_from_db()
    assert (before.status, platform.statuses(job), platform.statuses(after)) == (
        "completed",
        ["cancelled"],
        ["completed"],
    )
    assert platform.horse(worker).pid != horse.pid


@pytest.mark.full
def test_a_cancelled_job_that_waits_behind_another_is_not_run_by_its_process(platform: Platform) -> None:
    worker = platform.worker()
    completed(platform)
    horse = platform.horse(worker)
    job = platform.submit(seconds=0.5, steps=10)
    pending = platform.submit(seconds=0.1, steps=1)
    platform.wait_for_step(job)
    job_cancel(user=platform.user, job=pending)
    platform.wait_for(job, "completed")
    completed(platform)
    assert (platform.statuses(job), platform.attempts(pending)) == (["completed"], [])
    assert platform.horse(worker).pid == horse.pid


@pytest.mark.full
def test_jobs_that_are_cancelled_as_they_end_are_either_and_harm_no_other(platform: Platform) -> None:
    platform.worker()
    jobs = [platform.submit(seconds=0.05, steps=1) for _ in range(12)]
    for job in jobs[::2]:
        wait_until(lambda job=job: Job.objects.get(pk=job.pk).status != JobStatus.PENDING, timeout=15, what="its begin")
        with suppress(NotCancellable):  # it has ended meanwhile
            job_cancel(user=platform.user, job=Job.objects.get(pk=job.pk))
    for job in jobs[1::2]:
        platform.wait_for(job, "completed")
        assert platform.statuses(job) == ["completed"]
    for job in jobs[::2]:
        platform.wait_for(job, "completed", "cancelled")
        wait_until(lambda job=job: platform.statuses(job) == [job.status], what="the attempt's end")


@pytest.mark.full
def test_a_failed_job_is_the_last_of_its_process(platform: Platform) -> None:
    worker = platform.worker()
    completed(platform)
    horse = platform.horse(worker)
    job = platform.submit(seconds=0.1, steps=1, crash="error")
    platform.wait_for(job, "failed")
    wait_until(lambda: is_gone(horse.pid), what="the end of its process")
    completed(platform)


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_takes_its_idle_process_along(platform: Platform, number: int) -> None:
    worker = platform.worker()
    completed(platform)
    processes = tree(worker.pid)
    assert len(processes) == 3  # with its guard
    os.kill(worker.pid, number)
    worker.wait(timeout=5)
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=3, what="the end of all of them")


@pytest.mark.full
def test_forests_share_a_process(platform: Platform, files_root: Path) -> None:
    """What really trains leaves native threads behind, but nothing that its process must be ended for."""
    rows = "\n".join(f"{i % 7},{'tall' if i % 7 > 3 else 'short'}" for i in range(70))
    (files_root / "plants.csv").write_text(f"height,kind\n{rows}\n")
    worker = platform.worker(**WITH_FRAMEWORKS)
    pids = []
    for seed in (1, 2):
        job = training_submit(
            user=platform.user,
            model_type="random_forest",
            data_path="plants.csv",
            hyperparameters={"n_estimators": 5, "target": "kind", "random_state": seed},
        )
        platform.wait_for(job, "completed", timeout=60)
        pids.append(platform.horse(worker).pid)
    assert pids[0] == pids[1]


@pytest.mark.full
def test_whatever_hangs_says_where_when_it_is_asked_and_goes_on(platform: Platform) -> None:
    worker = platform.worker()
    job = platform.submit(seconds=3, steps=1, c_sleep=True)  # no Python code runs, no signal handler of Python's
    platform.wait_for(job, "running")
    horse = platform.horse(worker)
    wait_until(lambda: "trainers/testing.py" in platform.logs(), what="the line that the horse waits in")
    assert "jobs/supervision.py" in platform.logs()  # the worker itself, which waits for it
    platform.wait_for(job, "completed")
    assert platform.horse(worker).pid == horse.pid
