"""Metric points at rest: what is read is what was logged, and no thinning loses a spike."""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tracking import store, stream
from tracking.models import MetricSegment
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create
from tracking.store import layout
from tracking.stream import Point

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ["loss", "val_loss", "größe 🎈"]

points = st.builds(
    Point,
    name=st.sampled_from(NAMES),
    value=st.floats(width=64),
    step=st.none() | st.integers(-5, 40) | st.integers(-stream.MAX_STEP, stream.MAX_STEP),
    time=st.integers(0, 60).map(lambda seconds: START + timedelta(seconds=seconds)),
)
batches = st.lists(st.lists(points, min_size=1, max_size=12), max_size=6)


@pytest.fixture
def project(user):
    return jobs_project(user)


def new_run(project):
    return run_create(project=project, name="run", config={}, tags=[])


def same(left, right):
    return np.array_equal(np.array(left, float), np.array(right, float), equal_nan=True)


@settings(
    max_examples=examples(full=100, brief=20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=batches, max_points=st.integers(store.MIN_DOWNSAMPLED, 12), page=st.integers(1, 9))
def test_what_is_read_is_what_was_appended(project, batches, max_points, page):
    run = new_run(project)
    expected = defaultdict(list)  # name -> (time, step, order, value)
    in_order = []
    next_step = defaultdict(int)
    for batch in batches:
        with transaction.atomic():
            stream.append(run_id=run.pk, points=batch)
        for point in batch:
            step = next_step[point.name] if point.step is None else point.step
            next_step[point.name] = max(next_step[point.name], step + 1)
            expected[point.name].append((store.microseconds(point.time), step, len(in_order), point.value))
            in_order.append((point.name, step, stream.json_number(point.value)))

    series = store.read_series(run.pk)
    assert list(series) == sorted(expected)
    all_ids = [columns.ids for columns in series.values()]
    assert len(np.unique(np.concatenate(all_ids or [np.array([])]))) == len(in_order)
    for name, rows in expected.items():
        rows.sort(key=lambda row: row[:3])
        columns = series[name]
        assert columns.times.tolist() == [row[0] for row in rows]
        assert columns.steps.tolist() == [row[1] for row in rows]
        assert same(columns.values, [row[3] for row in rows])
        assert len(store.read_series(run.pk, [name], max_points=max_points)[name]) <= max_points
    for summary in store.summaries(run.pk):
        rows = expected.pop(summary.name)
        values = [row[3] for row in rows]
        numbers = [value for value in values if math.isfinite(value)]
        last = max(enumerate(rows), key=lambda pair: (pair[1][0], pair[1][2]))[1]
        assert summary.count == len(values)
        assert summary.nan_count == sum(map(math.isnan, values))
        assert (store.microseconds(summary.last_time), summary.last_step) == last[:2]
        assert same([summary.last_value], [last[3]])
        assert summary.min_value == (min(numbers) if numbers else None)
        assert summary.max_value == (max(numbers) if numbers else None)
        if numbers and max(map(abs, numbers)) < 1e300:
            scale = max(map(abs, numbers))
            assert summary.mean_value == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-9, abs=scale * 1e-9)
    assert not expected

    seen = []
    while messages := stream.read(run_id=run.pk, after=seen[-1]["id"] if seen else 0, limit=page):
        assert len(messages) <= page
        seen += messages
    assert [message["id"] for message in seen] == list(range(1, len(in_order) + 1))
    assert [(message["name"], message["step"], message["value"]) for message in seen] == in_order


def test_a_part_of_the_stream_can_be_read(project):
    run = new_run(project)
    for start in (0, 4):
        with transaction.atomic():
            stream.append(run_id=run.pk, points=[Point("a", start + i) for i in range(4)])
    assert store.read_series(run.pk, after_seq=2, until_seq=6)["a"].steps.tolist() == [2, 3, 4, 5]
    assert store.read_series(run.pk, after_seq=4)["a"].steps.tolist() == [4, 5, 6, 7]
    assert store.read_series(run.pk, until_seq=4)["a"].steps.tolist() == [0, 1, 2, 3]
    assert store.read_series(run.pk, after_seq=8) == {}
    assert store.read_series(run.pk, names=["b"]) == {}


