"""The statements that append segments, written out: for a single point the ORM costs more than the database.

A segment is written on the condition that its run's `seq` is what the writer took it to be. On PostgreSQL a group is
one statement, in which what comes later waits for what it needs: first the runs' rows are locked, in one order
everywhere, then the counter's, so that no two writers wait for each other. On SQLite a group is four or five, in a
transaction that keeps other writers away.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tracking.models import IdempotencyKey, MetricCounter, MetricSegment, MetricSeries, Run
from tracking.store import COUNTER_PK

_RUNS, _COUNTER = Run._meta.db_table, MetricCounter._meta.db_table
_SERIES, _SEGMENTS = MetricSeries._meta.db_table, MetricSegment._meta.db_table
_KEYS = IdempotencyKey._meta.db_table
_WRITABLE = "deleted_at IS NULL AND silent_at IS NULL"
_MOST_ROWS = 256  # in a statement on SQLite, which takes a limited number of parameters

# The columns of a series' summary, with their types on PostgreSQL.
_SUMMARY = {
    "count": "bigint",
    "number_count": "bigint",
    "nan_count": "bigint",
    "last_value": "double precision",
    "last_step": "bigint",
    "last_time": "timestamptz",
    "next_step": "bigint",
    "min_value": "double precision",
    "max_value": "double precision",
    "sum_value": "double precision",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """`count` packed points that are to follow number `seq` of the run's stream."""

    run_id: int
    seq: int
    count: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """An `Idempotency-Key` that is kept with a run's points; `answer` is JSON."""

    user_id: int
    run_id: int
    key: str
    fingerprint: str
    answer: str


def lock_runs(run_ids: Iterable[int]) -> dict[int, int]:
    """Hold the rows of those runs that can be written to until the transaction ends: run -> its `seq`."""
    runs = Run.objects.filter(pk__in=list(run_ids), deleted_at__isnull=True, silent_at__isnull=True).order_by("pk")
    return dict(runs.select_for_update().values_list("pk", "seq"))


def write(segments: Sequence[Segment], series: Sequence[MetricSeries], keys: Sequence[Key] = ()) -> dict[int, int]:
    """Write the segments, the summaries of their runs' series, and the keys, in one transaction: run -> the public id
    of its segment's first point.

    Left out are runs that are gone, or in the trash, or failed by silence, or whose `seq` is another one by now.

    Raises:
        IntegrityError: one of the keys has come before; nothing is written.
    """
    # Itself, and not the proxy that looks it up at each attribute.
    connection = connections[DEFAULT_DB_ALIAS]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            return _write_postgresql(connection, segments, series, keys)
        if connection.in_atomic_block:
            return _write_sqlite(connection, segments, series, keys)
        connection.begin()  # type: ignore[attr-defined] # of automl_site.sqlite
        try:
            written = _write_sqlite(connection, segments, series, keys)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return written


def _summary(row: MetricSeries) -> tuple[Any, ...]:
    return (
        row.count,
        row.number_count,
        row.nan_count,
        row.last_value,
        row.last_step,
        row.last_time,
        row.next_step,
        row.min_value,
        row.max_value,
        row.sum_value,
    )


# --- PostgreSQL ------------------------------------------------------------------------------------------------------
# Locked in one order; of a row that somebody else has moved meanwhile, the condition on `seq` is judged anew.
_HELD = f"""
held AS MATERIALIZED (
    SELECT run.id FROM {_RUNS} run JOIN given ON given.run_id = run.id ORDER BY run.id FOR UPDATE OF run
),"""  # noqa: S608 (names are ours, here and below)
_WRITE = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::bytea[])
    WITH ORDINALITY AS rows (run_id, seq, count, payload, place)
),{{held}}
moved AS (
    UPDATE {_RUNS} run SET seq = run.seq + given.count FROM given{{and_held}}
    WHERE run.id = given.run_id AND run.seq = given.seq AND run.deleted_at IS NULL AND run.silent_at IS NULL
    RETURNING run.id, run.seq, given.count, given.payload, given.place
),
total AS (SELECT sum(count)::bigint AS count FROM moved),
taken AS (
    INSERT INTO {_COUNTER} AS counter (id, next_id)
    SELECT {COUNTER_PK}, 1 + total.count FROM total WHERE total.count > 0
    ON CONFLICT (id) DO UPDATE SET next_id = counter.next_id + excluded.next_id - 1
    RETURNING next_id
),
summarised AS (
    UPDATE {_SERIES} series SET {", ".join(f"{name} = rows.{name}" for name in _SUMMARY)}
    FROM unnest(%s::bigint[], {", ".join(f"%s::{kind}[]" for kind in _SUMMARY.values())})
    AS rows (id, {", ".join(_SUMMARY)}), moved
    WHERE series.id = rows.id AND series.run_id = moved.id
){{kept}}
INSERT INTO {_SEGMENTS} (run_id, seq, first_id, count, payload)
SELECT moved.id, moved.seq, taken.next_id - total.count + sum(moved.count) OVER (ORDER BY moved.place) - moved.count,
       moved.count, moved.payload
