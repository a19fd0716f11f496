"""Reading series for a chart: few points of many, without opening every chunk.

Of a long series the chunks' coarse levels are read, which hold the extremes of each 64 points. A chunk is opened where
that would not do: it reaches over an end of what is wanted, another one has points of the same steps, or all that would
be left to the coarse levels is little.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import BigIntegerField, BooleanField, F, QuerySet, Value

from tracking.models import MetricChunk, MetricSegment, MetricSeries
from tracking.store import layout
from tracking.store.appending import NAMES_A_QUERY
from tracking.store.points import Columns, Integers
from tracking.store.reading import SeqRange, decode_chunk, read_series, unpack_segments
from tracking.store.rows import fetch
from tracking.store.thinning import downsample

# A series of fewer points than so many times `max_points` is read whole. Of more, the coarse levels hold twice as many
# points as are wanted.
COARSE_FROM = 64
BATCH_POINTS = 1_000_000  # of several runs, read at once
ATTEMPTS = 4

_CHUNK = ("series_id", "run_id", "pk", "first_seq", "last_seq", "count", "min_step", "max_step", "is_ascending")


@dataclass(frozen=True, slots=True)
class Thinned:
    """At most `max_points` of a series' points. `is_whole`: none was left out."""

    columns: Columns
    is_whole: bool


@dataclass(frozen=True, slots=True)
class StepRange:
    """`low` <= step <= `high`, where they are given."""

    low: int | None = None
    high: int | None = None

    def covers(self, low: int, high: int) -> bool:
        return (self.low is None or self.low <= low) and (self.high is None or high <= self.high)

    def take(self, columns: Columns) -> Columns:
        if self.low is None and self.high is None:
            return columns
        inside = np.ones(len(columns), dtype=bool)
        if self.low is not None:
            inside &= columns.steps >= self.low
        if self.high is not None:
            inside &= columns.steps <= self.high
        return columns.take(inside)

    def chunks(self, chunks: QuerySet[MetricChunk]) -> QuerySet[MetricChunk]:
        """Those that hold such points, perhaps."""
        if self.low is not None:
            chunks = chunks.filter(max_step__gte=self.low)
        return chunks if self.high is None else chunks.filter(min_step__lte=self.high)


@dataclass(frozen=True, slots=True)
class _Series:
    pk: int
    run_id: int
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    pk: int
    first_seq: int
    last_seq: int
    count: int
    min_step: int
    max_step: int
    is_ascending: bool
    coarse: bytes


def read_thinned(
    run_id: int,
    names: Iterable[str] | None = None,
    *,
    max_points: int,
    until_seq: int | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    by_step: bool = False,
) -> dict[str, Thinned]:
    """At most `max_points` points of each of the run's series, chosen as `downsample` chooses, so that spikes stay.

    `names`: only these. `until_seq`: only points with seq <= it. `min_step`, `max_step`: only steps between them.
    `by_step`: sorted by step, of points of one step the last by time, as charts draw them; else sorted by time, then
    step, then id. A series without such points is there too, empty.

    Of a series of more than COARSE_FROM * `max_points` points, buckets may differ a little before and after a fold.
    """
    return read_thinned_runs(
        {run_id: until_seq}, names, max_points=max_points, min_step=min_step, max_step=max_step, by_step=by_step
    )[run_id]


def read_thinned_runs(
    untils: Mapping[int, int | None],
    names: Iterable[str] | None = None,
    *,
    max_points: int,
    min_step: int | None = None,
    max_step: int | None = None,
    by_step: bool = False,
) -> dict[int, dict[str, Thinned]]:
    """What `read_thinned` reads, of several runs: run -> name -> points. `untils`: run -> its `until_seq`.

    Two statements for all of them, a third where chunks of long series are opened; so many again for each further
    BATCH_POINTS points, which bound the memory.
    """
    seqs = {run_id: SeqRange(until=until) for run_id, until in untils.items()}
    steps = StepRange(min_step, max_step)
    coarse_from = COARSE_FROM * max_points
    wanted = None if names is None else list(names)
    thinned: dict[int, dict[str, Thinned]] = {run_id: {} for run_id in untils}
    for batch in _batches(_series_of(untils, wanted), coarse_from):
        series = {each.pk: each for each in batch}
        for _ in range(ATTEMPTS):
            parts = _parts(series, wanted, seqs, steps, coarse_from, by_step)
            if parts is not None:
                break
        else:  # folds came between each time: what one statement reads, no fold comes between
            parts = _parts_read_whole(batch, seqs)
        for each in batch:
            columns, is_whole = parts.get(each.pk, ([], True))
            drawn = steps.take(Columns.join(columns).in_order())
            if by_step:
                drawn = last_of_steps(drawn)
            whole = is_whole and len(drawn) <= max_points
            thinned[each.run_id][each.name] = Thinned(downsample(drawn, max_points), whole)
    return thinned


