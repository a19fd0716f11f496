"""Folding: the points of a run's oldest segments move into chunks of their series.

What is moved is read and packed before the transaction begins. The transaction deletes the segments and the chunks
that were read, and gives up if one of them is gone: another folder was faster, or the run was deleted. So it may be
killed at any moment, and any number may run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import IntegrityError, connection, transaction

from tracking.models import MetricChunk, MetricSegment, Run
from tracking.store import layout
from tracking.store.appending import NAMES_A_QUERY
from tracking.store.points import Integers
from tracking.store.rows import fetch
from tracking.store.thinning import extremes

CHUNK_POINTS = 8_192
GROUP_POINTS = 64  # of which the coarse level keeps the extremes
FOLD_POINTS = 262_144  # read at a time, and so much of the stream at most lies between a fold's first and last point
SEGMENTS_A_FOLD = 4_096
# Points of one chunk lie within so much of the run's stream. Who reads a stretch of the stream of a run with thousands
# of series has to open every chunk that reaches into it.
CHUNK_SPAN = 4 * FOLD_POINTS

_COLUMNS = tuple(field.attname for field in MetricChunk._meta.concrete_fields if not field.primary_key)

_Part = tuple[npt.NDArray[Any], ...]  # times, steps, values, ids, seqs


@dataclass(slots=True)
class _Segments:
    """What one fold moves: the rows, and their points by series."""

    pks: list[int]
    parts: dict[int, _Part]
    count: int


def fold_run(run_id: int) -> int:
    """Fold the run's oldest segments, a bounded number; how many there were.

    0 if there are none, the run is in the trash, or another folder was faster.
    """
    segments = _oldest_segments(run_id)
    if segments is None:
        return 0
    replaced: list[int] = []
    closed: list[int] = []
    chunks: list[MetricChunk] = []
    for chunk in _open_chunks(segments.parts):
        part = segments.parts[chunk.series_id]
        if int(part[layout.SEQ].max()) - chunk.first_seq >= CHUNK_SPAN:
            closed.append(chunk.pk)
            continue
        replaced.append(chunk.pk)
        old = layout.decode(bytes(chunk.payload), range(5))
        segments.parts[chunk.series_id] = tuple(np.concatenate(pair) for pair in zip(old, part, strict=True))
    for key, part in segments.parts.items():
        chunks += _chunks(run_id, key, part)
    try:
        return _replace(run_id, segments, replaced, closed, chunks)
    except IntegrityError:
        # Another folder opened a chunk of the same series. It has the segments too, or the next round finds them.
        return 0


@transaction.atomic
def _replace(
    run_id: int, segments: _Segments, replaced: list[int], closed: list[int], chunks: list[MetricChunk]
) -> int:
    if (
        _keep(run_id)
        and _delete(MetricSegment, segments.pks) == len(segments.pks)
        and _delete(MetricChunk, replaced) == len(replaced)
        and _close(closed) == len(closed)
    ):
        _insert(chunks)
        return len(segments.pks)
    transaction.set_rollback(True)
    return 0


def _keep(run_id: int) -> bool:
    """Whether the run is there, outside of the trash; until the transaction ends, its row then does not go."""
    if connection.vendor == "postgresql":
        # The lock that a chunk's foreign key takes anyway, but before the points' rows, as everybody else takes them.
        # It lets others log into the run; Django's own, for an update, would not.
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {Run._meta.db_table} WHERE id = %s FOR KEY SHARE", [run_id])  # noqa: S608
    return Run.objects.live().filter(pk=run_id).exists()


def _insert(chunks: Sequence[MetricChunk]) -> None:
    """Written out: of ten thousand rows, the ORM would hold up those who log for a second."""
    table, names = MetricChunk._meta.db_table, ", ".join(_COLUMNS)
    marks = ", ".join(["%s"] * len(_COLUMNS))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 (names are ours)
            [[getattr(chunk, name) for name in _COLUMNS] for chunk in chunks],
        )


def _delete(model: type[MetricSegment] | type[MetricChunk], pks: Sequence[int]) -> int:
    return sum(model.objects.filter(pk__in=batch).delete()[0] for batch in _batches(pks))


def _close(pks: Sequence[int]) -> int:
    return sum(MetricChunk.objects.filter(pk__in=batch, is_open=True).update(is_open=False) for batch in _batches(pks))


def _batches(pks: Sequence[int]) -> Iterable[Sequence[int]]:
    return (pks[start : start + NAMES_A_QUERY] for start in range(0, len(pks), NAMES_A_QUERY))


def _oldest_segments(run_id: int) -> _Segments | None:
    """Those of the first FOLD_POINTS of the stream, at least one; None if there are none."""
    rows = MetricSegment.objects.filter(run_id=run_id).order_by("seq")
    heads = list(rows.values_list("pk", "seq", "count")[:SEGMENTS_A_FOLD])
    if not heads:
        return None
    first = heads[0][1] - heads[0][2] + 1
    chosen = [head for head in heads if head[1] - first < FOLD_POINTS] or heads[:1]
    taken = rows.filter(seq__gte=chosen[0][1], seq__lte=chosen[-1][1])
    parts: list[_Part] = []
    pks = []
    for pk, seq, count, first_id, payload in fetch(taken.values_list("pk", "seq", "count", "first_id", "payload")):
        keys, steps, values, times = layout.unpack(payload)
        offset = np.arange(count, dtype=np.int64)
        parts.append((keys, times, steps, values, first_id + offset, seq - count + 1 + offset))
        pks.append(pk)
    if not pks:
        return None  # another folder was faster
    keys, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    ends = [*starts[1:], len(order)]
    by_series = {
        key: tuple(column[order[start:end]] for column in columns)
        for key, start, end in zip(found.tolist(), starts, ends, strict=True)
    }
    return _Segments(pks=pks, parts=by_series, count=len(order))


def _open_chunks(parts: dict[int, _Part]) -> list[MetricChunk]:
    found: list[MetricChunk] = []
    for batch in _batches(list(parts)):
        found += MetricChunk.objects.filter(series_id__in=batch, is_open=True).defer("coarse")
    return found


def _chunks(run_id: int, key: int, part: _Part) -> list[MetricChunk]:
    """The points as chunks, sorted by time, then step, then id. Only the last one may be open."""
    order = np.lexsort((part[layout.ID], part[layout.STEP], part[layout.TIME]))
    ordered = tuple(column[order] for column in part)
    total = len(order)
    return [
        _chunk(run_id, key, tuple(column[start : start + CHUNK_POINTS] for column in ordered))
        for start in range(0, total, CHUNK_POINTS)
    ]


def _chunk(run_id: int, key: int, part: _Part) -> MetricChunk:
    times, steps, values, ids, seqs = part
    count = len(ids)
    kept = extremes(values, -(-count // GROUP_POINTS)) if count > 4 else slice(None)
    return MetricChunk(
        run_id=run_id,
        series_id=key,
        count=count,
        first_time=int(times[0]),
        last_time=int(times[-1]),
        min_step=int(steps.min()),
        max_step=int(steps.max()),
        is_ascending=_is_ascending(steps),
        is_open=count < CHUNK_POINTS,
        first_seq=int(seqs.min()),
        last_seq=int(seqs.max()),
        # Not compressed: a chart reads hundreds, and one point in 32 takes little room.
        coarse=layout.encode((times[kept], steps[kept], values[kept], ids[kept]), compress=False),
        payload=layout.encode(part),
    )


def _is_ascending(steps: Integers) -> bool:
    return bool((steps[1:] > steps[:-1]).all())
