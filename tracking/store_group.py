"""Appending the points of many requests, to any number of runs, with a fixed number of statements.

What `stream.append` does for one run at a time, for the ingest path (tracking/services/ingest.py). A run whose series
the cache knows is written at once, on the condition that its `seq` is what the cache saw last; any other is locked and
read first. The statements stand in tracking/store_statements.py.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection
from django.utils import timezone

from tracking import store_statements as statements
from tracking.models import MetricSeries
from tracking.store import Floats, Integers, moment, pack, pack_point, summarise

FEW = 16  # up to here a loop is faster than numpy's calls
MAX_CACHED = 20_000  # series


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

    def take(self, run_id: int) -> tuple[int, dict[str, MetricSeries]]:
        """The run's `seq` and rows by name, perhaps not all; out of the cache until they come back by `put`."""
        seq, rows = self._runs.pop(run_id, (-1, {}))
        self._size -= len(rows)
        return seq, rows

    def knows(self, run_id: int, parts: Sequence[Part]) -> bool:
        """Whether it has the rows of all these parts."""
        known = self._runs.get(run_id)
        return known is not None and all(part.name in known[1] for part in parts)

    def put(self, run_id: int, seq: int, rows: dict[str, MetricSeries]) -> None:
        self._runs[run_id] = seq, rows
        self._size += len(rows)
        while self._size > MAX_CACHED and len(self._runs) > 1:
            _, (_, oldest) = self._runs.popitem(last=False)
            self._size -= len(oldest)

    def clear(self) -> None:
        self._runs.clear()
        self._size = 0


def append_group(parts_by_run: Mapping[int, Sequence[Part]], cache: SeriesCache) -> set[int]:
    """Append each run's parts to its stream, as one segment a run, and set ids and steps; the runs that are there.

    Left out are runs in the trash, and those that silence made `failed`: their points bring them back by another way.
    Must be called in a transaction, which holds the runs' rows from here on; if it is undone, clear the cache. The
    parts have been checked: names, values, steps and times are what `stream.append` takes.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("append_group must be called in a transaction")
    there = append_known(parts_by_run, cache)
    rest = {run_id: parts for run_id, parts in parts_by_run.items() if run_id not in there}
    if not rest:
        return there
    seqs = statements.lock_runs(rest.keys())
    series = {run_id: cache.take(run_id) for run_id in seqs}
    rows = {run_id: known if seq == seqs[run_id] else {} for run_id, (seq, known) in series.items()}
    _complete(rows, rest)
    for run_id, seq in seqs.items():  # one by one: the cache may have no place for the series of all
        cache.put(run_id, seq, rows[run_id])
        there |= append_known({run_id: rest[run_id]}, cache)
    return there


def append_known(
    parts_by_run: Mapping[int, Sequence[Part]], cache: SeriesCache, keys: Sequence[statements.Key] = ()
) -> set[int]:
    """The same for those runs whose series the cache knows, where nobody else has written to them since.

    With them the keys are kept that belong to these runs. This is a transaction by itself; on PostgreSQL, one
    statement. If it raises, nothing is written: clear the cache.

    Raises:
        IntegrityError: one of the keys has come before.
    """
    now_us = int(timezone.now().timestamp() * 1_000_000)
    taken: dict[int, tuple[int, dict[str, MetricSeries]]] = {}
    segments = []
    changed: dict[int, MetricSeries] = {}
    for run_id, parts in parts_by_run.items():
        if cache.knows(run_id, parts):
            seq, rows = taken[run_id] = cache.take(run_id)
            segments.append(_segment(run_id, seq, rows, parts, now_us))
            changed.update((rows[part.name].pk, rows[part.name]) for part in parts)
    if not segments:
        return set()
    first_ids = statements.write(segments, list(changed.values()), keys)
    for segment in segments:
        run_id = segment.run_id
        if run_id not in first_ids:
            continue  # its rows in the cache were not what the database has: they are forgotten
        next_id = first_ids[run_id]
        for part in parts_by_run[run_id]:
            part.first_id = next_id
            next_id += len(part.values)
        cache.put(run_id, segment.seq + segment.count, taken[run_id][1])
    return set(first_ids)


def _segment(
    run_id: int, seq: int, rows: Mapping[str, MetricSeries], parts: Sequence[Part], now_us: int
) -> statements.Segment:
    """The parts packed behind number `seq` of the run's stream; their rows' summaries have them counted."""
    keys: list[Any] = []
    steps: list[Any] = []
    values: list[Any] = []
    times: list[Any] = []
    for part in parts:
        row = rows[part.name]
        count = len(part.values)
        own_steps = range(row.next_step, row.next_step + count) if part.steps is None else part.steps
        own_times = [now_us] * count if part.times is None else part.times
        part.first_step, part.first_time = int(own_steps[0]), int(own_times[0])
        row.next_step = max(row.next_step, int(max(own_steps)) + 1)
        _summarise(row, part, own_steps, own_times)
        if count == 1 == len(parts):
            payload = pack_point(row.pk, part.first_step, float(part.values[0]), part.first_time)
            return statements.Segment(run_id, seq, 1, payload)
        keys.append(np.full(count, row.pk, "<i8"))
        steps.append(np.asarray(own_steps, "<i8"))
        values.append(np.asarray(part.values, "<f8"))
        times.append(np.asarray(own_times, "<i8"))
    joined = (column[0] if len(column) == 1 else np.concatenate(column) for column in (keys, steps, values, times))
    return statements.Segment(run_id, seq, sum(map(len, values)), pack(*joined))


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