def _series_of(run_ids: Iterable[int], names: Sequence[str] | None) -> list[_Series]:
    """The runs' series that have points (and one of these names), by run, then name."""
    runs = list(run_ids)
    wanted = f"run_id IN ({_marks(runs)}) AND count > 0" + ("" if names is None else f" AND name IN ({_marks(names)})")
    with connection.cursor() as cursor:
        cursor.execute(
            # Written out: of what a chart of a short series costs, the ORM's work on this was a fifth.
            f"SELECT id, run_id, name, count FROM {MetricSeries._meta.db_table} WHERE {wanted} ORDER BY run_id, name",  # noqa: S608
            [*runs, *(names or ())],
        )
        return [_Series(*row) for row in cursor.fetchall()]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values)) or "NULL"


def _batches(series: Sequence[_Series], coarse_from: int) -> Iterator[list[_Series]]:
    """The series of whole runs, so many together that about BATCH_POINTS points are read of them."""
    batch: list[_Series] = []
    points = 0
    for _, own in groupby(series, key=lambda each: each.run_id):
        group = list(own)
        size = sum(min(each.count, coarse_from) for each in group)
        if batch and points + size > BATCH_POINTS:
            yield batch
            batch, points = [], 0
        batch += group
        points += size
    if batch:
        yield batch


def _parts_read_whole(batch: Sequence[_Series], seqs: Mapping[int, SeqRange]) -> dict[int, tuple[list[Columns], bool]]:
    """What `_parts` gives, without coarse levels."""
    parts = {}
    for run_id, own in groupby(batch, key=lambda each: each.run_id):
        keys = {each.name: each.pk for each in own}
        for name, columns in read_series(run_id, list(keys), until_seq=seqs[run_id].until).items():
            parts[keys[name]] = ([columns], True)
    return parts


def last_of_steps(columns: Columns) -> Columns:
    """The points by step, of those of one step the last one. `columns` are sorted by time."""
    if bool((columns.steps[1:] > columns.steps[:-1]).all()):
        return columns  # as most are; and if there are none at all
    columns = columns.take(np.argsort(columns.steps, kind="stable"))
    return columns.take(np.append(columns.steps[1:] != columns.steps[:-1], True))


def _parts(
    series: Mapping[int, _Series],
    names: Sequence[str] | None,
    seqs: Mapping[int, SeqRange],
    steps: StepRange,
    coarse_from: int,
    by_step: bool,
) -> dict[int, tuple[list[Columns], bool]] | None:
    """Series key -> its points in parts, and whether they are all there. None: a fold came between two statements.

    `series`: by key, all of `names` (None: all there are) of their runs.
    """
    large = [each.pk for each in series.values() if each.count > coarse_from]
    runs = {run_id: seqs[run_id] for run_id in dict.fromkeys(each.run_id for each in series.values())}
    parts: dict[int, tuple[list[Columns], bool]] = {}
    large_chunks: dict[int, list[_Chunk]] = {key: [] for key in large}
    unfolded: dict[int, list[tuple[int, int, int, bytes]]] = {}
    for key, run_id, *row in _fetch_all(_chunks_of(runs, series, names), large, runs, steps):
        if not key:
            first_id, _, last_seq, count, *_, payload = row
            unfolded.setdefault(run_id, []).append((last_seq, count, first_id, payload))
        elif key in large_chunks:
            large_chunks[key].append(_Chunk(*row))
        elif key in series:
            _, first_seq, last_seq, *_, payload = row
            parts.setdefault(key, ([], True))[0].append(decode_chunk(payload, first_seq, last_seq, runs[run_id]))
    new: dict[int, Columns] = {}
    for run_id, rows in unfolded.items():
        new |= unpack_segments(rows, runs[run_id], series)
    opened: dict[int, int] = {}
    for key, own in large_chunks.items():
        unfolded_here = steps.take(new.get(key, Columns.join([])))
        coarse = [
            each
            for each, is_shared in zip(own, _share_steps(own, unfolded_here), strict=True)
            if runs[series[key].run_id].covers(each.first_seq, each.last_seq)
            and steps.covers(each.min_step, each.max_step)
            and not (by_step and (is_shared or not each.is_ascending))
        ]
        if sum(each.count for each in coarse) <= coarse_from:
            coarse = []  # few enough to be opened, too: of what fits into `max_points`, nothing may be left out
        opened |= dict.fromkeys({each.pk for each in own} - {each.pk for each in coarse}, key)
        columns = [_coarse(each) for each in coarse]
        parts[key] = (columns, sum(map(len, columns)) == sum(each.count for each in coarse))
    payloads = (
        fetch(
            MetricChunk.objects.filter(pk__in=list(opened))
            .order_by()
            .values_list("pk", "first_seq", "last_seq", "payload")
        )
        if opened
        else []
    )
    if len(payloads) < len(opened):
        return None
    for pk, first_seq, last_seq, payload in payloads:
        key = opened[pk]
        parts[key][0].append(decode_chunk(payload, first_seq, last_seq, runs[series[key].run_id]))
    for key, latest in new.items():
        parts.setdefault(key, ([], True))[0].append(latest)
    return parts


