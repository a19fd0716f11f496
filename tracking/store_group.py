"""Appending the points of many requests, to any number of runs, with a fixed number of statements.

What `stream.append` does for one run at a time, for the ingest path (tracking/services/ingest.py). Statements are
written out here: for a single point the ORM would cost more than the database.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection
from django.utils import timezone

from tracking.models import MetricCounter, MetricSegment, MetricSeries, Run
from tracking.store import COUNTER_PK, Floats, Integers, moment, pack, summarise, take_ids

FEW = 16  # up to here a loop is faster than numpy's calls
MAX_CACHED = 20_000  # series

_SUMMARY = [field for field in MetricSeries._meta.concrete_fields if field.name not in ("id", "run", "name")]


@dataclass(slots=True)
class Part:
    """Points of one series that were logged together, in their order.

    `steps`: None takes the series' next ones. `times`: microseconds since 1970-01-01 UTC; None is the present.
    `first_id`, `first_step` and `first_time` are set by `append_group`, of the first point.
    """

    name: str
    values: Sequence[float] | Floats
    steps: Sequence[int] | Integers | None = None
    times: Sequence[int] | Integers | None = None
    first_id: int = 0
    first_step: int = 0
    first_time: int = 0


class SeriesCache:
    """The summary rows that this process wrote last, so that it need not read them before it writes them again.

    They are good as long as the run's `seq` is what it was after that write: whoever appends moves it.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[int, tuple[int, dict[str, MetricSeries]]] = OrderedDict()
        self._size = 0

    def get(self, run_id: int, seq: int) -> dict[str, MetricSeries]:
        """The rows by name, perhaps not all of them; the caller adds to it and gives it back by `put`."""
        known_seq, rows = self._runs.pop(run_id, (seq, {}))
        self._size -= len(rows)
        return rows if known_seq == seq else {}

    def put(self, run_id: int, seq: int, rows: dict[str, MetricSeries]) -> None:
        self._runs[run_id] = seq, rows
        self._size += len(rows)
        while self._size > MAX_CACHED:
            _, (_, oldest) = self._runs.popitem(last=False)
            self._size -= len(oldest)

    def clear(self) -> None:
        self._runs.clear()
        self._size = 0


