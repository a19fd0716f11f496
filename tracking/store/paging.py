"""Reading points in the order of their times, a page or a batch at a time, without opening every chunk.

Both begin with one statement that reads the segments and, of the chunks, only where they lie in time. The chunks that
are needed are read by their keys: they never change, and if one is gone, a fold has replaced it, and the read begins
anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from django.db.models import BigIntegerField, BinaryField, F, Value

from tracking.models import MetricChunk, MetricSegment, Run
from tracking.store.appending import NAMES_A_QUERY
from tracking.store.points import Columns
from tracking.store.reading import SeqRange, chunks_of, decode_chunk, read_series, series_names, unpack_segments
from tracking.store.rows import fetch

BATCH_CHUNKS = 8
ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Page:
    """Points of several series by time, then step, then id: `names[i]` is that of point i. `total`: without paging."""

    columns: Columns
    names: list[str]
    total: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chunk lies."""

    pk: int
    series: int
    first_seq: int
    last_seq: int
    count: int
    first_time: int
    last_time: int
    max_step: int


def read_page(run_id: int, names: Iterable[str] | None = None, *, skip: int, limit: int) -> Page:
    """`limit` points of the run (of these names) after the first `skip`, by time, then step, then id."""
    name_of = series_names(run_id, names)
    if not name_of:
        return Page(Columns.join([]), [], 0)
    for _ in range(ATTEMPTS):
        places, unfolded = _places(run_id, name_of, SeqRange(), all_series=names is None)
        total = sum(place.count for place in places) + sum(map(len, unfolded.values()))
        if not limit or skip >= total:
            return Page(Columns.join([]), [], total)
        needed, before = _needed(places, sum(map(len, unfolded.values())), skip, limit)
        parts = _open(needed, SeqRange())
        if parts is not None:
            return _page([*parts, *unfolded.items()], name_of, skip - before, limit, total)
    # Folds came between each time. What one statement reads, no fold comes between.
    series = read_series(run_id, names)
    keys = {name: key for key, name in name_of.items()}
    every = [(keys[name], columns) for name, columns in series.items() if name in keys]
    return _page(every, name_of, skip, limit, sum(len(columns) for _, columns in every))


def iter_series(
    run_id: int, name: str, *, since_step: int | None = None, until_seq: int | None = None
) -> Iterator[Columns]:
    """All points of one series by time, then step, then id, in batches of about 65,000, so that memory stays bounded.

    `since_step`: only of greater steps. `until_seq`: only with seq <= it; without it, those of now.
    """
    if until_seq is None:
        until_seq = Run.objects.filter(pk=run_id).values_list("seq", flat=True).first()
    keys = list(series_names(run_id, [name]))
    after: tuple[int, int, int] | None = None  # time, step and id of the last point given
    is_done = not keys
    while not is_done:
        is_done = True
        for batch in _batches(run_id, keys[0], after, since_step, SeqRange(until=until_seq)):
            if batch is None:
                is_done = False  # a fold came between: go on behind the last point given
            elif len(batch):
                after = int(batch.times[-1]), int(batch.steps[-1]), int(batch.ids[-1])
                yield batch


def _batches(
    run_id: int, key: int, after: tuple[int, int, int] | None, since_step: int | None, seqs: SeqRange
) -> Iterator[Columns | None]:
    """The series' points behind `after`, in order; None, and no more, if a chunk is gone."""
    places, unfolded = _places(run_id, [key], seqs, after_time=None if after is None else after[0])
    if since_step is not None:
        places = [place for place in places if place.max_step > since_step]
    places.sort(key=attrgetter("first_time", "pk"))
    waiting = _behind(unfolded.get(key, Columns.join([])), after, since_step)
    for start in range(0, len(places), BATCH_CHUNKS):
        parts = _open(places[start : start + BATCH_CHUNKS], seqs)
        if parts is None:
            yield None
            return
        waiting = Columns.join([_behind(Columns.join([columns for _, columns in parts]), after, since_step), waiting])
        waiting = waiting.in_order()
        if start + BATCH_CHUNKS < len(places):
            # A chunk that is still closed may have points from its first time on.
            ready = int(np.searchsorted(waiting.times, places[start + BATCH_CHUNKS].first_time, side="left"))
            yield waiting.take(slice(0, ready))
            waiting = waiting.take(slice(ready, None))
    yield waiting