def test_sums_of_huge_values_stay_numbers(project):
    run = new_run(project)
    for value in (1e308, 1.7e308, -1e308, -1.7e308, -1.7e308):
        with transaction.atomic():
            stream.append(run_id=run.pk, points=[Point("a", value)] * 3)
    [summary] = store.summaries(run.pk)
    assert math.isfinite(summary.mean_value)
    assert (summary.min_value, summary.max_value, summary.count) == (-1.7e308, 1.7e308, 15)


def test_a_segment_of_another_layout_is_refused_by_name(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("a", 1.0)])
    segment = MetricSegment.objects.get(run=run)
    MetricSegment.objects.filter(pk=segment.pk).update(payload=b"\x09" + bytes(segment.payload)[1:])
    with pytest.raises(ValueError, match="layout 9"):
        store.read_series(run.pk)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(-3, 300) | st.integers(-stream.MAX_STEP, stream.MAX_STEP),
            st.floats(width=64),
            st.integers(-(2**50), 2**50) | st.just(0),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_a_segment_gives_back_what_was_packed_bit_by_bit(rows):
    keys, steps, values, times = zip(*rows, strict=True)
    packed = np.array(keys, "<i8"), np.array(steps, "<i8"), np.array(values, "<f8"), np.array(times, "<i8")
    unpacked = layout.unpack(layout.pack(*packed))
    assert [column.tobytes() for column in unpacked] == [column.tobytes() for column in packed]
    first = keys[0], steps[0], values[0], times[0]
    assert layout.pack_point(*first) == layout.pack(*(column[:1] for column in packed))
    points = [layout.pack_point(*row) for row in rows]
    whole = layout.pack(*packed)
    assert [column.tobytes() for column in layout.unpack_points(points)] == [column.tobytes() for column in packed]
    # One that is written in another way is read as it is written.
    assert [column.tobytes() for column in layout.unpack_points([*points, whole])] == [
        column.tobytes() * 2 for column in packed
    ]


def test_a_batch_of_one_series_logged_at_once_takes_8_bytes_a_point(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("a", 1 / (step + 1), step, START) for step in range(1000)])
    assert len(MetricSegment.objects.get(run=run).payload) < 8_200


def test_few_points_take_32_bytes_each_and_their_segment_8_more(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("a", i) for i in range(16)])
    assert len(bytes(MetricSegment.objects.get(run=run).payload)) == 32 * 16 + 8


def columns_of(values):
    count = np.arange(len(values), dtype=np.int64)
    return store.Columns(steps=count, values=np.array(values, dtype=np.float64), times=count, ids=count)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(width=32), max_size=300),
    max_points=st.integers(store.MIN_DOWNSAMPLED, 50),
)
def test_thinning_keeps_the_ends_the_extremes_and_what_is_no_number(values, max_points):
    everything = columns_of(values)
    kept = store.downsample(everything, max_points)
    assert len(kept) == len(values) if len(values) <= max_points else len(kept) <= max_points
    assert (np.diff(kept.ids) > 0).all()
    assert same(kept.values, everything.values[kept.ids])
    assert kept.ids.tolist() == store.downsample(everything, max_points).ids.tolist()
    if values:
        assert {0, len(values) - 1} <= set(kept.ids.tolist())
    numbers = [value for value in values if math.isfinite(value)]
    if numbers:
        assert {min(numbers), max(numbers)} <= set(kept.values.tolist())
    if len(numbers) < len(values):
        assert not np.isfinite(kept.values).all()


@pytest.mark.parametrize("max_points", [5, 60, 2000])
@pytest.mark.parametrize("place", [0, 1, 4_999, 7_777, 9_999])
@pytest.mark.parametrize("height", [-50.0, 50.0, math.nan, math.inf])
def test_one_spike_among_ten_thousand_points_stays(max_points, place, height):
    values = np.sin(np.arange(10_000))
    values[place] = height
    assert place in store.downsample(columns_of(values), max_points).ids


def test_fewer_points_than_the_ends_and_extremes_need_are_refused():
    with pytest.raises(ValueError, match="at least 5"):
        store.downsample(columns_of([1.0] * 10), 4)


def test_a_window_that_holds_no_point_reads_as_empty(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("loss", 1.0), Point("loss", 2.0), Point("loss", 3.0)])
    assert store.read_series(run.pk, after_seq=2, until_seq=2) == {}
    assert store.read_series(run.pk, names=["loss"], after_seq=1, until_seq=1) == {}