def append_group(parts_by_run: Mapping[int, Sequence[Part]], cache: SeriesCache) -> set[int]:
    """Append each run's parts to its stream, as one segment a run, and set ids and steps; the runs that are there.

    Must be called in a transaction, which holds the runs' rows from here on; if it is undone, clear the cache. The
    parts have been checked: names, values, steps and times are what `stream.append` takes.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("append_group must be called in a transaction")
    counts = {run_id: sum(len(part.values) for part in parts) for run_id, parts in parts_by_run.items()}
    seqs = _take_seqs(counts)
    series = {run_id: cache.get(run_id, seq - counts[run_id]) for run_id, seq in seqs.items()}
    _complete(series, parts_by_run)
    now = timezone.now()
    now_us = int(now.timestamp() * 1_000_000)
    changed: dict[int, MetricSeries] = {}
    segments = []
    next_id = _take_ids(sum(counts[run_id] for run_id in seqs))
    for run_id, seq in seqs.items():
        rows, parts = series[run_id], parts_by_run[run_id]
        first_id = next_id
        columns: tuple[list[Any], ...] = [], [], [], []  # series, steps, values, times
        for part in parts:
            row = rows[part.name]
            count = len(part.values)
            part.first_id = next_id
            next_id += count
            steps = range(row.next_step, row.next_step + count) if part.steps is None else part.steps
            times = [now_us] * count if part.times is None else part.times
            part.first_step, part.first_time = int(steps[0]), int(times[0])
            row.next_step = max(row.next_step, int(max(steps)) + 1)
            _summarise(row, part, steps, times)
            changed[row.pk] = row
            columns[0].append(np.full(count, row.pk, "<i8"))
            columns[1].append(np.asarray(steps, "<i8"))
            columns[2].append(np.asarray(part.values, "<f8"))
            columns[3].append(np.asarray(times, "<i8"))
        payload = pack(*(np.concatenate(column) for column in columns))
        segments.append((run_id, seq, first_id, counts[run_id], payload))
        cache.put(run_id, seq, rows)
    _write_summaries(list(changed.values()))
    _write_segments(segments)
    return set(seqs)


def _take_seqs(counts: Mapping[int, int]) -> dict[int, int]:
    """Move each run's `seq` on by its count, and lock its row: run -> its new seq.

    Left out are runs in the trash, and those that silence made `failed`: their points bring them back by another way.
    """
    table = Run._meta.db_table
    ids = sorted(counts)
    marks = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(ids) > 1:
            # In one order everywhere, else two groups wait for each other.
            cursor.execute(f"SELECT id FROM {table} WHERE id IN ({marks}) ORDER BY id FOR UPDATE", ids)  # noqa: S608
        cases = " ".join(["WHEN %s THEN %s"] * len(ids))
        cursor.execute(
            f"UPDATE {table} SET seq = seq + CASE id {cases} END "  # noqa: S608 (names are ours)
            f"WHERE id IN ({marks}) AND deleted_at IS NULL AND silent_at IS NULL RETURNING id, seq",
            [number for run_id in ids for number in (run_id, counts[run_id])] + ids,
        )
        return dict(cursor.fetchall())


def _complete(series: dict[int, dict[str, MetricSeries]], parts_by_run: Mapping[int, Sequence[Part]]) -> None:
    """Read the rows that no cache had, and make those of new series."""
    lacking = {
        (run_id, part.name): None
        for run_id, rows in series.items()
        for part in parts_by_run[run_id]
        if part.name not in rows
    }
    if not lacking:
        return
    runs = {run_id for run_id, _ in lacking}
    names = sorted({name for _, name in lacking})
    for start in range(0, len(names), 500):  # SQLite takes a limited number of parameters
        found = MetricSeries.objects.filter(run_id__in=runs, name__in=names[start : start + 500])
        for row in found:
            if (row.run_id, row.name) in lacking:
                series[row.run_id][row.name] = row
    new = [MetricSeries(run_id=run_id, name=name) for run_id, name in lacking if name not in series[run_id]]
    MetricSeries.objects.bulk_create(new)
    for row in new:
        series[row.run_id][row.name] = row


def _take_ids(count: int) -> int:
    """The first of `count` public ids. The counter's row stays locked until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {MetricCounter._meta.db_table} SET next_id = next_id + %s WHERE id = %s RETURNING next_id",  # noqa: S608
            [count, COUNTER_PK],
        )
        row = cursor.fetchone()
    return row[0] - count if row else take_ids(count)


def _summarise(row: MetricSeries, part: Part, steps: Sequence[int] | Integers, times: Sequence[int] | Integers) -> None:
    if len(part.values) > FEW:
        summarise(row, np.asarray(steps, "<i8"), np.asarray(part.values, "<f8"), np.asarray(times, "<i8"))
        return
    for step, value, time in zip(steps, part.values, times, strict=True):
        value = float(value)
        row.count += 1
        row.nan_count += math.isnan(value)
        if math.isfinite(value):
            row.number_count += 1
            row.min_value = value if row.min_value is None else min(row.min_value, value)
            row.max_value = value if row.max_value is None else max(row.max_value, value)
            total = row.sum_value + value
            # Held finite, as `store.summarise` does.
            row.sum_value = max(-_FLOAT_MAX, min(_FLOAT_MAX, total))
        last = moment(int(time))
        if row.last_time is None or last >= row.last_time:
            row.last_time, row.last_step = last, int(step)
            row.last_value = None if math.isnan(value) else value


_FLOAT_MAX = float(np.finfo(np.float64).max)


def _write_summaries(rows: Sequence[MetricSeries]) -> None:
    columns = ", ".join(f"{connection.ops.quote_name(str(field.column))} = %s" for field in _SUMMARY)
    values: list[list[Any]] = [
        [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _SUMMARY] + [row.pk]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {MetricSeries._meta.db_table} SET {columns} WHERE id = %s", values)  # noqa: S608


def _write_segments(segments: Sequence[tuple[int, int, int, int, bytes]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {MetricSegment._meta.db_table} (run_id, seq, first_id, count, payload) "  # noqa: S608
            "VALUES (%s, %s, %s, %s, %s)",
            segments,
        )