def _behind(columns: Columns, after: tuple[int, int, int] | None, since_step: int | None) -> Columns:
    if after is not None:
        time, step, public_id = after
        columns = columns.take(
            (columns.times > time)
            | ((columns.times == time) & (columns.steps > step))
            | ((columns.times == time) & (columns.steps == step) & (columns.ids > public_id))
        )
    return columns if since_step is None else columns.take(columns.steps > since_step)


def _places(
    run_id: int, keys: Iterable[int], seqs: SeqRange, *, after_time: int | None = None, all_series: bool = False
) -> tuple[list[_Place], dict[int, Columns]]:
    """By one statement: where the series' chunks lie, and the points that are not folded."""
    keys = set(keys)
    none = Value(0, output_field=BigIntegerField())
    segments = seqs.segments(MetricSegment.objects.filter(run_id=run_id)).annotate(series_key=none, none=none)
    chunks = seqs.chunks(chunks_of(run_id, keys, all_series=all_series))
    if after_time is not None:
        chunks = chunks.filter(last_time__gte=after_time)
    rows = fetch(
        chunks.order_by()
        .annotate(nothing=Value(b"", output_field=BinaryField()))
        .values_list(
            "pk", "series_id", "first_seq", "last_seq", "count", "first_time", "last_time", "max_step", "nothing"
        )
        .union(
            segments.order_by().values_list(
                "first_id", "series_key", "none", "seq", "count", F("none"), F("none"), F("none"), "payload"
            ),
            all=True,
        )
    )
    places = [_Place(*row[:-1]) for row in rows if row[1] in keys]
    unfolded = [(row[3], row[4], row[0], row[-1]) for row in rows if not row[1]]
    return places, unpack_segments(unfolded, seqs, keys)


def _needed(places: list[_Place], unfolded: int, skip: int, limit: int) -> tuple[list[_Place], int]:
    """The chunks that may hold points number `skip` … `skip + limit`, and how many points lie in those left out before.

    A chunk lies before the page if no more than `skip` points can come before its end, whatever the others hold; and
    behind it if at least `skip + limit` points must come before its beginning.
    """
    if not places:
        return [], 0
    counts = np.array([place.count for place in places])
    firsts = np.array([place.first_time for place in places])
    lasts = np.array([place.last_time for place in places])
    by_first, by_last = np.argsort(firsts), np.argsort(lasts)
    begun = np.append(0, np.cumsum(counts[by_first]))[np.searchsorted(firsts[by_first], lasts, side="right")]
    ended = np.append(0, np.cumsum(counts[by_last]))[np.searchsorted(lasts[by_last], firsts, side="left")]
    is_before = begun + unfolded <= skip
    is_behind = ended >= skip + limit
    chosen = np.flatnonzero(~is_before & ~is_behind)
    return [places[place] for place in chosen], int(counts[is_before].sum())


def _open(places: Sequence[_Place], seqs: SeqRange) -> list[tuple[int, Columns]] | None:
    """The chunks' series and points; None if one is gone."""
    found: dict[int, bytes] = {}
    for start in range(0, len(places), NAMES_A_QUERY):
        pks = [place.pk for place in places[start : start + NAMES_A_QUERY]]
        found |= dict(fetch(MetricChunk.objects.filter(pk__in=pks).order_by().values_list("pk", "payload")))
    if len(found) < len(places):
        return None
    return [(place.series, decode_chunk(found[place.pk], place.first_seq, place.last_seq, seqs)) for place in places]


def _page(parts: list[tuple[int, Columns]], name_of: dict[int, str], skip: int, limit: int, total: int) -> Page:
    columns = Columns.join([columns for _, columns in parts])
    keys = np.repeat([key for key, _ in parts], [len(columns) for _, columns in parts])
    wanted = np.lexsort((columns.ids, columns.steps, columns.times))[skip : skip + limit]
    return Page(columns.take(wanted), [name_of[key] for key in keys[wanted].tolist()], total)