def _chunks_of(
    runs: Mapping[int, SeqRange], series: Mapping[int, _Series], names: Sequence[str] | None
) -> QuerySet[MetricChunk]:
    """Those of these series, or more where that is cheaper to ask for."""
    if names is None:
        return MetricChunk.objects.filter(run_id__in=list(runs))
    if len(series) <= NAMES_A_QUERY:
        return MetricChunk.objects.filter(series_id__in=list(series))
    named = MetricSeries.objects.filter(run_id__in=list(runs), name__in=names)
    return MetricChunk.objects.filter(series_id__in=named.values("pk"))


def _fetch_all(
    chunks: QuerySet[MetricChunk], large: list[int], runs: Mapping[int, SeqRange], steps: StepRange
) -> list[tuple[Any, ...]]:
    """By one statement: chunks with their payloads, those of large series with their coarse levels, and segments."""
    chunks = steps.chunks(chunks).order_by()
    segments: QuerySet[MetricSegment] = MetricSegment.objects.filter(run_id__in=list(runs))
    if len(runs) == 1:  # of several, what came after each one's `until` is little, and left out when it is decoded
        [seqs] = runs.values()
        chunks, segments = seqs.chunks(chunks), seqs.segments(segments)
    # As in a chunk's row: key (of no series), run, first id, first seq, last seq, count; no steps.
    none = Value(0, output_field=BigIntegerField())
    segments = segments.annotate(series_key=none, no_step=none, is_ascending=Value(False, output_field=BooleanField()))
    parts: list[QuerySet[Any, Any]] = [
        segments.order_by().values_list(
            "series_key",
            "run_id",
            "first_id",
            F("seq") - F("count") + 1,
            "seq",
            "count",
            "no_step",
            F("no_step"),
            "is_ascending",
            "payload",
        )
    ]
    if large:
        parts.append(chunks.filter(series_id__in=large).values_list(*_CHUNK, "coarse"))
        chunks = chunks.exclude(series_id__in=large)
    return fetch(chunks.values_list(*_CHUNK, "payload").union(*parts, all=True))


def _share_steps(chunks: list[_Chunk], unfolded: Columns) -> list[bool]:
    """Of each chunk, whether another one, or what is not folded, may have a point of one of its steps."""
    if not chunks:
        return []
    low = np.array([chunk.min_step for chunk in chunks])
    high = np.array([chunk.max_step for chunk in chunks])
    order = np.argsort(low, kind="stable")
    lows, highs = low[order], high[order]
    shared = np.zeros(len(chunks), dtype=bool)
    shared[order[1:]] |= np.maximum.accumulate(highs)[:-1] >= lows[1:]
    shared[order[:-1]] |= lows[1:] <= highs[:-1]
    taken: Integers = np.sort(unfolded.steps)
    shared |= np.searchsorted(taken, low, side="left") < np.searchsorted(taken, high, side="right")
    return shared.tolist()


def _coarse(chunk: _Chunk) -> Columns:
    return Columns(*layout.decode(chunk.coarse, (layout.STEP, layout.VALUE, layout.TIME, layout.ID)))
