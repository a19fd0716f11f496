"""Truth and recovery with real workers, reconcilers and kills: whatever dies, each job ends once, and truly."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from jobs import lifecycle, queue
from jobs.models import Attempt, Job, TrainedModel, Worker
from jobs.services.control import job_cancel
from jobs.workspace import work_root, workspace
from tests.conftest import wait_until
from tests.recovery.conftest import START_SECONDS, WITH_FRAMEWORKS, Platform, is_gone, tree

pytestmark = pytest.mark.recovery


@pytest.mark.full
def test_a_training_goes_from_its_submission_to_a_model(platform: Platform) -> None:
    worker = platform.worker(**WITH_FRAMEWORKS)
    job = platform.submit(seconds=0.5, steps=5)
    platform.wait_for(job, "completed")
    assert platform.statuses(job) == ["completed"]
    assert platform.log(job) == [f"step {step} of 5" for step in range(1, 6)]
    assert job.progress == 1.0
    assert job.result["model_id"] == job.model_public_id
    assert (Path(settings.FILES_ROOT) / "models" / job.model_public_id / "model.json").is_file()
    assert TrainedModel.objects.get(job=job).public_id == job.model_public_id
    wait_until(lambda: not (work_root() / str(job.pk)).exists(), what="the work folder's removal")
    wait_until(lambda: Worker.objects.get(pid=worker.pid).state == "idle", what="an idle worker")


@pytest.mark.full
def test_an_idle_worker_ends_at_once_and_says_so(platform: Platform) -> None:
    worker = platform.worker()
    started = time.monotonic()
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert time.monotonic() - started < 5
    assert Worker.objects.get(pid=worker.pid).state == "stopped"


@pytest.mark.full
def test_a_pending_job_is_cancelled_at_once_and_never_runs(platform: Platform) -> None:
    job = platform.submit(seconds=1)
    job_cancel(user=platform.user, job=job)
    assert job.status == "cancelled"
    later = platform.submit(seconds=0.1, steps=1)
    platform.worker()
    platform.wait_for(later, "completed")
    assert platform.attempts(job) == []


MISBEHAVIOURS: dict[str, dict[str, Any]] = {
    "polite": {},
    "looks at nothing": {"ignore_stop": True},
    "ignores SIGTERM": {"ignore_stop": True, "ignore_sigterm": True},
    "sleeps in C": {"c_sleep": True, "ignore_stop": True, "steps": 1},
}


@pytest.mark.full
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_a_cancelled_job_leaves_no_process(platform: Platform, misbehaviour: str) -> None:
    worker = platform.worker(**WITH_FRAMEWORKS)
    job = platform.submit(**{"seconds": 600, "steps": 600, "spawn_children": 2, **MISBEHAVIOURS[misbehaviour]})
    children = platform.children_of(job)
    horse = platform.horse(worker)
    processes = {*tree(horse.pid), *children}
    assert len(processes) == 3
    started = time.monotonic()
    job_cancel(user=platform.user, job=job)
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=5, what="the end of the process tree")
    assert time.monotonic() - started < 5
    wait_until(lambda: platform.statuses(job) == ["cancelled"], what="the attempt's end")
    # Only the checkpoint stays, to go on from.
    wait_until(lambda: Job.objects.get(pk=job.pk).checkpoint_host, what="the word that a checkpoint is kept")
    assert [each.name for each in workspace(job.pk, 1).folder.iterdir()] == ["checkpoint"]
    assert not (Path(settings.FILES_ROOT) / "models" / job.model_public_id).exists()
    after = platform.submit(seconds=0.1, steps=1)
    platform.wait_for(after, "completed")
    assert worker.poll() is None


def test_a_worker_that_is_killed_leaves_no_process_and_its_job_goes_on_elsewhere(platform: Platform) -> None:
    platform.reconciler()
    worker = platform.worker()
    platform.start_worker()
    job = platform.submit(seconds=4, steps=20, spawn_children=2)
    children = platform.children_of(job)
    platform.wait_for_step(job, 3)
    processes = {*tree(worker.pid), *children}
    worker.kill()
    worker.wait()
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=5, what="the end of the process tree")
    platform.wait_for(job, "completed", timeout=START_SECONDS)  # the other worker may still be starting
    assert platform.statuses(job) == ["lost", "completed"]
    assert any(line.startswith("resumed after step") for line in platform.log(job))
    assert job.lost_attempts == 1


@pytest.mark.full
def test_after_three_lost_attempts_the_job_fails_with_the_reason(platform: Platform) -> None:
    platform.worker()
    job = platform.submit(seconds=0.2, steps=2, crash="kill")
    platform.wait_for(job, "failed")
    assert platform.statuses(job) == ["lost", "lost", "lost"]
    assert job.error_kind == Job.ErrorKind.INFRASTRUCTURE
    assert job.error.startswith("Given up after 3 attempts that were lost")
    assert "killed from outside" in job.error


OWN_FAULTS = {
    "segv": ("ended by signal 11: a segmentation fault in native code", Job.ErrorKind.OWN),
    "exit": ("exit status 13", Job.ErrorKind.OWN),
    "error": ("The sleeper was told to fail.", Job.ErrorKind.OWN),
    "raise": ("error id", Job.ErrorKind.INTERNAL),
    "memory": ("The training needed more memory than there is; use less data", Job.ErrorKind.OWN),
}


@pytest.mark.full
@pytest.mark.parametrize("crash", OWN_FAULTS)
def test_what_is_the_jobs_own_fault_is_not_tried_again(platform: Platform, crash: str) -> None:
    words, kind = OWN_FAULTS[crash]
    platform.worker()
    job = platform.submit(seconds=0.2, steps=2, crash=crash, crash_at_step=1)
    platform.wait_for(job, "failed")
    assert words in job.error
    assert job.error_kind == kind
    assert platform.statuses(job) == ["failed"]
    assert platform.log(job)[-1] == job.error
    after = platform.submit(seconds=0.1, steps=1)
    platform.wait_for(after, "completed")


@pytest.mark.full
def test_a_training_is_stopped_at_its_deadline(platform: Platform) -> None:
    job = platform.submit(seconds=600, steps=600, ignore_stop=True)
    Job.objects.filter(pk=job.pk).update(timeout_seconds=1.0)
    platform.worker()
    platform.wait_for(job, "failed")
    assert job.error == "The training was stopped at its deadline of 1 seconds."
    assert job.error_kind == Job.ErrorKind.TIMEOUT


def test_a_worker_told_to_end_hands_its_job_back_and_another_resumes_it(platform: Platform) -> None:
    worker = platform.worker()
    job = platform.submit(seconds=3, steps=30)
    platform.wait_for_step(job, 3)
    second = platform.start_worker()
    worker.terminate()
    assert worker.wait(timeout=6) == 0
    job.refresh_from_db()
    assert platform.statuses(job)[0] == "handed_back"
    platform.wait_for_worker(second)
    platform.wait_for(job, "completed")
    assert platform.statuses(job) == ["handed_back", "completed"]
    assert job.lost_attempts == 0
    assert any(line.startswith("resumed after step") for line in platform.log(job))


@pytest.mark.full
def test_a_stubborn_job_is_handed_back_too(platform: Platform) -> None:
    worker = platform.worker()
    job = platform.submit(seconds=600, steps=600, ignore_stop=True, ignore_sigterm=True)
    running = Attempt.objects.filter(job=job, status="running")
    wait_until(running.exists, timeout=15, what="the attempt")
    worker.terminate()
    assert worker.wait(timeout=8) == 0
    job.refresh_from_db()
    assert (job.status, platform.statuses(job)) == ("pending", ["handed_back"])


@pytest.mark.full
def test_emptying_redis_loses_no_job(platform: Platform) -> None:
    platform.reconciler()
    platform.worker()
    jobs = [platform.submit(seconds=0.6, steps=3) for _ in range(4)]
    platform.wait_for_step(jobs[0], 1)
    platform.redis.flushall()
    for job in jobs:
        platform.wait_for(job, "completed")
    assert [platform.statuses(job) for job in jobs] == [["completed"]] * 4


def test_jobs_go_on_while_redis_is_killed_and_restarted(platform: Platform) -> None:
    platform.reconciler()
    platform.worker()
    jobs = [platform.submit(seconds=seconds, steps=5) for seconds in (1, 0.2, 0.2)]
    platform.wait_for_step(jobs[0], 1)
    platform.valkey.kill()
    platform.valkey.wait()
    jobs.append(platform.submit(seconds=0.2, steps=1))  # accepted without Redis
    platform.wait_for(jobs[0], "completed")
    platform.start_valkey()
    for job in jobs:
        platform.wait_for(job, "completed")
    jobs.append(platform.submit(seconds=0.2, steps=1))
    platform.wait_for(jobs[-1], "completed")
    assert [platform.statuses(job) for job in jobs] == [["completed"]] * 5


@pytest.mark.full
def test_a_job_with_many_wake_ups_runs_once(platform: Platform) -> None:
    job = platform.submit(seconds=0.3, steps=3)
    queue.wake(job.queue, 20)
    assert queue.wake_ups(job.queue) == 21
    workers = [platform.start_worker() for _ in range(2)]
    for worker in workers:
        platform.wait_for_worker(worker)
    platform.wait_for(job, "completed")
    wait_until(lambda: queue.wake_ups(job.queue) == 0, what="an empty queue")
    assert platform.statuses(job) == ["completed"]


@pytest.mark.full
def test_a_zombie_writes_nothing(platform: Platform) -> None:
    """A worker that sleeps until it was declared dead, and then wakes up, changes nothing any more."""
    platform.reconciler()
    zombie = platform.worker()
    job = platform.submit(seconds=2, steps=10, ignore_stop=True)
    platform.wait_for_step(job, 2)
    horse = platform.horse(zombie)
    for pid in (zombie.pid, horse.pid):
        os.kill(pid, signal.SIGSTOP)
    second = platform.start_worker()
    wait_until(lambda: platform.statuses(job)[0] == "lost", timeout=15, what="the loss of the attempt")
    platform.wait_for_worker(second)
    platform.wait_for(job, "completed")
    log, model = platform.log(job), TrainedModel.objects.get(job=job)
    metrics, result = dict(job.metrics), dict(job.result)
    manifest = Path(settings.FILES_ROOT) / "models" / job.model_public_id / "model.json"
    written = manifest.stat().st_mtime_ns
    for pid in (horse.pid, zombie.pid):
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: is_gone(horse.pid), what="the zombie's end")
    # The worker itself is healthy: it takes part again.
    wait_until(lambda: Worker.objects.filter(pid=zombie.pid, state="idle").exists(), what="the worker's return")
    job.refresh_from_db()
    assert (platform.log(job), job.metrics, job.result) == (log, metrics, result)
    assert platform.statuses(job) == ["lost", "completed"]
    assert list(TrainedModel.objects.filter(job=job)) == [model]
    assert manifest.stat().st_mtime_ns == written


@pytest.mark.full
def test_of_two_reconcilers_one_is_active_and_the_other_takes_over(platform: Platform) -> None:
    first = platform.reconciler()
    wait_until(lambda: holder().endswith(f":{first.pid}"), timeout=30, what="the first lease")
    second = platform.reconciler()
    worker = platform.worker()
    job = platform.submit(seconds=600, steps=600)
    platform.wait_for_step(job, 1)
    assert holder().endswith(f":{first.pid}")
    worker.kill()
    worker.wait()
    first.kill()
    first.wait()
    wait_until(lambda: platform.statuses(job) == ["lost"], timeout=20, what="the loss of the attempt")
    assert holder().endswith(f":{second.pid}")
    job.refresh_from_db()
    assert (job.status, job.lost_attempts) == ("pending", 1)


def holder() -> str:
    from jobs.models import Lease

    return str(Lease.objects.values_list("holder", flat=True).first())


@pytest.mark.full
def test_a_reconciler_ends_at_once(platform: Platform) -> None:
    reconciler = platform.reconciler()
    wait_until(lambda: holder().endswith(f":{reconciler.pid}"), timeout=30, what="the lease")
    reconciler.terminate()
    assert reconciler.wait(timeout=5) == 0
    assert holder() == "None"


@pytest.mark.full
def test_two_workers_share_the_queue_without_running_a_job_twice(platform: Platform) -> None:
    workers = [platform.start_worker() for _ in range(2)]
    jobs = [platform.submit(seconds=0.05, steps=1) for _ in range(20)]
    for worker in workers:
        platform.wait_for_worker(worker)
    for job in jobs:
        platform.wait_for(job, "completed")
    assert Attempt.objects.count() == 20
    assert Attempt.objects.filter(status="completed").count() == 20


def test_work_folders_of_ended_jobs_are_cleared(platform: Platform) -> None:
    ended, waiting = platform.submit(seconds=1), platform.submit(seconds=1)
    for job in (ended, waiting):
        workspace(job.pk, 1).checkpoint.mkdir(parents=True)
    lifecycle.cancel(job=ended)
    platform.reconciler()
    wait_until(lambda: not (work_root() / str(ended.pk)).exists(), timeout=30, what="the folder's removal")
    assert (work_root() / str(waiting.pk)).exists()
