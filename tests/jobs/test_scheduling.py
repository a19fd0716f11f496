"""Which job is next, where a pending one stands, how long it will take, and what its user is told."""

import re
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import lifecycle
from jobs.models import Attempt, Job, Worker
from jobs.selectors import scheduling
from jobs.selectors.scheduling import (
    estimated_seconds,
    next_pending,
    ordinal,
    queue_position,
    queue_positions,
    waiting_message,
    waiting_messages,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(worker):
    """order() -> the jobs of the queue, claimed and completed one by one until none is left."""

    def run_all(queue="sklearn"):
        done = []
        while (attempt := lifecycle.claim_next(queue_names=[queue], worker=worker)) is not None:
            job = Job.objects.get(pk=attempt.job_id)
            lifecycle.complete(attempt=attempt, job=job, result={})
            done.append(job.pk)
        return done

    return run_all


def with_priority(job, priority):
    Job.objects.filter(pk=job.pk).update(priority=priority)
    return job


def test_the_oldest_is_next(submit, order):
    jobs = [submit().pk for _ in range(3)]
    assert order() == jobs


def test_a_higher_priority_is_next_however_young(submit, order):
    first, urgent, last = submit(), with_priority(submit(), 5), with_priority(submit(), -1)
    assert order() == [urgent.pk, first.pk, last.pk]


def test_priority_comes_before_a_fair_share(submit, make_user, order):
    mine = [with_priority(submit(), 5).pk for _ in range(2)]
    theirs = submit(user=make_user("bob")).pk
    assert order() == [*mine, theirs]


def test_one_users_many_jobs_do_not_hold_up_anothers_one(submit, make_user, order):
    mine, bob = [submit().pk for _ in range(10)], make_user("bob")
    theirs = [submit(user=bob).pk for _ in range(2)]
    done = order()
    assert max(done.index(pk) for pk in theirs) <= 3
    assert [pk for pk in done if pk in mine] == mine


def test_three_users_take_turns(submit, make_user, order):
    users = [make_user(name) for name in ("bob", "cay", "dee")]
    for user in users:
        for _ in range(3):
            submit(user=user)
    owners = [Job.objects.get(pk=pk).owner_id for pk in order()]
    ids = [user.pk for user in users]
    assert all(set(owners[start : start + 3]) == set(ids) for start in (0, 3, 6))


def test_who_has_more_running_waits(submit, make_user, worker):
    submit(), submit()
    lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    bobs = submit(user=make_user("bob"))
    assert next_pending(["sklearn"])[0].pk == bobs.pk


def test_several_candidates_are_brought_for_those_who_lose_the_race(submit, make_user):
    jobs = [submit().pk for _ in range(3)]
    assert [job.pk for job in next_pending(["sklearn"])] == jobs
    submit(user=make_user("bob"))
    assert len(next_pending(["sklearn"])) == 4
    assert next_pending(["tensorflow"]) == []


def test_the_position_counts_who_comes_first(submit):
    first, second, urgent = submit(), submit(), with_priority(submit(), 1)
    urgent.refresh_from_db()
    assert [queue_position(job) for job in (urgent, first, second)] == [1, 2, 3]
    assert queue_positions([second, urgent]) == {urgent.pk: 1, second.pk: 3}


def test_the_positions_of_any_jobs_are_those_that_each_has_alone(submit):
    jobs = [submit() for _ in range(24)]
    first = jobs[0].created_at
    for number, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(
            queue="tensorflow" if number % 5 == 0 else "sklearn",
            priority=(0, 0, 3, -1)[number % 4],
            created_at=first + timedelta(seconds=number // 3),  # some at the very same time
        )
    jobs = list(Job.objects.all())
    for chosen in (jobs, jobs[::3], jobs[5:8], jobs[-1:]):
        assert queue_positions(chosen) == {job.pk: queue_position(job) for job in chosen}
    assert queue_positions([]) == {}


def test_any_number_of_positions_takes_five_queries_and_no_sort(submit, make_user, django_assert_num_queries):
    jobs = [submit() for _ in range(5)]
    with django_assert_num_queries(3):
        assert sorted(queue_positions(jobs).values()) == [1, 2, 3, 4, 5]
    jobs.append(submit(user=make_user("bob")))
    with django_assert_num_queries(5) as captured:
        assert sorted(queue_positions(jobs).values()) == [1, 2, 3, 4, 5, 6]
    assert not any("ORDER BY" in query["sql"] or "RANK" in query["sql"] for query in captured.captured_queries)


def test_positions_are_the_order_in_which_jobs_of_several_users_are_taken(submit, make_user, order):
    bob, cay = make_user("bob"), make_user("cay")
    jobs = [submit() for _ in range(6)] + [submit(user=bob) for _ in range(3)]
    jobs += [submit(user=cay), with_priority(submit(user=cay), 3), with_priority(submit(), -1)]
    places = queue_positions(Job.objects.all())
    assert sorted(places.values()) == list(range(1, len(jobs) + 1))
    assert {pk: place for place, pk in enumerate(order(), 1)} == places


def test_a_position_counts_what_others_have_running_for_them(submit, make_user, make_worker):
    """Who has three running lets others have three before the next one."""
    for number in range(3):
        submit()
        lifecycle.claim_next(queue_names=["sklearn"], worker=make_worker(f"w{number}"))
    bob = make_user("bob")
    mine, theirs = [submit() for _ in range(2)], [submit(user=bob) for _ in range(5)]
    places = queue_positions([*mine, *theirs])
    assert [places[job.pk] for job in theirs] == [1, 2, 3, 5, 7]
    assert [places[job.pk] for job in mine] == [4, 6]


def test_a_position_is_told_though_the_queue_moved_on_meanwhile(submit, claim):
    job = submit()
    claim(job)
    assert queue_position(job) == 1
    assert queue_positions([job]) == {}


# --- Many jobs --------------------------------------------------------------------------------------------------------


def plan(query, parameters=()):
    """What the database does for a query, in its own words; PostgreSQL is told not to read small tables whole."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {query}", parameters)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}", parameters)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_the_next_job_is_found_by_indexes_however_many_wait(submit, make_user):
    submit(), submit(user=make_user("bob"))
    with CaptureQueriesContext(connection) as captured:
        assert len(next_pending(["sklearn", "tensorflow"])) == 2
    owners, running, had, *candidates = (query["sql"] for query in captured.captured_queries)
    for query in (owners, *candidates):
        told = plan(query)
        assert "job_pending_by_owner" in told, told
        assert not re.search(r"SCAN jobs_job|Seq Scan on jobs_job|job_pending_by_queue", told), told
    assert re.search("job_by_status|job_running", plan(running))
    if connection.vendor == "sqlite":  # which index PostgreSQL takes of two rows depends on when it counted them
        assert "job_share" in plan(had)
    assert not re.search(r"SCAN jobs_job|Seq Scan on jobs_job", plan(running) + plan(had))


@pytest.mark.full
def test_a_claim_takes_no_longer_with_a_hundred_thousand_jobs_waiting(submit, make_user):
    submit(), submit(user=make_user("bob"))
    few = seconds_of_a_look()
    template = Job.objects.first()
    Job.objects.bulk_create(
        (
            Job(kind="training", model_type="noop", queue="sklearn", owner=template.owner, project=template.project)
            for _ in range(100_000)
        ),
        batch_size=2_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    assert seconds_of_a_look() <= few * 3


def seconds_of_a_look():
    """Of the fastest of several looks for the next job."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert len(next_pending(["sklearn", "tensorflow"])) >= 2
        times.append(time.perf_counter() - started)
    return min(times)


def test_the_messages_of_many_jobs_are_those_of_each(submit, claim, worker):
    claimed, waiting, elsewhere = submit(), submit(), submit()
    claim(Job.objects.get(pk=claimed.pk))  # `claimed` itself was read before
    Job.objects.filter(pk=elsewhere.pk).update(queue="tensorflow")
    elsewhere.refresh_from_db()
    messages = waiting_messages([claimed, waiting, elsewhere], scheduling.live_workers())
    assert messages[waiting.pk] == waiting_message(waiting)
    assert messages[elsewhere.pk] == waiting_message(elsewhere)
    assert messages[claimed.pk] == "queued, a Scikit-learn worker will take it in a moment"


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
     (102, "102nd"), (111, "111th"), (1000, "1000th")],
)  # fmt: skip
def test_ordinals(number, text):
    assert ordinal(number) == text


