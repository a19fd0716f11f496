"""Points appended in groups are the points appended one request at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tracking import store, store_group, stream
from tracking.models import Run
from tracking.services import ingest
from tracking.services.ingest import Entry, group_log
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create
from tracking.store_group import Part, SeriesCache, append_group, append_known
from tracking.stream import Point

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf"), float("-inf")])
VALUES = st.lists(NUMBERS, min_size=1, max_size=store_group.FEW + 4)


@st.composite
def parts(draw) -> Part:
    values = [value + 0.0 for value in draw(VALUES)]  # PostgreSQL is sent a literal, and its numerics know no -0.0
    size = st.lists(st.integers(-3, 60), min_size=len(values), max_size=len(values))
    seconds = draw(size)
    return Part(
        name=draw(st.sampled_from(["loss", "größe 🎈", "a/b"])),
        values=values,
        steps=draw(st.none() | size),
        times=[store.microseconds(START + timedelta(seconds=second)) for second in seconds],
    )


# A group: for each of two runs its parts, and whether somebody else writes to the runs before it.
groups = st.lists(st.tuples(st.lists(parts(), max_size=3), st.lists(parts(), max_size=3), st.booleans()), max_size=5)


def as_points(part: Part) -> list[Point]:
    steps = part.steps if part.steps is not None else [None] * len(part.values)
    return [
        Point(part.name, value, step, store.moment(time))
        for value, step, time in zip(part.values, steps, part.times, strict=True)
    ]


def seen(run: Run) -> str:
    """The points, and their summaries without the means. (As text: a NaN equals itself.)"""
    points = store.read_points(run_id=run.pk, after=0, until=10**9)
    summaries = [replace(summary, mean_value=None) for summary in store.summaries(run.pk)]
    return str([[(point.seq, point.name, point.value, point.step, point.time) for point in points], summaries])


def means_agree(one: Run, other: Run) -> bool:
    """But for what the order of an addition rounds away."""
    return all(
        left.mean_value == right.mean_value
        or abs(left.mean_value - right.mean_value) <= 1e-9 * max(abs(left.min_value), abs(left.max_value))
        for left, right in zip(store.summaries(one.pk), store.summaries(other.pk), strict=True)
    )


@settings(
    max_examples=examples(full=50, brief=12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(groups=groups)
def test_a_group_appends_what_single_requests_would(user, groups):
    project = jobs_project(user)
    single, grouped = (
        [run_create(project=project, name="run", config={}, tags=[]) for _ in range(2)] for _ in range(2)
    )
    cache = SeriesCache()
    for *of_runs, interrupted in groups:
        if interrupted:
            for run in (*single, *grouped):
                with transaction.atomic():
                    stream.append(run_id=run.pk, points=[Point("loss", 0.5, 1, START)])
        with transaction.atomic():
            for run, given_parts in zip(single, of_runs, strict=True):
                points = [point for part in given_parts for point in as_points(part)]
                if points:
                    stream.append(run_id=run.pk, points=points)
            wanted = {run.pk: own for run, own in zip(grouped, of_runs, strict=True) if own}
            if wanted:
                assert append_group(wanted, cache) == wanted.keys()
    for one, other in zip(single, grouped, strict=True):
        assert seen(one) == seen(other)
        assert means_agree(one, other)
        assert one.series.count() == other.series.count()


def test_a_group_leaves_out_runs_that_are_gone(user):
    project = jobs_project(user)
    here, gone = (run_create(project=project, name="run", config={}, tags=[]) for _ in range(2))
    gone_id = gone.pk
    gone.delete()
    with transaction.atomic():
        there = append_group({run: [Part("loss", [1.0])] for run in (here.pk, gone_id)}, SeriesCache())
    assert there == {here.pk}
    assert [point.value for point in store.read_points(run_id=here.pk, after=0, until=9)] == [1.0]


def test_only_runs_that_nobody_else_wrote_to_are_written_without_a_look_at_them(user):
    project = jobs_project(user)
    mine, shared, new = (run_create(project=project, name="run", config={}, tags=[]) for _ in range(3))
    cache = SeriesCache()
    with transaction.atomic():
        append_group({run.pk: [Part("loss", [1.0])] for run in (mine, shared)}, cache)
        stream.append(run_id=shared.pk, points=[Point("loss", 2.0, None, START)])
        parts = {run.pk: [Part("loss", [3.0, 4.0])] for run in (mine, shared, new)}
        assert append_known(parts, cache) == {mine.pk}
        assert append_group({run.pk: parts[run.pk] for run in (shared, new)}, cache) == {shared.pk, new.pk}
    values = [
        [(point.step, point.value) for point in store.read_points(run_id=run.pk, after=0, until=9)]
        for run in (mine, shared, new)
    ]
    assert values == [[(0, 1.0), (1, 3.0), (2, 4.0)], [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)], [(0, 3.0), (1, 4.0)]]
    first_ids = [parts[run.pk][0].first_id for run in (mine, shared, new)]
    assert len({first_id + offset for first_id in first_ids for offset in (0, 1)}) == 6


def test_what_is_committed_is_answered_though_the_rest_of_its_group_fails(user, monkeypatch):
    """Else the view would write it once more."""
    project = jobs_project(user)
    known, new = (run_create(project=project, name="run", config={}, tags=[]) for _ in range(2))
    cache = SeriesCache()
    entries = [Entry(run_id=run.pk, parts=[Part("loss", [1.0])]) for run in (known, new)]
    assert group_log(entries[:1], cache) == [{"message": "Logged 1 metrics successfully"}]

    def away(*_):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(ingest, "append_group", away)
    assert group_log(entries, cache) == [{"message": "Logged 1 metrics successfully"}, None]
    with pytest.raises(OperationalError):
        group_log(entries, cache)
    assert [[summary.count for summary in store.summaries(run.pk)] for run in (known, new)] == [[2], []]
