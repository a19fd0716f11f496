"""What became of the jobs: sums, means and medians, of moments that are known."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.lifecycle import database_now
from jobs.models import Job
from jobs.selectors.statistics import DURATION_BUCKETS, LISTED_TYPES, Outcomes, durations, statistics

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return database_now()


def ended(
    owner: Any, at: datetime, *, waited: float = 5.0, took: float | None = 10.0, status: str = "completed", **facts: Any
) -> Job:
    """A job that ended at `at`; one that took None had never begun."""
    began = at - timedelta(seconds=took or 0.0)
    known = {
        "kind": "training",
        "model_type": "svm",
        "queue": "sklearn",
        "error_kind": "own" if status == "failed" else "",
        "created_at": began - timedelta(seconds=waited),
        "started_at": None if took is None else began,
    }
    return Job.objects.create(owner=owner, status=status, ended_at=at, **known | facts)


def test_hours_are_the_clocks_and_those_without_jobs_are_among_them(user, now):
    ended(user, now)
    ended(user, now - timedelta(hours=3), status="failed")
    ended(user, now - timedelta(hours=3), status="cancelled")
    found = statistics(now=now)
    assert len(found.hours) == 24
    assert (found.hours[-1].start.minute, found.hours[-1].outcomes) == (0, Outcomes(completed=1))
    assert found.hours[-4].outcomes == Outcomes(failed=1, cancelled=1)
    assert sum(hour.outcomes.ended for hour in found.hours) == 3


def test_what_ended_before_is_left_out_and_what_lives_too(user, now):
    ended(user, now - timedelta(hours=25))
    Job.objects.create(owner=user, kind="training", model_type="svm", queue="sklearn")
    assert statistics(now=now).total == Outcomes()
    assert statistics(now=now, hours=48).total == Outcomes(completed=1)


def test_means_are_of_what_was_completed_over_all_queues_of_a_type(user, now):
    ended(user, now, took=10)
    ended(user, now, took=30, queue="pytorch-2.1")
    ended(user, now, took=500, status="failed")
    ended(user, now, took=7, model_type="bert")
    svm, bert = statistics(now=now).types
    assert (svm.model_type, svm.outcomes) == ("svm", Outcomes(completed=2, failed=1))
    assert svm.mean_seconds == pytest.approx(20, abs=0.01)
    assert svm.outcomes.failure_rate == pytest.approx(1 / 3)
    assert bert.mean_seconds == pytest.approx(7, abs=0.01)


def test_a_type_of_which_nothing_was_completed_has_no_mean(user, now):
    ended(user, now, status="cancelled", took=None)
    (row,) = statistics(now=now).types
    assert (row.mean_seconds, row.outcomes.failure_rate) == (None, None)


@pytest.mark.parametrize(("waits", "median"), [([4], 4), ([1, 9], 5), ([100, 1, 3], 3), ([8, 1, 2, 100], 5)])
def test_medians_of_waits_are_each_queues_own(user, now, waits, median):
    for waited in waits:
        ended(user, now, waited=waited)
    ended(user, now, waited=1000, queue="tensorflow")
    ended(user, now, took=None, status="cancelled", queue="pytorch-2.0")
    waited = {queue.name: queue.median_wait for queue in statistics(now=now).queues}
    assert waited["sklearn"] == pytest.approx(median, abs=0.01)
    assert waited["tensorflow"] == pytest.approx(1000, abs=0.01)
    assert waited["pytorch-2.0"] is None


def test_reasons_of_failures_are_counted_the_most_frequent_first(user, now):
    ended(user, now, status="failed", error_kind="infrastructure")
    for _ in range(2):
        ended(user, now, status="failed")
    assert [(why.split(" (")[0], count) for why, count in statistics(now=now).failures] == [
        ("the job's own", 2),
        ("lost worker or machine", 1),
    ]


def test_durations_are_counted_into_their_buckets(user, now):
    for took in (0.3, 4.0, 4.5, 100.0, 1e6):
        ended(user, now, took=took)
    ended(user, now, took=None, status="cancelled")
    found = {each.status: each for each in durations()}
    completed = found["completed"]
    assert dict(zip(DURATION_BUCKETS, completed.within, strict=True))[5.0] == 3
    assert completed.within[0] == 0 and completed.within[-1] == 4
    assert (completed.jobs, completed.begun) == (5, 5)
    assert completed.seconds == pytest.approx(1_000_108.8, abs=0.1)
    assert (found["cancelled"].jobs, found["cancelled"].begun, found["cancelled"].seconds) == (1, 0, 0.0)


def test_model_types_that_users_name_are_told_together_and_listed_up_to_a_number(user, now):
    for number in range(LISTED_TYPES):
        ended(user, now, took=2.0, model_type=f"architecture{number}", status="failed")
    ended(user, now, model_type="svm"), ended(user, now, model_type="svm")
    found = {(each.model_type, each.status): each for each in durations()}
    assert set(found) == {("svm", "completed"), ("other", "failed")}
    others = found["other", "failed"]
    assert (others.jobs, others.begun, others.within[-1]) == (LISTED_TYPES,) * 3
    assert others.seconds == pytest.approx(2.0 * LISTED_TYPES, abs=0.1)
    shown = statistics(now=now)
    assert (len(shown.types), shown.types[0].model_type) == (LISTED_TYPES, "svm")
    assert shown.total.ended == LISTED_TYPES + 2


def test_nobodys_jobs_are_no_statistics(now):
    found = statistics(now=now)
    assert (found.types, found.queues, found.failures, found.total) == ([], [], [], Outcomes())
    assert durations() == []


def test_figures_are_read_from_indexes_however_many_jobs_there_are(user, now):
    ended(user, now)
    with CaptureQueriesContext(connection) as captured:
        durations()
        statistics(now=now)
    is_sqlite = connection.vendor == "sqlite"
    plans = []
    with connection.cursor() as cursor:
        if not is_sqlite:  # which of a small table reads the whole, if it may
            cursor.execute("SET LOCAL enable_seqscan = off")
        for query in captured.captured_queries:
            cursor.execute(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{query['sql']}")
            plans.append(" ".join(str(row[-1]) for row in cursor.fetchall()))
    if is_sqlite:  # which index PostgreSQL takes of a few rows depends on when it counted them
        assert "COVERING INDEX job_similar" in plans[0]
    assert len(plans) == 5
    for plan in plans[1:]:
        assert "INDEX" in plan.upper() and "SCAN jobs_job" not in plan and "Seq Scan on jobs_job" not in plan, plan
