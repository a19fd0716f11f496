"""Appending points to a run: one segment a request, and the series' running summaries."""

import math
from collections.abc import Sequence

import numpy as np
from django.db import connection
from django.utils import timezone

from tracking.models import MetricCounter, MetricSegment, MetricSeries
from tracking.store.layout import pack
from tracking.store.points import Floats, Integers, Point, microseconds, moment

COUNTER_PK = 1
NAMES_A_QUERY = 500  # SQLite takes a limited number of parameters
_FLOAT_MAX = float(np.finfo(np.float64).max)


def append_points(*, run_id: int, points: Sequence[Point], seq: int) -> int:
    """Store `points` as one segment whose last point is number `seq` of the run's stream; the first one's public id.

    The caller holds the lock on the run's row, which serialises the writers of its series. At most five statements
    (for up to 70 series on SQLite), however many points. `points` is not empty and has been checked (`stream.append`).
    """
    now = microseconds(timezone.now())
    names = sorted({point.name for point in points})
    known = _series_by_name(run_id, names)
    series = {name: known.get(name) or MetricSeries(run_id=run_id, name=name) for name in names}
    steps = np.empty(len(points), "<i8")
    times = np.empty(len(points), "<i8")
    values = np.empty(len(points), "<f8")
    indices: dict[str, list[int]] = {name: [] for name in names}
    for index, point in enumerate(points):
        row = series[point.name]
        step = row.next_step if point.step is None else int(point.step)
        row.next_step = max(row.next_step, step + 1)
        steps[index] = step
        values[index] = point.value
        times[index] = now if point.time is None else microseconds(point.time)
        indices[point.name].append(index)
    for name, own in indices.items():
        summarise(series[name], steps[own], values[own], times[own])
    _save_series([series[name] for name in names])
    first_id = take_ids(len(points))
    keys = np.fromiter((series[point.name].pk for point in points), "<i8", len(points))
    MetricSegment.objects.create(
        run_id=run_id, seq=seq, first_id=first_id, count=len(points), payload=pack(keys, steps, values, times)
    )
    return first_id


def _series_by_name(run_id: int, names: Sequence[str]) -> dict[str, MetricSeries]:
    rows: dict[str, MetricSeries] = {}
    for start in range(0, len(names), NAMES_A_QUERY):
        chunk = names[start : start + NAMES_A_QUERY]
        rows.update((row.name, row) for row in MetricSeries.objects.filter(run_id=run_id, name__in=chunk))
    return rows


def summarise(row: MetricSeries, steps: Integers, values: Floats, times: Integers) -> None:
    """Add points, in the order in which they were logged, to the row's running summary."""
    numbers = values[np.isfinite(values)]
    row.count += len(values)
    row.number_count += len(numbers)
    row.nan_count += int(np.isnan(values).sum())
    if len(numbers):
        low, high = float(numbers.min()), float(numbers.max())
        row.min_value = low if row.min_value is None else min(row.min_value, low)
        row.max_value = high if row.max_value is None else max(row.max_value, high)
        with np.errstate(over="ignore", invalid="ignore"):
            total = row.sum_value + float(numbers.sum())
        # Held finite: a later sum with the other infinity would be NaN, which the column cannot keep.
        row.sum_value = row.sum_value if math.isnan(total) else max(-_FLOAT_MAX, min(_FLOAT_MAX, total))
    # The last by time; of one time, the one logged last.
    last = len(times) - 1 - int(np.argmax(times[::-1]))
    if row.last_time is None or int(times[last]) >= microseconds(row.last_time):
        row.last_time = moment(int(times[last]))
        row.last_step = int(steps[last])
        row.last_value = None if math.isnan(values[last]) else float(values[last])


def _save_series(rows: Sequence[MetricSeries]) -> None:
    fields = [field.name for field in MetricSeries._meta.concrete_fields if field.name not in ("id", "run", "name")]
    known = [row for row in rows if row.pk is not None]
    MetricSeries.objects.bulk_create([row for row in rows if row.pk is None])
    # One upsert instead of bulk_update, whose CASE for each field and row costs more than the statement itself.
    MetricSeries.objects.bulk_create(known, update_conflicts=True, unique_fields=["id"], update_fields=fields)


def take_ids(count: int) -> int:
    """The first of `count` public ids. The counter's row stays locked until the transaction ends: call this late."""
    last = _advance_counter(count)
    if last is None:
        MetricCounter.objects.bulk_create([MetricCounter(pk=COUNTER_PK)], ignore_conflicts=True)
        last = _advance_counter(count)
    if last is None:
        raise AssertionError("the counter was deleted as it was made")
    return last - count


def _advance_counter(count: int) -> int | None:
    """The counter's new value; None when its row is not there yet."""
    with connection.cursor() as cursor:  # by hand: the ORM needs a second statement to read what it wrote
        cursor.execute(
            f"UPDATE {MetricCounter._meta.db_table} SET next_id = next_id + %s WHERE id = %s RETURNING next_id",  # noqa: S608
            [count, COUNTER_PK],
        )
        rows = cursor.fetchall()
    return rows[0][0] if rows else None
