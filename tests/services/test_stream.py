"""A run's ordered stream, written and read by one at a time; many at once: test_stream_concurrency.py."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from automl_site.errors import InvalidSpec, NotFound
from tracking import live, stream
from tracking.models import LogLine, MetricCounter, MetricSegment, Run, RunEvent
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create, run_status_set, run_update
from tracking.stream import LogEntry, Point

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(user):
    return run_create(project=jobs_project(user), name="run", config={}, tags=[], status="pending")


def append(run, **events):
    with transaction.atomic():
        return stream.append(run_id=run.pk, **events)


@pytest.mark.django_db(transaction=True)
def test_appending_outside_of_a_transaction_is_a_bug(run):
    with pytest.raises(RuntimeError, match="transaction"):
        stream.append(run_id=run.pk, logs=[LogEntry("INFO", "x")])


def test_points_logs_and_changes_are_numbered_in_this_order(run):
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    last = append(
        run,
        points=[Point("loss", 0.5, step=3, time=moment), Point("acc", math.nan)],
        logs=[LogEntry("WARN", "careful", time=moment, agent="TrainingAgent", node="train")],
        changes={"status": "running"},
    )
    assert last == 4
    metric, nan, log, change = stream.read(run_id=run.pk, after=0)
    assert metric == {
        "type": "metric",
        "id": 1,
        "run_id": run.pk,
        "name": "loss",
        "value": 0.5,
        "step": 3,
        "timestamp": "2026-03-01T10:00:00",
    }
    assert (nan["id"], nan["name"], nan["value"], nan["step"]) == (2, "acc", "NaN", 0)
    assert log == {
        "type": "log",
        "id": 3,
        "level": "WARN",
        "message": "careful",
        "timestamp": "2026-03-01T10:00:00",
        "agent": "TrainingAgent",
        "node": "train",
    }
    assert change == {"type": "run", "id": 4, "status": "running"}
    assert append(run, logs=[LogEntry("INFO", "next")]) == 5


def test_points_without_a_step_take_the_series_next_one(run):
    append(run, points=[Point("a", 1), Point("a", 2), Point("b", 1)])
    append(run, points=[Point("a", 3, step=10), Point("a", 4), Point("a", 5, step=4), Point("b", 2)])
    steps = [(m["name"], m["step"]) for m in stream.read(run_id=run.pk, after=0)]
    assert steps == [("a", 0), ("a", 1), ("b", 0), ("a", 10), ("a", 11), ("a", 4), ("b", 1)]


def test_an_append_of_nothing_changes_nothing(run):
    append(run, logs=[LogEntry("INFO", "x")])
    assert append(run) == 1


def test_public_ids_of_points_are_unique_in_the_database_and_stay(run, user):
    other = run_create(project=jobs_project(user), name="other", config={}, tags=[])
    append(run, points=[Point("a", 1)] * 3)
    append(other, points=[Point("a", 1)] * 2)
    MetricSegment.objects.filter(run=other).delete()
    append(run, points=[Point("a", 1)])
    first_ids = list(MetricSegment.objects.filter(run=run).values_list("first_id", flat=True))
    assert first_ids[1] == first_ids[0] + 5
    assert MetricCounter.objects.count() == 1


@pytest.mark.parametrize(
    "point",
    [
        Point("", 1.0),
        Point("x" * 251, 1.0),
        Point("nul\x00", 1.0),
        Point("half \ud800", 1.0),
        Point("a", 10**400),
        Point("a", "many"),
        Point("a", None),
        Point("a", 1.0, step=2**63),
        Point("a", 1.0, step=-(2**63)),
        Point("a", 1.0, time=datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
    ],
)
def test_a_point_that_cannot_be_kept_is_refused_and_nothing_is_written(run, point):
    with pytest.raises(InvalidSpec):
        append(run, points=[Point("fine", 1.0), point], logs=[LogEntry("INFO", "x")])
    assert Run.objects.get(pk=run.pk).seq == 0
    assert stream.read(run_id=run.pk, after=0) == []


def test_the_widest_point_is_kept(run):
    point = Point("🎈" * 250, -5e-324, step=stream.MAX_STEP, time=datetime.max.replace(tzinfo=UTC))
    append(run, points=[point, Point("🎈" * 250, math.inf)])
    first, second = stream.read(run_id=run.pk, after=0)
    assert (first["name"], first["value"], first["step"]) == (point.name, point.value, point.step)
    assert first["timestamp"] == "9999-12-31T23:59:59.999999"
    assert (second["value"], second["step"]) == ("Infinity", stream.MAX_STEP + 1)


def test_log_lines_are_cleaned_and_cut_not_refused(run):
    append(
        run,
        logs=[
            LogEntry("warning", "a\x00b \ud800", agent="A" * 300, node="n\x00"),
            LogEntry("shout", "x" * 50_000),
            LogEntry("CRITICAL", ""),
        ],
    )
    cleaned, cut, empty = LogLine.objects.filter(run=run)
    assert (cleaned.level, cleaned.message[:4]) == ("WARN", "a\ufffdb ")
    assert (len(cleaned.agent), cleaned.node) == (100, "n\ufffd")
    assert (cut.level, len(cut.message)) == ("INFO", stream.MAX_MESSAGE)
    assert cut.message.endswith("… [40,000 characters and more cut off]")
    assert (empty.level, empty.message) == ("ERROR", "")


def test_a_run_that_is_gone_takes_nothing(run):
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(NotFound):
        append(run, logs=[LogEntry("INFO", "x")])
    with pytest.raises(NotFound):
        append(run)
    assert stream.read(run_id=run.pk, after=0) == []


def test_pages_of_the_stream_join_without_gap_whatever_their_size(run):
    for i in range(7):
        append(run, points=[Point("a", i), Point("b", -i)], logs=[LogEntry("INFO", str(i))] * 2, changes={"n": i})
    for limit in (1, 2, 3, 5, 8, 100):
        ids: list[int] = []
        while page := stream.read(run_id=run.pk, after=ids[-1] if ids else 0, limit=limit):
            assert len(page) <= limit
            ids += [message["id"] for message in page]
        assert ids == list(range(1, 36))


def test_a_hole_left_by_deleted_lines_is_stepped_over(run):
    append(run, logs=[LogEntry("INFO", str(i)) for i in range(50)])
    append(run, points=[Point("a", 1)])
    LogLine.objects.filter(run=run, seq__gt=3).delete()
    assert [m["id"] for m in stream.read(run_id=run.pk, after=0, limit=5)] == [1, 2, 3]
    assert [m["id"] for m in stream.read(run_id=run.pk, after=3, limit=5)] == [51]


def test_the_number_of_queries_does_not_grow_with_what_is_appended(run, django_assert_num_queries):
    append(run, points=[Point("old", 0)])
    # Run, series read, new ones, known ones, counter, segment, log lines, event.
    for count in (1, 30):
        points = [Point("old", i) for i in range(count)] + [Point(f"new {count} {i}", i) for i in range(count)]
        with transaction.atomic(), django_assert_num_queries(8):
            stream.append(run_id=run.pk, points=points, logs=[LogEntry("INFO", "x")] * count, changes={"a": 1})
    with transaction.atomic(), django_assert_num_queries(5):
        stream.append(run_id=run.pk, points=[Point("old", 1)] * 500)
    with transaction.atomic(), django_assert_num_queries(2):
        stream.append(run_id=run.pk, logs=[LogEntry("INFO", "x")] * 100)


def test_reading_takes_one_query_when_nothing_is_new_and_five_otherwise(run, django_assert_num_queries):
    last = 0
    for i in range(20):
        last = append(run, points=[Point("a", i)], logs=[LogEntry("INFO", "x")], changes={"i": i})
    with django_assert_num_queries(5):
        assert len(stream.read(run_id=run.pk, after=0)) == 60
    with django_assert_num_queries(1):
        assert stream.read(run_id=run.pk, after=last) == []


def test_rows_are_locked_in_the_order_run_series_counter(run):
    append(run, points=[Point("a", 1)])
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        stream.append(run_id=run.pk, points=[Point("b", 1), Point("a", 1)])
    writes = [q["sql"] for q in queries if q["sql"].startswith(("UPDATE", "INSERT"))]
    tables = [
        next(t for t in ("tracking_run", "metricseries", "metriccounter", "metricsegment") if t in sql.split("(")[0])
        for sql in writes
    ]
    assert tables == ["tracking_run", "metricseries", "metricseries", "metriccounter", "metricsegment"]


def test_an_append_is_announced_once_it_has_committed(run, monkeypatch, django_capture_on_commit_callbacks):
    announced = []
    monkeypatch.setattr(live, "announce", announced.append)
    with django_capture_on_commit_callbacks() as callbacks:
        append(run, logs=[LogEntry("INFO", "x")])
        append(run)
        assert announced == []
    for callback in callbacks:
        callback()
    assert announced == [f"run:{run.pk}"]


def test_a_status_changes_once_with_an_event(run, django_assert_num_queries):
    started = run.started_at
    assert run_status_set(run_id=run.pk, status="running")
    assert not run_status_set(run_id=run.pk, status="running")
    run.refresh_from_db()
    assert (run.status, run.ended_at) == ("running", None)
    assert run.started_at > started
    first_start = run.started_at

    assert run_status_set(run_id=run.pk, status="pending", reason="worker lost")
    with django_assert_num_queries(3 + 2):  # with the savepoint around it
        assert run_status_set(run_id=run.pk, status="running")
    assert run_status_set(run_id=run.pk, status="failed", reason="no\x00 " + "x" * 600)
    run.refresh_from_db()
    assert run.started_at == first_start
    assert run.ended_at is not None
    assert len(run.status_reason) == 500
    statuses = [(m["type"], m["status"]) for m in stream.read(run_id=run.pk, after=0)]
    assert statuses == [("run", "running"), ("run", "pending"), ("run", "running"), ("run", "failed")]
    assert RunEvent.objects.filter(run=run).count() == 4

    assert run_status_set(run_id=run.pk, status="running")
    run.refresh_from_db()
    assert (run.ended_at, run.status_reason) == (None, "")


def test_a_status_and_fields_changed_at_once_are_one_event(run, user):
    Run.objects.filter(pk=run.pk).update(status="running")
    changes = {"status": "failed", "status_reason": "out of memory", "name": "fern", "notes": "again with less"}
    ended_at = datetime.now(UTC) - timedelta(hours=1)
    run_update(user=user, run_id=run.pk, changes={**changes, "ended_at": ended_at})
    (event,) = stream.read(run_id=run.pk, after=0)
    assert event == {
        "type": "run",
        "id": 1,
        "run_id": run.pk,
        "status": "failed",
        "status_reason": "out of memory",
        "ended_at": stream.timestamp(ended_at),
        "changed": ["name", "notes", "ended_at"],
        "name": "fern",
    }
    run.refresh_from_db()
    assert (run.status, run.status_reason, run.ended_at, run.name) == ("failed", "out of memory", ended_at, "fern")


def test_an_unknown_status_is_refused_and_a_gone_run_is_left_alone(run):
    with pytest.raises(InvalidSpec):
        run_status_set(run_id=run.pk, status="sleeping")
    Run.objects.filter(pk=run.pk).delete()
    assert not run_status_set(run_id=run.pk, status="failed")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "nul\x00"},
        {"status": "sleeping"},
        {"config": {"lr": math.nan}},
        {"config": {"a": {"b": ["\x00"]}}},
        {"config": {"\ud800": 1}},
        {"config": {"a": object()}},
        {"tags": ["\x00"]},
    ],
)
def test_a_run_that_cannot_be_kept_is_refused_by_field(user, fields):
    good = {"project": jobs_project(user), "name": "run", "config": {}, "tags": [], "status": "running"}
    with pytest.raises(InvalidSpec) as refused:
        run_create(**good | fields)
    assert list(refused.value.errors) == list(fields)


def test_a_config_nested_too_deep_is_refused(user):
    config = value = {}
    for _ in range(2000):
        value["a"] = {}
        value = value["a"]
    with pytest.raises(InvalidSpec, match="Validation error"):
        run_create(project=jobs_project(user), name="run", config=config, tags=[])
