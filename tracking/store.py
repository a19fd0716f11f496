"""Metric points at rest. Only this module knows their layout.

The points of one request are one `MetricSegment`: a header (`_HEADER`: layout version, three bytes of padding, number
of points) and then four little-endian columns of 8 bytes a point, one after the other:

    series  int64     primary key of the `MetricSeries`
    step    int64
    value   float64   NaN and infinities as they are
    time    int64     microseconds since 1970-01-01 UTC

in the order in which the points were logged: point i of a segment has the public id `first_id` + i and the place
`seq` - `count` + 1 + i in its run's stream.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import F, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from tracking.models import MetricCounter, MetricSegment, MetricSeries

_HEADER = struct.Struct("<B3xI")
_LAYOUT_VERSION = 1
_COLUMNS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FLOAT_MAX = float(np.finfo(np.float64).max)
COUNTER_PK = 1
_NAMES_A_QUERY = 500  # SQLite takes a limited number of parameters
MIN_DOWNSAMPLED = 5  # first, last, and one bucket's minimum, maximum and not-a-number

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric. Without `step` it takes the series' next one, without `time` the present."""

    name: str
    value: float
    step: int | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamPoint:
    """A point as it stands in its run's stream. `time` is in microseconds since 1970-01-01 UTC."""

    seq: int
    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Points of one series as arrays of one length. `times` are microseconds since 1970-01-01 UTC, `ids` public ids."""

    steps: Integers
    values: Floats
    times: Integers
    ids: Integers

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: npt.NDArray[Any]) -> "Columns":
        """The points at these indices (or under this mask)."""
        return Columns(self.steps[indices], self.values[indices], self.times[indices], self.ids[indices])


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one series. Minimum, maximum and mean skip NaN and infinities, and are None where no number is left."""

    name: str
    count: int
    nan_count: int
    last_value: float
    last_step: int
    last_time: datetime
    min_value: float | None
    max_value: float | None
    mean_value: float | None


# --- Writing --------------------------------------------------------------------------------------------------------


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
    for start in range(0, len(names), _NAMES_A_QUERY):
        chunk = names[start : start + _NAMES_A_QUERY]
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
    MetricSeries.objects.bulk_create([row for row in rows if row.pk is None])
    # One upsert instead of bulk_update, whose CASE for each field and row costs more than the statement itself.
    MetricSeries.objects.bulk_create(
        [row for row in rows if row.pk is not None], update_conflicts=True, unique_fields=["id"], update_fields=fields
    )


def take_ids(count: int) -> int:
    """The first of `count` public ids. The counter's row stays locked until the transaction ends: call this late."""
    counter = MetricCounter.objects.filter(pk=COUNTER_PK)
    if not counter.update(next_id=F("next_id") + count):
        MetricCounter.objects.bulk_create([MetricCounter(pk=COUNTER_PK)], ignore_conflicts=True)
        counter.update(next_id=F("next_id") + count)
    return counter.values_list("next_id", flat=True).get() - count


# --- Reading --------------------------------------------------------------------------------------------------------


def read_points(*, run_id: int, after: int, until: int) -> list[StreamPoint]:
    """The run's points with `after` < seq <= `until`, in the stream's order."""
    covering = MetricSegment.objects.filter(run_id=run_id, seq__gte=until).order_by("seq").values("seq")[:1]
    segments = MetricSegment.objects.filter(
        run_id=run_id, seq__gt=after, seq__lte=Coalesce(Subquery(covering), until)
    ).order_by("seq")
    places: list[int] = []
    keys: list[int] = []
    steps: list[int] = []
    values: list[float] = []
    times: list[int] = []
    for seq, count, payload in segments.values_list("seq", "count", "payload"):
        first = seq - count + 1
        wanted = slice(max(after + 1 - first, 0), max(until + 1 - first, 0))
        columns = _unpack(payload)
        places += list(range(first, seq + 1))[wanted]
        for into, column in zip((keys, steps, values, times), columns, strict=True):
            into += column[wanted].tolist()
    names = _names(run_id, set(keys))
    return [
        StreamPoint(seq=place, name=names[key], value=value, step=step, time=time)
        for place, key, step, value, time in zip(places, keys, steps, values, times, strict=True)
    ]


