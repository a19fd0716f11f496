"""The parent of the warm process: heartbeats for what it answers, its end when one is over, and who pays for that."""

from datetime import timedelta

import pytest

from jobs import lifecycle
from jobs.failures import Ended
from jobs.inference import InferenceMonitor
from jobs.models import Attempt, Job, Worker
from jobs.registration import Registration
from jobs.reporter import StopFlag
from jobs.services.submission import inference_submit
from tests.jobs.conftest import silence

pytestmark = pytest.mark.django_db

KILLED = Ended(status=9)


class Warm:
    """Stands for the warm child: it records what it is asked."""

    def __init__(self):
        self.asked = []
        self.ended = None

    @property
    def is_stopping(self):
        return bool(self.asked)

    def ask_to_stop(self, reason, grace):
        self.asked.append((reason, grace))


class Signals:
    requested = False


def register():
    return Registration(kind="inference", queues=["sklearn-inference"], capabilities={}, wanted_name="warm")


@pytest.fixture
def registration(db):
    registered = register()
    registered.worker.started_at -= timedelta(hours=1)
    registered.worker.save()
    return registered


@pytest.fixture
def monitor(registration):
    return InferenceMonitor(registration=registration, signals=Signals(), guard=None)


@pytest.fixture
def child():
    return Warm()


@pytest.fixture
def answering(make_model, user, registration):
    """answering() -> an attempt of the warm process at a new job; it has one at a time, unless it was killed."""
    model = make_model()

    def begin(started_ago=0.0):
        inference_submit(user=user, model_id=model.public_id, input_data="1")
        attempt = lifecycle.claim_next(queue_names=["sklearn-inference"], worker=registration.worker)
        began = lifecycle.database_now() - timedelta(seconds=started_ago)
        Attempt.objects.filter(pk=attempt.pk).update(started_at=began)
        return attempt

    return begin


def ends_of(*attempts):
    found = Attempt.objects.in_bulk([attempt.pk for attempt in attempts])
    return [(found[attempt.pk].status, Job.objects.get(pk=attempt.job_id).status) for attempt in attempts]


def test_a_look_writes_the_heartbeats_of_the_worker_and_of_what_it_answers(monitor, child, answering):
    monitor._look(child)
    assert Worker.objects.get().state == "idle"
    attempt = answering()
    silence(attempt, 60)
    monitor._beat_at = 0.0
    monitor._look(child)
    heard = Attempt.objects.get(pk=attempt.pk).heartbeat_at
    assert lifecycle.database_now() - heard < timedelta(seconds=5)
    assert Worker.objects.get().state == "busy"
    assert child.asked == []


def test_between_heartbeats_the_claim_is_looked_at_without_writing(monitor, child, answering):
    attempt = answering()
    monitor._look(child)
    silence(attempt, 60)
    monitor._look(child)
    assert lifecycle.database_now() - Attempt.objects.get(pk=attempt.pk).heartbeat_at > timedelta(seconds=50)
    assert child.asked == []


def test_a_cancelled_prediction_ends_the_process_at_once(monitor, child, answering):
    attempt = answering()
    lifecycle.cancel(job=Job.objects.get(pk=attempt.job_id))
    monitor._look(child)
    assert child.asked == [(StopFlag.CANCELLED, 0.0)]
    child.ended = KILLED
    monitor._settle(child)
    assert ends_of(attempt) == [("cancelled", "cancelled")]


def test_a_prediction_that_ends_while_it_is_looked_at_costs_its_process_nothing(monitor, child, answering, monkeypatch):
    attempt = answering()
    holds_claim = lifecycle.holds_claim

    def too_late(*, attempt):
        job = Job.objects.get(pk=attempt.job_id)
        lifecycle.complete(attempt=attempt, job=job, result={"predictions": []})
        return holds_claim(attempt=attempt)

    monitor._look(child)
    monkeypatch.setattr(lifecycle, "holds_claim", too_late)
    monitor._look(child)
    assert ends_of(attempt) == [("completed", "completed")]
    assert child.asked == []


def test_a_prediction_is_stopped_at_its_deadline_and_says_so(monitor, child, answering):
    attempt = answering(started_ago=301.0)
    monitor._look(child)
    assert child.asked == [(StopFlag.TIMEOUT, 0.0)]
    child.ended = KILLED
    monitor._settle(child)
    job = Job.objects.get(pk=attempt.job_id)
    assert (job.status, job.error_kind) == ("failed", "timeout")
    assert job.error == "The prediction was stopped at its deadline of 300 seconds."


def test_the_deadline_of_a_prediction_counts_its_earlier_attempts(monitor, child, answering):
    attempt = answering(started_ago=200.0)
    now = lifecycle.database_now()
    Attempt.objects.filter(pk=attempt.pk).update(number=2)
    Job.objects.filter(pk=attempt.job_id).update(attempt=2)
    Attempt.objects.create(
        job=attempt.job,
        number=1,
        status=Attempt.Status.LOST,
        started_at=now - timedelta(seconds=400),
        heartbeat_at=now - timedelta(seconds=299),
        ended_at=now - timedelta(seconds=299),
    )
    monitor._look(child)
    assert child.asked == [(StopFlag.TIMEOUT, 0.0)]


def test_a_bystander_of_anothers_deadline_is_handed_back_and_pays_nothing(monitor, child, answering):
    overdue, bystander = answering(started_ago=301.0), answering()
    monitor._look(child)
    child.ended = KILLED
    monitor._settle(child)
    assert ends_of(overdue, bystander) == [("failed", "failed"), ("handed_back", "pending")]
    assert Job.objects.get(pk=bystander.job_id).lost_attempts == 0
    monitor._settle(child)  # nothing is left to settle
    assert ends_of(overdue, bystander) == [("failed", "failed"), ("handed_back", "pending")]


def test_a_process_that_ended_by_itself_loses_what_it_was_answering(monitor, child, answering):
    attempt = answering()
    child.ended = KILLED
    monitor._settle(child)
    assert ends_of(attempt) == [("lost", "pending")]
    assert Job.objects.get(pk=attempt.job_id).lost_attempts == 1


def test_a_worker_whose_row_was_given_away_replaces_its_process(monitor, child, registration):
    Worker.objects.update(pid=4_000_000, host="elsewhere")
    monitor._look(child)
    assert [reason for reason, _ in child.asked] == [StopFlag.HAND_BACK]
    assert registration.worker.name == "warm-2"


def test_what_a_dead_worker_was_answering_is_not_kept_alive_by_the_one_that_took_its_name(child, answering):
    attempt = answering(started_ago=1.0)
    silence(attempt, 5)
    heard = Attempt.objects.get(pk=attempt.pk).heartbeat_at
    Worker.objects.update(pid=4_000_000)
    successor = register()
    assert successor.worker.name == "warm"
    monitor = InferenceMonitor(registration=successor, signals=Signals(), guard=None)
    monitor._look(child)
    child.ended = KILLED
    monitor._settle(child)
    assert Attempt.objects.get(pk=attempt.pk).heartbeat_at == heard
    assert ends_of(attempt) == [("running", "running")]
    assert child.asked == []
