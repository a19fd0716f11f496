"""The reconciler's rounds: who is declared dead and who is not, wake-ups, leases, and what is cleared away."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from jobs import lifecycle, queue, reconciler
from jobs.models import Attempt, Job, Lease, Worker
from jobs.reconciler import Reconciler
from jobs.workspace import work_root, workspace
from tests.jobs.conftest import silence

pytestmark = pytest.mark.django_db

DEAD_AFTER = 12.0  # seconds, as in the settings


class Clock:
    """Stands for time.monotonic in the reconciler, and goes on only when told."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(reconciler, "time", clock)
    return clock


@pytest.fixture
def database(monkeypatch, clock):
    """The database's clock as the reconciler reads it, in step with its own until `database.drift` is set."""
    start, begin = lifecycle.database_now(), clock.now

    class Database:
        drift = 0.0

    def now():
        return start + timedelta(seconds=clock.now - begin + Database.drift)

    monkeypatch.setattr(reconciler.lifecycle, "database_now", now)
    return Database


@pytest.fixture
def watching(clock, database):
    """A reconciler whose first full period went by undisturbed."""
    here = Reconciler()
    for _ in range(5):
        here.tick()
        clock.now += 3
    return here


def status_of(job):
    job.refresh_from_db()
    return job.status


# --- Who is dead ------------------------------------------------------------------------------------------------------


def test_an_attempt_that_has_been_silent_for_the_period_is_lost(training, claim, watching):
    attempt = claim(training)
    silence(attempt, DEAD_AFTER - 1)
    watching.tick()
    assert status_of(training) == "running"
    silence(attempt, DEAD_AFTER + 1)
    watching.tick()
    assert (status_of(training), training.lost_attempts) == ("pending", 1)
    ended = Attempt.objects.get(pk=attempt.pk)
    assert ended.status == "lost"
    assert ended.reason == "its worker w has not been heard of for 12 seconds"


def test_judgement_is_by_the_databases_clock_not_by_that_of_a_process(training, claim, monkeypatch):
    attempt = claim(training)
    silence(attempt, 3600)
    monkeypatch.setattr(timezone, "now", lambda: lifecycle.database_now() + timedelta(hours=5))
    assert lifecycle.heartbeat(attempt=attempt)
    Reconciler().run_once()
    assert status_of(training) == "running"


def test_a_new_reconciler_judges_nobody_for_a_full_period(training, claim, clock, database):
    silence(claim(training), 3600)
    here = Reconciler()
    for _ in range(4):
        here.tick()
        assert status_of(training) == "running"
        clock.now += 3
    here.tick()
    assert status_of(training) == "pending"


def test_an_operators_single_round_judges_at_once(training, claim):
    silence(claim(training), 3600)
    Reconciler().run_once()
    assert status_of(training) == "pending"
    assert not Lease.objects.exists()


@pytest.mark.parametrize("what", ["we slept", "the database's clock jumped", "the database's clock stood"])
def test_after_a_disturbance_nobody_is_judged_for_a_full_period(training, claim, watching, clock, database, what):
    silence(claim(training), 3600)
    if what == "we slept":
        clock.now += 60
    else:
        database.drift += 60 if what == "the database's clock jumped" else -60
    for _ in range(4):
        watching.tick()
        assert status_of(training) == "running"
        clock.now += 3
    watching.tick()
    assert status_of(training) == "pending"


def test_after_the_database_was_away_nothing_healthy_is_killed(training, claim, watching, clock, caplog, monkeypatch):
    """Its workers could not write for 30 seconds; when it is back they beat, but a reconciler might be faster."""
    attempt = claim(training)
    hold_lease, away = Reconciler._hold_lease, [True] * 10

    def refuse(self):
        if away:
            raise OperationalError("the connection was refused\nIs the server running?")
        return hold_lease(self)

    monkeypatch.setattr(Reconciler, "_hold_lease", refuse)
    # Not the test's own connection, in whose transaction all of this happens.
    monkeypatch.setattr(reconciler, "forget_connection", lambda: None)
    waits = []

    def wait(seconds):
        clock.now += seconds
        waits.append(seconds)
        if away:
            away.pop()
        elif len(waits) >= 12:
            silence(attempt, 0)  # a healthy worker beats again

    silence(attempt, 60)
    watching.run(wait, lambda: len(waits) >= 20)
    assert status_of(training) == "running"
    assert "No attempt is judged for 12 s: the database is away (the connection was refused)" in caplog.text
    assert caplog.text.count("the database is away") == 1
    assert not Lease.objects.exists()  # released at the end


def test_the_attempt_of_a_cancelled_job_whose_worker_died_is_closed(training, claim, watching):
    attempt = claim(training)
    lifecycle.cancel(job=training)
    silence(attempt, 3600)
    watching.tick()
    assert Attempt.objects.get(pk=attempt.pk).status == "cancelled"
    assert (status_of(training), training.lost_attempts) == ("cancelled", 0)


