"""Pages of runs: what lists show of each, without making a model of it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from django.db.models import Count, Value, Window

if TYPE_CHECKING:
    from tracking.querysets import RunQuerySet


class ListedRun(NamedTuple):
    """What lists show of a run."""

    id: int
    name: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    tags: list[str]
    project_id: int
    archived_at: datetime | None


def run_page(*, project_id: int, skip: int, limit: int) -> tuple[list[ListedRun], int]:
    """The project's live runs, newest first, without the first `skip`, and how many there are in all.

    The caller has checked who may see the project, and that it does not lie in the trash. Of all lists this one is
    asked for most, and the ORM needs several times as long to build its statements as the database to answer them.
    """
    from tracking.models import Run

    columns = ", ".join(ListedRun._fields)
    live = f"FROM {Run._meta.db_table} WHERE project_id = %s AND deleted_at IS NULL"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} {live} ORDER BY id DESC LIMIT %s OFFSET %s", [project_id, limit, skip])  # noqa: S608
        rows = cursor.fetchall()
        cursor.execute(f"SELECT count(*) {live}", [project_id])  # noqa: S608
        [total] = cursor.fetchone()
    return [_run(row) for row in rows], total


def run_page_of(
    runs: "RunQuerySet", *, skip: int, limit: int, count_along: bool = False
) -> tuple[list[ListedRun], int]:
    """The same of any runs.

    `count_along`: the statement that chooses the page counts too; good where it has to look at all runs anyway.
    """
    total = Window(Count("*")) if count_along else Value(0)
    rows = list(runs.values_list(*ListedRun._fields, total)[skip : skip + limit])
    # A page beyond the end has no row that says how many there are.
    return [ListedRun(*row[:-1]) for row in rows], rows[0][-1] if rows and count_along else runs.count()


def _run(row: Sequence[Any]) -> ListedRun:
    key, name, status, started_at, ended_at, tags, project_id, archived_at = row
    times = _moment(started_at), _moment(ended_at)
    return ListedRun(key, name, status, *times, json.loads(tags), project_id, _moment(archived_at))


def _moment(value: datetime | str | None) -> datetime | None:
    """SQLite keeps times as text, in UTC."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
