"""A worker's loop without its forks: wake-ups taken in turn, claims, and how the end of a child is written down."""

import os
import signal
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import rq
from django.conf import settings
from django.db import OperationalError
from rq.worker import WorkerStatus

from datasets_app.storage import get_storage
from jobs import lifecycle, queue, supervision
from jobs import worker as worker_module
from jobs.failures import EXIT_LACKING, EXIT_STOPPED, Ended
from jobs.models import Attempt, Job, Worker
from jobs.registration import Registration
from jobs.reporter import StopFlag
from jobs.supervision import StopRequested, StopSignals, conclude
from jobs.worker import QueueWorker, TrainingWorker
from jobs.workspace import prepare, work_root
from jobs.workspace import workspace as folder_of

pytestmark = pytest.mark.django_db


class Signals:
    """StopSignals that no real signal reaches."""

    def __init__(self):
        self.requested = False
        self.interruptible = False
        self.waits = []

    def wait(self, seconds):
        self.waits.append(seconds)


class Finisher(QueueWorker):
    """Completes whatever it claims, and ends after the `enough`th job."""

    enough = 1000

    def execute(self, attempt):
        self.done = [*getattr(self, "done", []), attempt.job_id]
        lifecycle.complete(attempt=attempt, job=Job.objects.get(pk=attempt.job_id), result={})
        self.signals.requested = len(self.done) >= self.enough


@pytest.fixture
def make_finisher(make_worker, redis_client):
    def make(enough=1000, **fields):
        here = Finisher(worker=make_worker("loop", **fields), signals=Signals())
        here.enough = enough
        return here

    return make


# --- Wake-ups ---------------------------------------------------------------------------------------------------------


def test_a_wake_up_is_taken_whole_and_names_its_queue(make_finisher, redis_client):
    here = make_finisher()
    queue.wake("sklearn")
    assert here._next_wake_up() == "sklearn"
    assert queue.wake_ups("sklearn") == 0
    assert redis_client.keys("rq:job:*") == []


def test_a_busy_queue_does_not_starve_the_others(make_finisher):
    here = make_finisher(queues=["sklearn", "tensorflow", "pytorch-2.1"])
    queue.wake("sklearn", 5)
    queue.wake("tensorflow", 2)
    queue.wake("pytorch-2.1", 1)
    taken = [here._next_wake_up() for _ in range(8)]
    assert taken[:3] == ["sklearn", "tensorflow", "pytorch-2.1"]
    assert sorted(taken) == ["pytorch-2.1"] + ["sklearn"] * 5 + ["tensorflow"] * 2


def test_wake_ups_without_work_do_no_harm(make_finisher, submit):
    here = make_finisher()
    job = submit()
    queue.wake("sklearn", 3)
    assert [here._run_next([here._next_wake_up()]) for _ in range(3)] == [True, False, False]
    assert here.done == [job.pk]


def test_without_any_wake_up_pending_jobs_are_found_all_the_same(make_finisher, submit, settings):
    jobs = [submit().pk for _ in range(3)]
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queue.close_connections()
    here = make_finisher(enough=3)
    here.work()
    assert here.done == jobs


def test_a_job_that_this_worker_lacks_something_for_is_left_to_the_others_for_a_time(
    make_finisher, submit, monkeypatch
):
    here = make_finisher(enough=1)
    first, second = submit(), submit()
    here.pass_over(first)
    here.work()
    assert here.done == [second.pk]
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=here.worker, passing_over=[first.pk]) is None
    monkeypatch.setattr(worker_module, "PASSED_OVER_SECONDS", 0.0)
    here.pass_over(first)
    here.enough, here.signals.requested = 2, False
    here.work()
    assert here.done == [second.pk, first.pk]


def test_a_redis_that_hangs_holds_up_no_look_at_a_claim(redis_client, monkeypatch):
    registration = Registration(kind="training", queues=["sklearn"], capabilities={})
    here = TrainingWorker(registration=registration, signals=Signals(), guard=None)
    is_back, shown = threading.Event(), []

    def hang(state):
        is_back.wait()
        shown.append(state)

    monkeypatch.setattr(here, "show", hang)
    for _ in range(3):
        here._show_at = 0.0
        here._show_busy()
    assert shown == []
    is_back.set()
    here.tick()  # before the next fork
    assert shown == [WorkerStatus.BUSY]
    assert not [each for each in threading.enumerate() if each.name == "show-busy"]


class LackingHorse:
    """A work-horse whose job is queued again, since its worker lacks something."""

    ended = Ended(status=EXIT_LACKING << 8)
    has_finished = False

    def __init__(self, guard):
        self.stop = StopFlag()

    def begin(self, attempt):
        assert lifecycle.lose(attempt=attempt, job=attempt.job, reason="the worker lacks the package x")

    def wait(self, seconds, signals):
        return True

    def may_go_on(self):
        return False

    def kill_left_over(self, *, spare_itself): ...

    def kill(self): ...


