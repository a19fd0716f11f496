"""Reading points: whole series, a part of a run's stream, and summaries.

Points lie in chunks and, before they are folded, in segments. A fold moves them in one transaction, so one statement
over both tables (or rows that were named by one statement, and are still there) sees each point exactly once.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import BigIntegerField, F, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from tracking.models import MetricChunk, MetricSegment, MetricSeries
from tracking.store import layout
from tracking.store.appending import NAMES_A_QUERY
from tracking.store.points import EPOCH, Columns, Integers, StreamPoint, Summary
from tracking.store.rows import fetch
from tracking.store.thinning import downsample

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SeqRange:
    """Of a run's stream: `after` < seq <= `until`, where they are given."""

    after: int | None = None
    until: int | None = None

    def covers(self, first: int, last: int) -> bool:
        """Whether all of first … last lies in it."""
        return (self.after is None or self.after < first) and (self.until is None or last <= self.until)

    def mask(self, seqs: Integers) -> Mask:
        inside = np.ones(len(seqs), dtype=bool)
        if self.after is not None:
            inside &= seqs > self.after
        if self.until is not None:
            inside &= seqs <= self.until
        return inside

    def chunks(self, chunks: QuerySet[MetricChunk]) -> QuerySet[MetricChunk]:
        """Those that hold such points, perhaps."""
        if self.after is not None:
            chunks = chunks.filter(last_seq__gt=self.after)
        return chunks if self.until is None else chunks.filter(first_seq__lte=self.until)

    def segments(self, segments: QuerySet[MetricSegment]) -> QuerySet[MetricSegment]:
        """Those that hold such points."""
        if self.after is not None:
            segments = segments.filter(seq__gt=self.after)
        return segments if self.until is None else segments.filter(seq__lt=F("count") + self.until)


