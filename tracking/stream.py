"""A run's ordered stream: metric points, log lines and changes of the run, each with its number (`seq`).

The numbers are taken from the run's row in the transaction that stores the events, and the row stays locked until it
commits. So commits happen in the order of `seq`: a reader who has seen number n has missed nothing before it.

Rows are locked in one order: run, then its series, then the counter of public point ids.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from automl_site.errors import InvalidSpec, NotFound
from tracking import live, store, text
from tracking.models import LogLevel, LogLine, Run, RunEvent
from tracking.store import Point

MAX_NAME = 250
MAX_MESSAGE = 10_000
MAX_LABEL = 100  # agent and node
MAX_STEP = 2**62  # so that the next step is still a 64-bit number
RUN_EVENT = "run"
_LEVELS: dict[str, str] = {"WARNING": LogLevel.WARN, "CRITICAL": LogLevel.ERROR, **{level: level for level in LogLevel}}

__all__ = ["LogEntry", "Point", "append", "check", "json_number", "read"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of a run's log. `agent` and `node` are a pipeline stage's class and name."""

    level: str
    message: str
    time: datetime | None = None
    agent: str = ""
    node: str = ""


def append(
    *,
    run_id: int,
    points: Sequence[Point] = (),
    logs: Sequence[LogEntry] = (),
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Add events to the end of the run's stream, in this order, and announce them on commit; the stream's new last seq.

    Must be called in a transaction, which holds the run's row from here on. `changes` are the run's fields that were
    changed, JSON-able. A log line is cleaned and cut rather than refused: what a program said must not be lost.

    Raises:
        InvalidSpec: a point's name, value, step or time cannot be kept; nothing was written.
        NotFound: there is no such run.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("stream.append must be called in a transaction")
    check(points)
    number = len(points) + len(logs) + (1 if changes else 0)
    last = _advance(run_id, number)
    if last is None:
        raise NotFound()
    seq = last - number
    if points:
        seq += len(points)
        store.append_points(run_id=run_id, points=points, seq=seq)
    if logs:
        LogLine.objects.bulk_create(_log_lines(run_id, logs, first=seq + 1))
        seq += len(logs)
    if changes:
        RunEvent.objects.create(run_id=run_id, seq=last, kind=RUN_EVENT, payload=dict(changes))
    if number:
        live.announce_on_commit(f"run:{run_id}")
    return last


def _advance(run_id: int, number: int) -> int | None:
    """Take that many numbers of the run's stream, and lock the run; the last one taken. None when there is no run."""
    if not number:
        return Run.objects.filter(pk=run_id).values_list("seq", flat=True).first()
    with connection.cursor() as cursor:  # by hand: the ORM needs a second statement to read what it wrote
        cursor.execute(
            f"UPDATE {Run._meta.db_table} SET seq = seq + %s WHERE id = %s RETURNING seq",  # noqa: S608
            [number, run_id],
        )
        rows = cursor.fetchall()
    return rows[0][0] if rows else None


def read(*, run_id: int, after: int, limit: int = 5000) -> list[dict[str, Any]]:
    """The next messages of the run's stream after number `after`, at most `limit`, in order; empty when there are none.

    One query when there is nothing new, five at most. `id` is the message's seq:

        {"type": "metric", "id", "run_id", "name", "value", "step", "timestamp"}
        {"type": "log", "id", "level", "message", "timestamp", "agent", "node"}
        {"type": "run", "id", …the fields that changed}
    """
    head = Run.objects.filter(pk=run_id).values_list("seq", flat=True).first() or 0
    messages: list[dict[str, Any]] = []
    # Nothing beyond `head` may be read: a later query sees what was committed meanwhile, an earlier one did not.
    while not messages and after < head:
        until = min(head, after + limit)
        messages = _window(run_id, after, until)
        after = until  # an empty window is a hole, left by deleted log lines
    return messages


def json_number(value: float) -> float | str:
    """The value, or the words of the contracts for what JSON lacks: "NaN", "Infinity", "-Infinity"."""
    value = float(value)
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def timestamp(time: datetime) -> str:
    """ISO 8601 in UTC without zone, as the tracking contract shows times."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()


def _window(run_id: int, after: int, until: int) -> list[dict[str, Any]]:
    window = {"run_id": run_id, "seq__gt": after, "seq__lte": until}
    messages: list[dict[str, Any]] = [
        {
            "type": "metric",
            "id": point.seq,
            "run_id": run_id,
            "name": point.name,
            "value": json_number(point.value),
            "step": point.step,
            "timestamp": timestamp(store.moment(point.time)),
        }
        for point in store.read_points(run_id=run_id, after=after, until=until)
    ]
    messages += [
        {
            "type": "log",
            "id": line.seq,
            "level": line.level,
            "message": line.message,
            "timestamp": timestamp(line.time),
            "agent": line.agent,
            "node": line.node,
        }
        for line in LogLine.objects.filter(**window)
    ]
    messages += [{**event.payload, "type": "run", "id": event.seq} for event in RunEvent.objects.filter(**window)]
    messages.sort(key=lambda message: message["id"])
    return messages


def _log_lines(run_id: int, logs: Sequence[LogEntry], *, first: int) -> list[LogLine]:
    now = timezone.now()
    return [
        LogLine(
            run_id=run_id,
            seq=first + offset,
            time=entry.time or now,
            level=_LEVELS.get(entry.level.upper(), LogLevel.INFO),
            agent=text.clean(entry.agent, limit=MAX_LABEL),
            node=text.clean(entry.node, limit=MAX_LABEL),
            message=text.clean(entry.message, limit=MAX_MESSAGE),
        )
        for offset, entry in enumerate(logs)
    ]


def check(points: Sequence[Point]) -> None:
    """Raises InvalidSpec where a point's name, value, step or time cannot be kept."""
    for name in {point.name for point in points}:
        if not name or len(name) > MAX_NAME:
            raise InvalidSpec(errors={"name": [f"A metric's name has 1 to {MAX_NAME} characters, not {len(name)}."]})
        if not text.is_storable(name):
            raise InvalidSpec(errors={"name": ["A metric's name may not contain NUL or half a surrogate pair."]})
    for point in points:
        if point.step is not None and not -MAX_STEP <= point.step <= MAX_STEP:
            raise InvalidSpec(errors={"step": ["A step must lie between -2^62 and 2^62."]})
        try:
            float(point.value)
            if point.time is not None:
                store.moment(store.microseconds(point.time))
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidSpec(errors={"value": [f"{point.name}: a value or time that cannot be kept"]}) from error