def test_a_training_that_lacked_something_here_waits_for_others(redis_client, training, monkeypatch):
    monkeypatch.setattr(worker_module, "WorkHorse", LackingHorse)
    registration = Registration(kind="training", queues=["sklearn"], capabilities={})
    here = TrainingWorker(registration=registration, signals=Signals(), guard=None)
    assert here._run_next(["sklearn"]) and not here._run_next(["sklearn"])
    training.refresh_from_db()
    assert (training.status, training.attempt, training.lost_attempts) == ("pending", 1, 1)


def test_an_absent_redis_is_said_once_and_not_hurried(make_finisher, settings, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queue.close_connections()
    here = make_finisher()
    assert [here._next_wake_up() for _ in range(3)] == [None, None, None]
    assert caplog.text.count("Redis is away") == 1
    assert here.signals.waits == [worker_module.REDIS_PAUSE] * 3


def test_an_absent_database_does_not_end_the_loop(make_finisher, submit, monkeypatch):
    job, refusals = submit(), [OperationalError("refused")] * 2
    here = make_finisher(enough=1)
    monkeypatch.setattr(worker_module, "forget_connection", lambda: None)

    def tick():
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr(here, "tick", tick)
    here.work()
    assert here.done == [job.pk]
    assert len(here.signals.waits) == 2


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_row_is_gone_registers_again_and_goes_on(redis_client, submit):
    registration = Registration(kind="training", queues=["sklearn"], capabilities={}, wanted_name="forgotten")

    class Registered(Finisher, TrainingWorker):
        pass

    here = Registered(registration=registration, signals=Signals(), guard=None)
    here.enough = 1
    here.tick()  # it has just said that it lives
    Worker.objects.all().delete()
    job = submit()
    here.work()
    assert here.done == [job.pk]
    assert list(Attempt.objects.values_list("worker__name", "number")) == [("forgotten", 1)]


def test_django_rqs_pages_show_the_worker_until_it_ends(make_finisher, redis_client, submit):
    submit()
    queue.wake("sklearn", 1)
    here = make_finisher(enough=1)
    shown = []
    execute = here.execute

    def look(attempt):
        shown.extend(each.name for each in rq.Worker.all(connection=queue.connection()))
        execute(attempt)

    here.execute = look
    here.work()
    assert shown == ["loop"]
    assert rq.Worker.all(connection=queue.connection()) == []


# --- Signals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    wakeup = signal.set_wakeup_fd(-1)
    yield StopSignals()
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_wait_does_not_outlast_a_signal(signals):
    os.kill(os.getpid(), signal.SIGTERM)
    signals.wait(3600)
    assert signals.requested
    signals.wait(3600)


def test_a_wait_that_knows_no_descriptors_is_interrupted_once(signals):
    signals.interruptible = True
    with pytest.raises(StopRequested):
        os.kill(os.getpid(), signal.SIGINT)
        signals.wait(3600)
    assert not signals.interruptible
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.requested


# --- The end of a child -----------------------------------------------------------------------------------------------

DONE, KILLED, STOPPED = Ended(status=0), Ended(status=9), Ended(status=EXIT_STOPPED << 8)


@pytest.fixture
def end(training, claim):
    """end(ended, reason) -> (job's status, attempt's status) after a child of `training` has ended so."""

    def write_down(ended, reason=StopFlag.NO, before=lambda attempt: None):
        attempt = claim(training)
        here = prepare(training.pk, attempt.number)
        (here.checkpoint / "step").write_text("7")
        (here.out / "model.json").write_text("half")
        before(attempt)
        conclude(attempt, training, ended, reason, what="the training", signals=Signals())
        job = Job.objects.filter(pk=training.pk).first()
        stored = Attempt.objects.filter(pk=attempt.pk).first()
        return job and job.status, stored and stored.status

    return write_down


def test_a_child_that_has_written_its_end_down_is_left_at_that(end, training):
    def complete(attempt):
        lifecycle.complete(attempt=attempt, job=training, result={})

    assert end(DONE, before=complete) == ("completed", "completed")
    assert not (work_root() / str(training.pk)).exists()


def test_a_child_that_ended_without_a_word_has_failed(end, training):
    assert end(DONE) == ("failed", "failed")
    training.refresh_from_db()
    assert "without a result" in training.error


@pytest.mark.parametrize(
    ("ended", "reason", "job", "attempt"),
    [
        (KILLED, StopFlag.NO, "pending", "lost"),
        (STOPPED, StopFlag.NO, "pending", "lost"),
        (STOPPED, StopFlag.HAND_BACK, "pending", "handed_back"),
        (KILLED, StopFlag.HAND_BACK, "pending", "handed_back"),
        (KILLED, StopFlag.TIMEOUT, "failed", "failed"),
    ],
)
def test_what_follows_from_the_end_of_a_child(end, training, ended, reason, job, attempt):
    Job.objects.filter(pk=training.pk).update(timeout_seconds=90.0)
    assert end(ended, reason) == (job, attempt)
    assert [each.name for each in (work_root() / str(training.pk) / "1").iterdir()] == ["checkpoint"]
    training.refresh_from_db()
    assert training.checkpoint_host == (socket.gethostname() if job == "failed" else "")
    if job == "failed":
        assert training.error == "The training was stopped at its deadline of 90 seconds."


def test_the_child_of_a_cancelled_job_leaves_its_checkpoint_to_go_on_from(end, training):
    def cancel(attempt):
        lifecycle.cancel(job=training)
        (folder_of(training.pk, attempt.number).checkpoint / "half.tmp").mkdir()

    assert end(KILLED, StopFlag.CANCELLED, before=cancel) == ("cancelled", "cancelled")
    left = [path for path in (work_root() / str(training.pk)).rglob("*") if not path.is_dir()]
    assert [path.name for path in left] == ["step"]
    assert Job.objects.get(pk=training.pk).checkpoint_host == socket.gethostname()


def staged(job):
    """What lies in the storage beside the models: what was copied of this one, and is not published."""
    return [each.name for each in (Path(settings.FILES_ROOT) / "models").glob(f".{job.model_public_id}.*")]


def copy_of_model(attempt):
    here = folder_of(attempt.job_id, attempt.number)
    get_storage().stage_folder(f"models/{Job.objects.get(pk=attempt.job_id).model_public_id}", here.out)


def test_what_was_copied_of_the_model_goes_with_its_cancelled_training(end, training):
    def cancel(attempt):
        copy_of_model(attempt)
        assert len(staged(training)) == 1
        lifecycle.cancel(job=training)

    assert end(KILLED, StopFlag.CANCELLED, before=cancel) == ("cancelled", "cancelled")
    assert staged(training) == []


def test_what_was_copied_of_the_model_of_a_lost_attempt_goes_with_the_end_of_a_later_one(end, training):
    assert end(KILLED, before=copy_of_model) == ("pending", "lost")
    assert len(staged(training)) == 1
    failure = lifecycle.Failure("Row 3 is empty.", Job.ErrorKind.OWN)

    def fail(attempt):
        lifecycle.fail(attempt=attempt, job=training, failure=failure)

    assert end(DONE, before=fail) == ("failed", "failed")
    assert staged(training) == []


def test_the_child_of_a_job_that_failed_by_itself_leaves_its_checkpoint_too(end, training):
    def fail(attempt):
        lifecycle.fail(attempt=attempt, job=training, failure=lifecycle.Failure("No.", "own"))

    assert end(DONE, before=fail) == ("failed", "failed")
    assert Job.objects.get(pk=training.pk).checkpoint_host == socket.gethostname()


@pytest.mark.parametrize("ended", [DONE, KILLED, STOPPED])
def test_the_child_of_a_deleted_job_leaves_nothing(end, training, ended):
    pk = training.pk
    assert end(ended, before=lambda attempt: Job.objects.filter(pk=pk).delete()) == (None, None)
    assert not (work_root() / str(pk)).exists()


def test_a_job_that_another_attempt_has_by_now_keeps_its_folder(end, training, worker):
    def hand_on(attempt):
        lifecycle.lose(attempt=attempt, job=training, reason="silent")
        lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
        prepare(training.pk, 2)

    assert end(KILLED, StopFlag.CANCELLED, before=hand_on) == ("running", "lost")
    assert (work_root() / str(training.pk) / "2").exists()


def test_grace_and_deadline_follow_the_settings(training, settings):
    settings.JOBS = {**settings.JOBS, "stop_grace": 3.0, "hand_back_grace": 6.0}
    assert [supervision.grace_of(reason) for reason in (StopFlag.CANCELLED, StopFlag.HAND_BACK)] == [3.0, 6.0]


def test_a_deadline_is_for_all_attempts_together(training, claim):
    attempt = claim(training)
    assert supervision.deadline_of(attempt, training) == float("inf")
    Job.objects.filter(pk=training.pk).update(timeout_seconds=90.0)
    training.refresh_from_db()
    assert 85 < supervision.deadline_of(attempt, training) - time.monotonic() <= 90
    lifecycle.lose(attempt=attempt, job=training, reason="silent")
    attempt.refresh_from_db()
    Attempt.objects.filter(pk=attempt.pk).update(started_at=attempt.ended_at - timedelta(seconds=60))
    assert 25 < supervision.deadline_of(claim(training), training) - time.monotonic() <= 30