def test_a_job_that_is_deleted_while_it_is_judged_disturbs_nothing(submit, claim, watching, monkeypatch):
    gone = submit()
    silence(claim(gone), 3600)
    other = submit()
    silence(claim(other), 3600)
    found = lifecycle.silent_attempts(since=lifecycle.database_now())
    assert len(found) == 2
    Job.objects.filter(pk=gone.pk).delete()
    monkeypatch.setattr(lifecycle, "silent_attempts", lambda since: found)
    watching.tick()
    assert status_of(other) == "pending"


# --- Wake-ups ---------------------------------------------------------------------------------------------------------


def test_after_redis_was_emptied_there_is_a_wake_up_for_each_pending_job(submit, inference, claim, redis_client):
    claim(submit())
    submit(), submit()
    redis_client.flushall()
    here = Reconciler()
    here.tick()
    assert (queue.wake_ups("sklearn"), queue.wake_ups("sklearn-inference")) == (2, 1)
    here.tick()
    assert queue.wake_ups("sklearn") == 2


def test_only_what_is_missing_is_added_and_at_most_so_many_at_a_time(submit, monkeypatch, redis_client):
    monkeypatch.setattr(reconciler, "MAX_WAKE_UPS", 3)
    for _ in range(6):
        submit()
    queue.wake("sklearn", 2)
    here = Reconciler()
    counts = []
    for _ in range(3):
        here.tick()
        counts.append(queue.wake_ups("sklearn"))
    assert counts == [5, 6, 6]


def test_redis_away_is_said_once_and_made_good_later(submit, settings, caplog, redis_client):
    submit()
    address, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    here = Reconciler()
    here.tick()
    here.tick()
    assert caplog.text.count("Redis is away") == 1
    settings.REDIS_URL = address
    queue.close_connections()
    here.tick()
    assert queue.wake_ups("sklearn") == 1


# --- Leases -----------------------------------------------------------------------------------------------------------


def other_reconciler():
    here = Reconciler()
    here.name = "elsewhere:1"
    return here


def test_of_two_one_is_active(training, redis_client):
    first, second = Reconciler(), other_reconciler()
    first.tick()
    second.tick()
    assert Lease.objects.get().holder == first.name
    assert queue.wake_ups("sklearn") == 1
    redis_client.flushall()
    second.tick()
    assert queue.wake_ups("sklearn") == 0  # the waiting one does nothing
    first.tick()
    assert queue.wake_ups("sklearn") == 1


def test_a_silent_holders_lease_is_taken_over_and_it_learns_so(training):
    first, second = Reconciler(), other_reconciler()
    first.tick()
    Lease.objects.update(renewed_at=lifecycle.database_now() - timedelta(seconds=DEAD_AFTER + 1))
    second.tick()
    assert Lease.objects.get().holder == second.name
    first.tick()
    assert Lease.objects.get().holder == second.name
    second.run(lambda seconds: None, lambda: True)  # ends, and lets the other one
    first.tick()
    assert Lease.objects.get().holder == first.name


# --- Clearing away ----------------------------------------------------------------------------------------------------


def test_workers_that_were_last_heard_of_a_day_ago_are_forgotten(make_worker, training, claim):
    attempt = claim(training)
    old, today = make_worker("old"), make_worker("today")
    now = lifecycle.database_now()
    Worker.objects.filter(pk=old.pk).update(heartbeat_at=now - timedelta(hours=25))
    Worker.objects.filter(pk=today.pk).update(heartbeat_at=now - timedelta(hours=23))
    Attempt.objects.filter(pk=attempt.pk).update(worker=old)
    Reconciler().tick()
    assert set(Worker.objects.values_list("name", flat=True)) == {"w", "today"}
    kept = Attempt.objects.get(pk=attempt.pk)
    assert (kept.worker, kept.worker_name) == (None, "w")


def test_the_folders_of_ended_jobs_are_cleared_and_no_others(submit, claim):
    running = submit()
    claim(running)
    ending = submit()
    claim(ending)  # cancelled, but its attempt is still being killed
    ended, deleted, pending = submit(), submit(), submit()
    for job in (ended, ending):
        lifecycle.cancel(job=job)
    folders = {job.pk: work_root() / str(job.pk) for job in (running, ending, ended, deleted, pending)}
    for job in (running, ending, ended, deleted, pending):
        workspace(job.pk, 1).checkpoint.mkdir(parents=True)
    foreign = work_root() / "notes"
    foreign.mkdir(exist_ok=True)
    gone = [ended.pk, deleted.pk]
    Job.objects.filter(pk=deleted.pk).delete()
    Reconciler().tick()
    assert [pk for pk, folder in folders.items() if not folder.exists()] == gone
    assert foreign.exists()


def test_clearing_is_done_now_and_then_only(clock, database, monkeypatch):
    cleared = []
    monkeypatch.setattr(reconciler.workspace, "remove_ended", lambda: cleared.append(clock.now))
    here = Reconciler()
    for _ in range(41):
        here.tick()
        clock.now += 3
    assert len(cleared) == 3
