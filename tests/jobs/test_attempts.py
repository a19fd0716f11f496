"""The transitions while a job's worker is in trouble or its user has had enough: lost, handed back, cancelled."""

import threading

import pytest
from django.db import connection

from jobs import lifecycle
from jobs.models import Attempt, Job, Worker
from jobs.services.control import job_cancel
from tests.conftest import wait_until
from tests.jobs.conftest import log_of, silence
from tracking.models import Run

pytestmark = pytest.mark.django_db

REASON = "its machine caught fire"


def attempts_of(job):
    return list(Attempt.objects.filter(job=job).order_by("number").values_list("number", "status", "reason"))


def test_a_lost_attempt_is_followed_by_another_three_in_all_and_then_the_job_has_failed(training, claim):
    for number in (1, 2):
        attempt = claim(training)
        assert lifecycle.lose(attempt=attempt, job=training, reason=REASON)
        training.refresh_from_db()
        assert (training.status, training.attempt, training.lost_attempts) == ("pending", number, number)
        assert (training.error, training.ended_at) == ("", None)
        assert Run.objects.get(pk=training.run_id).status == "pending"
    assert lifecycle.lose(attempt=claim(training), job=training, reason=REASON)
    training.refresh_from_db()
    assert (training.status, training.lost_attempts, training.error_kind) == ("failed", 3, "infrastructure")
    assert training.error == f"Given up after 3 attempts that were lost; the last one: {REASON}"
    assert training.ended_at is not None
    assert attempts_of(training) == [(1, "lost", REASON), (2, "lost", REASON), (3, "lost", REASON)]
    assert log_of(training) == [
        ("WARN", f"Attempt 1 ended: {REASON}. The job is queued again."),
        ("WARN", f"Attempt 2 ended: {REASON}. The job is queued again."),
        ("ERROR", training.error),
    ]
    assert Run.objects.get(pk=training.run_id).status == "failed"


def test_an_attempt_is_lost_once_however_many_say_so(training, claim):
    attempt = claim(training)
    assert lifecycle.lose(attempt=attempt, job=training, reason=REASON)
    assert not lifecycle.lose(attempt=attempt, job=training, reason=REASON)
    training.refresh_from_db()
    assert training.lost_attempts == 1
    assert len(log_of(training)) == 1


def test_an_attempt_that_was_heard_of_since_is_not_lost(training, claim):
    attempt = claim(training)
    silence(attempt, 5)
    since = lifecycle.database_now() - lifecycle.timedelta(seconds=12)
    assert not lifecycle.lose(attempt=attempt, job=training, reason=REASON, silent_since=since)
    assert lifecycle.silent_attempts(since=since) == []
    silence(attempt, 13)
    assert [each.pk for each in lifecycle.silent_attempts(since=since)] == [attempt.pk]
    assert lifecycle.lose(attempt=attempt, job=training, reason=REASON, silent_since=since)
    training.refresh_from_db()
    assert training.status == "pending"


def test_what_is_handed_back_costs_no_attempt(training, claim):
    for _ in range(5):
        assert lifecycle.hand_back(attempt=claim(training), job=training, reason="its worker was told to end")
    training.refresh_from_db()
    assert (training.status, training.attempt, training.lost_attempts) == ("pending", 5, 0)
    assert {status for _, status, _ in attempts_of(training)} == {"handed_back"}
    started = training.started_at
    claim(training)
    assert training.started_at == started  # of the first attempt


@pytest.mark.parametrize("back", [lifecycle.lose, lifecycle.hand_back])
def test_who_brings_a_job_back_wakes_its_queue(training, claim, back, monkeypatch, django_capture_on_commit_callbacks):
    woken = []
    monkeypatch.setattr(lifecycle.queue, "wake", lambda name: woken.append(name))
    attempt = claim(training)
    with django_capture_on_commit_callbacks(execute=True):
        back(attempt=attempt, job=training, reason=REASON)
    assert woken == ["sklearn"]


def test_cancelling_what_waits_is_done_at_once(training):
    assert lifecycle.cancel(job=training)
    training.refresh_from_db()
    assert (training.status, training.error, training.error_kind) == ("cancelled", "Job cancelled by user", "")
    assert training.ended_at is not None
    assert log_of(training) == [("WARN", "Job cancelled by user")]
    assert Run.objects.get(pk=training.run_id).status == "cancelled"
    assert not lifecycle.cancel(job=training)
    assert len(log_of(training)) == 1


def test_cancelling_what_runs_takes_the_claim_and_leaves_the_attempt_until_its_work_is_killed(training, claim):
    attempt = claim(training)
    assert lifecycle.cancel(job=training)
    assert not lifecycle.holds_claim(attempt=attempt)
    assert attempts_of(training) == [(1, "running", "")]
    lifecycle.attempt_stopped(attempt=attempt, reason="Job cancelled by user")
    assert attempts_of(training) == [(1, "cancelled", "Job cancelled by user")]
    assert Attempt.objects.get(pk=attempt.pk).ended_at is not None