def read_series(
    run_id: int,
    names: Iterable[str] | None = None,
    after_seq: int | None = None,
    max_points: int | None = None,
    until_seq: int | None = None,
) -> dict[str, Columns]:
    """The points of the run's series, each sorted by time, then step, then id; series without points are left out.

    `names`: only these. `after_seq`, `until_seq`: only points with `after_seq` < seq <= `until_seq`. `max_points`: at
    most so many a series, see `downsample`.
    """
    rows = MetricSeries.objects.filter(run_id=run_id, count__gt=0)
    if names is not None:
        rows = rows.filter(name__in=list(names))
    name_of = dict(rows.order_by("name").values_list("pk", "name"))
    if not name_of:
        return {}
    segments = MetricSegment.objects.filter(run_id=run_id)
    if after_seq is not None:
        segments = segments.filter(seq__gt=after_seq)
    if until_seq is not None:
        segments = segments.filter(seq__lt=F("count") + until_seq)
    parts: list[tuple[Any, ...]] = []
    for seq, count, first_id, payload in segments.order_by("seq").values_list("seq", "count", "first_id", "payload"):
        keys, steps, values, times = _unpack(payload)
        offset = np.arange(count, dtype=np.int64)
        part = (keys, steps, values, times, first_id + offset)
        place = seq - count + 1 + offset
        wanted = slice(
            0 if after_seq is None else int(np.searchsorted(place, after_seq, side="right")),
            count if until_seq is None else int(np.searchsorted(place, until_seq, side="right")),
        )
        parts.append(tuple(column[wanted] for column in part))
    if not parts:
        return {}
    keys, steps, values, times, ids = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # One sort for all series: by series, and in it by time, then step, then id.
    order = np.lexsort((ids, steps, times, keys))
    everything = Columns(steps, values, times, ids)
    found, starts = np.unique(keys[order], return_index=True)
    ends = [*starts[1:], len(order)]
    series = {
        name_of[key]: everything.take(order[start:end])
        for key, start, end in zip(found.tolist(), starts, ends, strict=True)
        if key in name_of
    }
    return {
        name: series[name] if max_points is None else downsample(series[name], max_points)
        for name in name_of.values()
        if name in series
    }


def downsample(columns: Columns, max_points: int) -> Columns:
    """At most `max_points` of the points, in their order, so that every spike stays.

    The points are cut into buckets of equal count. Of each bucket the lowest and the highest number are kept, and where
    it has any, its first NaN or infinity; the first and the last point are kept too. The same points give the same
    choice.

    Raises:
        ValueError: `max_points` < MIN_DOWNSAMPLED.
    """
    if max_points < MIN_DOWNSAMPLED:
        raise ValueError(f"max_points must be at least {MIN_DOWNSAMPLED}")
    total = len(columns)
    if total <= max_points:
        return columns
    finite = np.isfinite(columns.values)
    buckets = (max_points - 2) // (2 if finite.all() else 3)
    bucket = np.arange(total, dtype=np.int64) * buckets // total
    starts = np.searchsorted(bucket, np.arange(buckets))
    lowest = np.minimum.reduceat(np.where(finite, columns.values, np.inf), starts)
    highest = np.maximum.reduceat(np.where(finite, columns.values, -np.inf), starts)
    chosen = [np.array([0, total - 1])]
    for mask in (
        finite & (columns.values == lowest[bucket]),
        finite & (columns.values == highest[bucket]),
        ~finite,
    ):
        indices = np.flatnonzero(mask)
        chosen.append(indices[np.unique(bucket[indices], return_index=True)[1]])
    return columns.take(np.unique(np.concatenate(chosen)))


def summaries(run_id: int) -> list[Summary]:
    """The running summary of each of the run's series, by name."""
    return [
        Summary(
            name=row.name,
            count=row.count,
            nan_count=row.nan_count,
            last_value=math.nan if row.last_value is None else row.last_value,
            last_step=row.last_step or 0,
            last_time=row.last_time or _EPOCH,
            min_value=row.min_value,
            max_value=row.max_value,
            mean_value=row.sum_value / row.number_count if row.number_count else None,
        )
        for row in MetricSeries.objects.filter(run_id=run_id, count__gt=0).order_by("name")
    ]


def _names(run_id: int, keys: set[int]) -> dict[int, str]:
    if not keys:
        return {}
    rows = MetricSeries.objects.filter(run_id=run_id)
    if len(keys) <= _NAMES_A_QUERY:
        rows = rows.filter(pk__in=keys)
    return dict(rows.values_list("pk", "name"))


# --- The layout -----------------------------------------------------------------------------------------------------


def pack(keys: Integers, steps: Integers, values: Floats, times: Integers) -> bytes:
    header = _HEADER.pack(_LAYOUT_VERSION, len(keys))
    return b"".join((header, keys.tobytes(), steps.tobytes(), values.tobytes(), times.tobytes()))


def _unpack(payload: bytes | memoryview) -> tuple[Integers, Integers, Floats, Integers]:
    """Series keys, steps, values and times, as read-only views of `payload`."""
    version, count = _HEADER.unpack_from(payload)
    if version != _LAYOUT_VERSION:
        raise ValueError(f"metric segment of layout {version}; this version of the platform reads {_LAYOUT_VERSION}")
    integers = np.frombuffer(payload, "<i8", _COLUMNS * count, _HEADER.size).reshape(_COLUMNS, count)
    return integers[0], integers[1], integers[2].view("<f8"), integers[3]


def microseconds(time: datetime) -> int:
    """Since 1970-01-01 UTC; a time without zone is in UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """The time that is so many microseconds after 1970-01-01 UTC."""
    return _EPOCH + time * _MICROSECOND