# --- Waiting ----------------------------------------------------------------------------------------------------------


def test_without_a_live_worker_the_message_says_how_to_start_one(training, make_worker):
    make_worker("other", queues=["tensorflow"])
    make_worker("stopped", state=Worker.State.STOPPED)
    silent = make_worker("silent")
    Worker.objects.filter(pk=silent.pk).update(heartbeat_at=lifecycle.database_now() - timedelta(seconds=30))
    assert [worker.name for worker in scheduling.live_workers()] == ["other"]
    message = waiting_message(training)
    assert message.startswith("queued, 1st; no live worker serves the Scikit-learn queue (sklearn)")
    assert "manage.py up --only worker" in message


def test_a_message_tells_a_busy_worker_from_an_idle_one(training, worker):
    assert waiting_message(training) == "queued, 1st, a Scikit-learn worker will take it in a moment"
    Worker.objects.update(state=Worker.State.BUSY)
    assert waiting_message(training) == "queued, 1st, waits for a Scikit-learn worker (the only one is busy)"


def test_a_queue_of_yesterday_is_named_as_it_is(training):
    Job.objects.update(queue="mxnet")
    training.refresh_from_db()
    assert "no live worker serves the mxnet queue" in waiting_message(training)


def test_what_does_not_wait_has_no_such_message(training, claim):
    claim(training)
    assert waiting_message(training) == ""