FROM moved, taken, total
RETURNING run_id, first_id
"""  # noqa: S608
_KEPT = f""",
kept AS (
    INSERT INTO {_KEYS} (user_id, run_id, key, fingerprint, answer, created_at)
    SELECT rows.user_id, rows.run_id, rows.key, rows.fingerprint, rows.answer::jsonb, STATEMENT_TIMESTAMP()
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    AS rows (user_id, run_id, key, fingerprint, answer) JOIN moved ON moved.id = rows.run_id
)"""  # noqa: S608


@cache
def _write_text(*, many: bool, keyed: bool) -> str:
    held, and_held = (_HELD, " JOIN held ON held.id = given.run_id") if many else ("", "")
    return _WRITE.format(held=held, and_held=and_held, kept=_KEPT if keyed else "")


def _write_postgresql(
    connection: BaseDatabaseWrapper, segments: Sequence[Segment], series: Sequence[MetricSeries], keys: Sequence[Key]
) -> dict[int, int]:
    from psycopg import Cursor

    columns = [list(column) for column in zip(*((each.run_id, each.seq, each.count) for each in segments), strict=True)]
    summaries = [list(column) for column in zip(*((row.pk, *_summary(row)) for row in series), strict=True)]
    kept = [list(column) for column in zip(*map(_key_values, keys), strict=True)]
    # Behind a pooler of transactions, for which the setting stands, a prepared statement is not there the next time.
    prepare = not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
    with Cursor(connection.connection) as cursor:
        cursor.execute(
            _write_text(many=len(segments) > 1, keyed=bool(keys)),
            [*columns, [each.payload for each in segments], *summaries, *kept],
            prepare=prepare,
            binary=True,
        )
        return dict(cursor.fetchall())


def _key_values(key: Key) -> tuple[Any, ...]:
    return key.user_id, key.run_id, key.key, key.fingerprint, key.answer


# --- SQLite ----------------------------------------------------------------------------------------------------------
def _write_sqlite(
    connection: BaseDatabaseWrapper, segments: Sequence[Segment], series: Sequence[MetricSeries], keys: Sequence[Key]
) -> dict[int, int]:
    execute = connection.connection.execute
    moved = {
        row[0]
        for text, values in _pieces([(each.run_id, each.seq, each.count) for each in segments])
        for row in execute(
            f"UPDATE {_RUNS} SET seq = seq + given.column3 FROM ({text}) AS given "  # noqa: S608
            f"WHERE id = given.column1 AND seq = given.column2 AND {_WRITABLE} RETURNING id",
            values,
        )
    }
    if not moved:
        return {}
    written = [each for each in segments if each.run_id in moved]
    total = sum(each.count for each in written)
    ((next_id,),) = execute(
        f"INSERT INTO {_COUNTER} (id, next_id) VALUES ({COUNTER_PK}, 1 + ?1) "  # noqa: S608
        "ON CONFLICT (id) DO UPDATE SET next_id = next_id + ?1 RETURNING next_id",
        [total],
    )
    adapt = connection.ops.adapt_datetimefield_value
    rows = [(row.pk, *_summary(row)) for row in series if row.run_id in moved]
    # Its time, as Django keeps it.
    rows = [(*row[:6], adapt(row[6]), *row[7:]) for row in rows]
    columns = ", ".join(f"{name} = given.column{place}" for place, name in enumerate(_SUMMARY, 2))
    for text, values in _pieces(rows):
        execute(
            f"UPDATE {_SERIES} SET {columns} FROM ({text}) AS given WHERE id = given.column1",  # noqa: S608
            values,
        )
    first_ids = list(accumulate((each.count for each in written), initial=next_id - total))
    for text, values in _pieces(
        [
            (each.run_id, each.seq + each.count, first_id, each.count, each.payload)
            for each, first_id in zip(written, first_ids, strict=False)
        ]
    ):
        execute(
            f"INSERT INTO {_SEGMENTS} (run_id, seq, first_id, count, payload) {text}",  # noqa: S608
            values,
        )
    now = adapt(timezone.now()) if keys else ""
    for text, values in _pieces([(*_key_values(key), now) for key in keys if key.run_id in moved]):
        execute(
            f"INSERT INTO {_KEYS} (user_id, run_id, key, fingerprint, answer, created_at) {text}",  # noqa: S608
            values,
        )
    return {each.run_id: first_id for each, first_id in zip(written, first_ids, strict=False)}


def _pieces(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    """`VALUES` of some rows, and their parameters. As many rows as a power of two: of those, the texts are few enough
    for the statements to be kept prepared."""
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        piece = rows[start : start + size]
        start += size
        yield _values(size, len(piece[0])), [value for row in piece for value in row]


@cache
def _values(rows: int, columns: int) -> str:
    marks = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([marks] * rows)}"
