"""Logging points: whole or not at all, and once for each idempotency key."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from automl_site.errors import Conflict, InvalidSpec, NotFound
from tracking import store
from tracking.models import IdempotencyKey, MetricSeries, Run
from tracking.services.metrics import Idempotency, idempotency_sweep, points_log
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create
from tracking.store import Point

pytestmark = pytest.mark.django_db
TIME = datetime(2023, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(user):
    return run_create(project=jobs_project(user), name="run", config={}, tags=[])


def key_of(user, key="k1", body=b"{}"):
    return Idempotency.of(user_id=user.pk, key=key, path="/metrics/1/batch", body=body)


def counts(run):
    return dict(MetricSeries.objects.filter(run=run).values_list("name", "count"))


def test_a_single_point_is_answered_as_it_is_kept(run):
    first = points_log(run_id=run.pk, points=[Point("loss", 0.5, 7, TIME)], single=True)
    assert first | {"id": 1} == {
        "id": 1,
        "run_id": run.pk,
        "name": "loss",
        "value": 0.5,
        "step": 7,
        "timestamp": "2023-01-01T00:00:00",
    }
    second = points_log(run_id=run.pk, points=[Point("loss", float("nan"))], single=True)
    assert (second["id"], second["step"], second["value"]) == (first["id"] + 1, 8, "NaN")
    assert store.read_series(run.pk)["loss"].ids.tolist() == [first["id"], second["id"]]


def test_a_repeated_request_adds_nothing_and_is_answered_the_same(run, user):
    points = [Point("loss", 0.5), Point("accuracy", 0.9)]
    first = points_log(run_id=run.pk, points=points, idempotency=key_of(user))
    assert first == {"message": "Logged 2 metrics successfully"}
    assert points_log(run_id=run.pk, points=points, idempotency=key_of(user)) == first
    assert counts(run) == {"loss": 1, "accuracy": 1}
    run.refresh_from_db()
    assert run.seq == 2
    single = points_log(run_id=run.pk, points=points[:1], single=True, idempotency=key_of(user, "k2"))
    assert points_log(run_id=run.pk, points=points[:1], single=True, idempotency=key_of(user, "k2")) == single


def test_a_key_with_another_body_is_refused(run, user):
    points_log(run_id=run.pk, points=[Point("loss", 0.5)], idempotency=key_of(user))
    with pytest.raises(Conflict, match="another body"):
        points_log(run_id=run.pk, points=[Point("loss", 0.6)], idempotency=key_of(user, body=b"{ }"))
    assert counts(run) == {"loss": 1}


def test_keys_of_other_users_and_runs_are_other_keys(run, user, make_user):
    other = run_create(project=run.project, name="other", config={}, tags=[])
    for run_id, who in ((run.pk, user), (run.pk, make_user("bob")), (other.pk, user)):
        points_log(run_id=run_id, points=[Point("loss", 0.5)], idempotency=key_of(who))
    assert counts(run) == {"loss": 2}
    assert counts(other) == {"loss": 1}


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\nb", "😀"])
def test_a_key_that_no_header_should_hold_is_refused(user, key):
    with pytest.raises(InvalidSpec):
        key_of(user, key)


def test_what_is_refused_keeps_neither_points_nor_its_key(run, user):
    with pytest.raises(InvalidSpec):
        points_log(run_id=run.pk, points=[Point("a", 1.0), Point("", 1.0)], idempotency=key_of(user))
    assert not counts(run) and not IdempotencyKey.objects.exists()
    with pytest.raises(NotFound):
        points_log(run_id=10**12, points=[Point("a", 1.0)])


def test_a_refusal_leaves_its_neighbours_in_one_transaction_alone(run, user):
    points_log(run_id=run.pk, points=[Point("a", 1.0)], idempotency=key_of(user))
    with transaction.atomic():
        points_log(run_id=run.pk, points=[Point("a", 2.0)])
        points_log(run_id=run.pk, points=[Point("a", 1.0)], idempotency=key_of(user))
        with pytest.raises(Conflict):
            points_log(run_id=run.pk, points=[Point("a", 1.0)], idempotency=key_of(user, body=b"other"))
        points_log(run_id=run.pk, points=[Point("a", 3.0)])
    assert store.read_series(run.pk)["a"].values.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.django_db(transaction=True)
def test_the_same_request_many_times_at_once_is_kept_once(run, user):
    barrier = threading.Barrier(5)
    answers = []

    def send() -> None:
        try:
            barrier.wait()
            answers.append(
                points_log(run_id=run.pk, points=[Point("loss", 1.0)], single=True, idempotency=key_of(user))
            )
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 5
    assert all(answer == answers[0] for answer in answers)
    assert counts(run) == {"loss": 1}
    assert Run.objects.get(pk=run.pk).seq == 1


@pytest.mark.django_db(transaction=True)
def test_points_without_a_step_get_distinct_ones_however_many_write_at_once(run):
    barrier = threading.Barrier(4)

    def send() -> None:
        try:
            barrier.wait()
            for _ in range(5):
                points_log(run_id=run.pk, points=[Point("loss", 1.0)], single=True)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.read_series(run.pk)["loss"].steps.tolist()) == list(range(20))


def test_old_keys_are_swept_a_bounded_number_at_a_time(run, user):
    for number in range(5):
        points_log(run_id=run.pk, points=[Point("loss", 1.0)], idempotency=key_of(user, f"k{number}"))
    IdempotencyKey.objects.exclude(key="k4").update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    assert idempotency_sweep(limit=3) == 3
    assert idempotency_sweep() == 1
    assert idempotency_sweep() == 0
    assert IdempotencyKey.objects.get().key == "k4"