# --- Durations --------------------------------------------------------------------------------------------------------


def took(job, seconds, **fields):
    end = lifecycle.database_now()
    started = end - timedelta(seconds=seconds)
    Job.objects.filter(pk=job.pk).update(status="completed", started_at=started, ended_at=end, **fields)


def test_the_estimate_is_the_median_of_similar_jobs_that_were_completed(submit):
    assert estimated_seconds(kind="training", model_type="noop") == 60.0  # the stated default
    for seconds in (10, 20, 90):
        took(submit(), seconds)
    took(submit(), 5000, model_type="svm")
    failed = submit()
    took(failed, 5000)
    Job.objects.filter(pk=failed.pk).update(status="failed")
    assert estimated_seconds(kind="training", model_type="noop") == pytest.approx(20)
    assert estimated_seconds(kind="inference", model_type="noop") == 2.0
    assert submit().estimated_seconds == pytest.approx(20)


def running(training, claim, *, progress, for_seconds):
    attempt = claim(training)
    started = lifecycle.database_now() - timedelta(seconds=for_seconds)
    Attempt.objects.filter(pk=attempt.pk).update(started_at=started)
    Job.objects.filter(pk=training.pk).update(progress=progress)
    training.refresh_from_db()
    attempt.refresh_from_db()
    return attempt


def test_the_time_left_follows_from_a_jobs_own_rate(training, claim):
    attempt = running(training, claim, progress=0.25, for_seconds=30)
    assert scheduling.remaining_seconds(training, attempt) == pytest.approx(90, abs=5)


def test_the_time_left_is_not_guessed_at_where_nothing_is_known(training, claim):
    assert scheduling.remaining_seconds(training, None) is None
    attempt = running(training, claim, progress=0.01, for_seconds=30)
    assert scheduling.remaining_seconds(training, attempt) is None
    lifecycle.cancel(job=training)
    training.refresh_from_db()
    assert scheduling.remaining_seconds(training, attempt) is None


def test_the_time_left_of_a_later_attempt_counts_the_time_that_earlier_ones_took(training, claim):
    """Its progress begins where theirs ended."""
    first = running(training, claim, progress=0.8, for_seconds=80)
    lifecycle.lose(attempt=first, job=training, reason="its machine caught fire")
    attempt = running(training, claim, progress=0.8, for_seconds=0)
    assert scheduling.remaining_seconds(training, attempt) == pytest.approx(20, abs=5)