def read_points(*, run_id: int, after: int, until: int) -> list[StreamPoint]:
    """The run's points with `after` < seq <= `until`, in the stream's order."""
    # A segment's first seq depends on its count, which no index has: the one that covers `until` is looked up.
    covering = MetricSegment.objects.filter(run_id=run_id, seq__gte=until).order_by("seq").values("seq")[:1]
    segments = MetricSegment.objects.filter(
        run_id=run_id, seq__gt=after, seq__lte=Coalesce(Subquery(covering), until)
    ).annotate(series_key=_no_series())
    chunks = MetricChunk.objects.filter(run_id=run_id, last_seq__gt=after, first_seq__lte=until)
    rows = fetch(
        chunks.order_by()
        .values_list("series_id", "last_seq", "count", "payload")
        .union(segments.order_by().values_list("series_key", "seq", "count", "payload"), all=True)
    )
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for key, seq, count, payload in rows:
        if key:
            seqs, steps, values, times = layout.decode(payload, (layout.SEQ, layout.STEP, layout.VALUE, layout.TIME))
            keys = np.full(count, key)
        else:
            keys, steps, values, times = layout.unpack(payload)
            seqs = np.arange(seq - count + 1, seq + 1)
        wanted = (seqs > after) & (seqs <= until)
        parts.append((seqs[wanted], keys[wanted], values[wanted], steps[wanted], times[wanted]))
    if not parts:
        return []
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0])
    seqs, keys, values, steps, times = (column[order].tolist() for column in columns)
    names = _names(run_id, set(keys))
    return [
        StreamPoint(seq=seq, name=names[key], value=value, step=step, time=time)
        for seq, key, value, step, time in zip(seqs, keys, values, steps, times, strict=True)
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
    most so many a series, see `downsample`; `charts.read_thinned` reads less for that.
    """
    name_of = series_names(run_id, names)
    if not name_of:
        return {}
    wanted = SeqRange(after_seq, until_seq)
    chunks = wanted.chunks(chunks_of(run_id, name_of, all_series=names is None))
    segments = wanted.segments(MetricSegment.objects.filter(run_id=run_id)).annotate(series_key=_no_series())
    rows = fetch(
        chunks.order_by()
        .values_list("series_id", "first_seq", "last_seq", "count", "first_seq", "payload")
        .union(
            segments.order_by().values_list(
                "series_key", F("seq") - F("count") + 1, "seq", "count", "first_id", "payload"
            ),
            all=True,
        )
    )
    parts: dict[int, list[Columns]] = {}
    unfolded = []
    for key, first_seq, last_seq, count, first_id, payload in rows:
        if not key:
            unfolded.append((last_seq, count, first_id, payload))
        elif key in name_of:
            parts.setdefault(key, []).append(decode_chunk(payload, first_seq, last_seq, wanted))
    for key, columns in unpack_segments(unfolded, wanted, name_of).items():
        parts.setdefault(key, []).append(columns)
    series = {name: Columns.join(parts[key]).in_order() for key, name in name_of.items() if key in parts}
    return {
        name: columns if max_points is None else downsample(columns, max_points)
        for name, columns in series.items()
        if len(columns)
    }


def summaries(run_id: int) -> list[Summary]:
    """The running summary of each of the run's series, by name."""
    return [
        Summary(
            name=row.name,
            count=row.count,
            nan_count=row.nan_count,
            last_value=math.nan if row.last_value is None else row.last_value,
            last_step=row.last_step or 0,
            last_time=row.last_time or EPOCH,
            next_step=row.next_step,
            min_value=row.min_value,
            max_value=row.max_value,
            mean_value=row.sum_value / row.number_count if row.number_count else None,
        )
        for row in MetricSeries.objects.filter(run_id=run_id, count__gt=0).order_by("name")
    ]


def series_names(run_id: int, names: Iterable[str] | None = None) -> dict[int, str]:
    """Primary key -> name of the run's series that have points (and one of these names), by name."""
    rows = MetricSeries.objects.filter(run_id=run_id, count__gt=0)
    if names is not None:
        rows = rows.filter(name__in=list(names))
    return dict(rows.order_by("name").values_list("pk", "name"))


def chunks_of(run_id: int, keys: Iterable[int], *, all_series: bool = False) -> QuerySet[MetricChunk]:
    """The chunks of these series of the run; all of the run's where that is cheaper to ask for."""
    chosen = list(keys)
    if all_series or len(chosen) > NAMES_A_QUERY:
        return MetricChunk.objects.filter(run_id=run_id)
    return MetricChunk.objects.filter(series_id__in=chosen)


def decode_chunk(payload: bytes, first_seq: int, last_seq: int, wanted: SeqRange) -> Columns:
    """A chunk's points in that range, by time, then step, then id."""
    columns = (layout.STEP, layout.VALUE, layout.TIME, layout.ID)
    if wanted.covers(first_seq, last_seq):
        return Columns(*layout.decode(payload, columns))
    *decoded, seqs = layout.decode(payload, (*columns, layout.SEQ))
    return Columns(*decoded).take(wanted.mask(seqs))


def unpack_segments(
    rows: Sequence[tuple[int, int, int, bytes]], wanted: SeqRange, keys: Iterable[int]
) -> dict[int, Columns]:
    """Series key -> the points in that range, by time, then step, then id; of these series.

    `rows`: last seq, count, first id and payload of each segment.
    """
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    if single := [row for row in rows if row[1] == 1]:
        places, _, ids_of, payloads = zip(*single, strict=True)
        here = wanted.mask(np.array(places))
        points = (*layout.unpack_points(payloads), np.array(ids_of))
        parts.append(tuple(column[here] for column in points))
    for seq, count, first_id, payload in rows:
        if count == 1:
            continue
        series, steps, values, times = layout.unpack(payload)
        offset = np.arange(count, dtype=np.int64)
        first = seq - count + 1
        inside: Mask | slice = slice(None) if wanted.covers(first, seq) else wanted.mask(first + offset)
        parts.append((series[inside], steps[inside], values[inside], times[inside], first_id + offset[inside]))
    if not any(len(part[0]) for part in parts):
        return {}
    series, steps, values, times, ids = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # One sort for all series: by series, and in it by time, then step, then id.
    order = np.lexsort((ids, steps, times, series))
    everything = Columns(steps, values, times, ids)
    found, starts = np.unique(series[order], return_index=True)
    ends = [*starts[1:], len(order)]
    known = set(keys)
    return {
        key: everything.take(order[start:end])
        for key, start, end in zip(found.tolist(), starts, ends, strict=True)
        if key in known
    }


def _no_series() -> Value:
    return Value(0, output_field=BigIntegerField())


def _names(run_id: int, keys: set[int]) -> dict[int, str]:
    if not keys:
        return {}
    rows = MetricSeries.objects.filter(run_id=run_id)
    if len(keys) <= NAMES_A_QUERY:
        rows = rows.filter(pk__in=keys)
    return dict(rows.values_list("pk", "name"))