def test_an_attempt_that_has_ended_keeps_its_end(training, claim):
    attempt = claim(training)
    lifecycle.complete(attempt=attempt, job=training, result={})
    lifecycle.attempt_stopped(attempt=attempt, reason="too late")
    assert attempts_of(training) == [(1, "completed", "")]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_what_has_ended_stays_as_it_is(training, claim, worker, end):
    attempt = claim(training)
    if end == "completed":
        lifecycle.complete(attempt=attempt, job=training, result={})
    elif end == "failed":
        lifecycle.fail(attempt=attempt, job=training, failure=lifecycle.Failure("no", "own"))
    else:
        lifecycle.cancel(job=training)
    before = Job.objects.values().get(pk=training.pk)
    assert before["status"] == end
    assert not lifecycle.cancel(job=training)
    assert not lifecycle.lose(attempt=attempt, job=training, reason=REASON)
    assert not lifecycle.hand_back(attempt=attempt, job=training, reason=REASON)
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is None
    assert Job.objects.values().get(pk=training.pk) == before


# --- At the same time -------------------------------------------------------------------------------------------------


def all_at_once(*actions):
    """Call each in a thread of its own, all released at one moment; their answers in the order given."""
    barrier, answers = threading.Barrier(len(actions)), {}

    def act(number, action):
        try:
            connection.ensure_connection()
            barrier.wait(timeout=10)
            answers[number] = action()
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(i, action), daemon=True) for i, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), timeout=30, what="the threads' end")
    return [answers.get(number) for number in range(len(actions))]


@pytest.mark.django_db(transaction=True)
def test_of_many_claimers_of_one_job_one_wins(training, make_worker):
    workers = [make_worker(f"w{number}") for number in range(6)]
    claims = all_at_once(
        *(lambda each=each: lifecycle.claim_next(queue_names=["sklearn"], worker=each) for each in workers)
    )
    won = [attempt for attempt in claims if attempt is not None]
    assert len(won) == 1
    assert list(Attempt.objects.values_list("pk", flat=True)) == [won[0].pk]
    training.refresh_from_db()
    assert (training.status, training.attempt) == ("running", 1)


@pytest.mark.django_db(transaction=True)
def test_many_claimers_of_many_jobs_take_each_once(submit, make_worker):
    jobs = {submit().pk for _ in range(12)}
    workers = [make_worker(f"w{number}") for number in range(4)]

    def take_all(each: Worker):
        taken = []
        while (attempt := lifecycle.claim_next(queue_names=["sklearn"], worker=each)) is not None:
            taken.append(attempt.job_id)
        return taken

    taken = sum(all_at_once(*(lambda each=each: take_all(each) for each in workers)), [])
    assert len(taken) == 12
    assert set(taken) == jobs


@pytest.mark.django_db(transaction=True)
def test_cancelled_while_it_is_claimed_a_job_is_cancelled(training, worker, user):
    attempt, cancelled = all_at_once(
        lambda: lifecycle.claim_next(queue_names=["sklearn"], worker=worker),
        lambda: job_cancel(user=user, job=Job.objects.get(pk=training.pk)),
    )
    assert cancelled.status == "cancelled"
    training.refresh_from_db()
    assert training.status == "cancelled"
    assert attempt is None or not lifecycle.holds_claim(attempt=attempt)


@pytest.mark.django_db(transaction=True)
def test_of_completing_and_cancelling_at_the_same_time_one_wins_whole(training, claim):
    attempt = claim(training)

    def complete():
        try:
            lifecycle.complete(attempt=attempt, job=training, result={"x": 1})
        except lifecycle.ClaimLost:
            return False
        return True

    completed, cancelled = all_at_once(complete, lambda: lifecycle.cancel(job=training))
    assert completed != cancelled
    training.refresh_from_db()
    assert training.status == ("completed" if completed else "cancelled")
    assert training.result == ({"x": 1} if completed else None)
    assert Run.objects.get(pk=training.run_id).status == training.status


@pytest.mark.django_db(transaction=True)
def test_an_attempt_that_two_declare_lost_at_the_same_time_costs_one_attempt(training, claim):
    attempt = claim(training)
    answers = all_at_once(
        *(lambda: lifecycle.lose(attempt=attempt, job=Job.objects.get(pk=training.pk), reason=REASON) for _ in range(3))
    )
    assert sorted(answers) == [False, False, True]
    training.refresh_from_db()
    assert training.lost_attempts == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_row_is_gone_claims_nothing(training, worker):
    Worker.objects.all().delete()
    with pytest.raises(lifecycle.WorkerForgotten):
        lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    training.refresh_from_db()
    assert (training.status, training.attempt) == ("pending", 0)
    assert Run.objects.get(pk=training.run_id).status == "pending"
