"""The runs table: a page of a project's runs with chosen columns, filtered and sorted, or grouped by a value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models import FilteredRelation, OrderBy, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from automl_site.errors import InvalidSpec
from tracking.filters.errors import FilterError
from tracking.filters.expressions import JsonWord
from tracking.filters.fields import Field, Source, Type, best_statistic, parse_field
from tracking.filters.nodes import Node, fields_of
from tracking.filters.parser import parse
from tracking.filters.queries import condition, statistic, value_of

if TYPE_CHECKING:
    from tracking.models import Project, Run, User

PAGE = 50
MAX_COLUMNS = 40
EXPORT_CHUNK = 500
NOT_A_NUMBER = "NaN"
# What of a row of `MetricSeries` each statistic is made of.
_STATISTIC_FIELDS = {
    "last": ("last_value", "count"),
    "min": ("min_value",),
    "max": ("max_value",),
    "mean": ("sum_value", "number_count"),
    "count": ("count",),
    "nan_count": ("nan_count",),
}


@dataclass(frozen=True)
class TableQuery:
    """What of a project's runs is shown. `sort` None: the newest first."""

    filter: str = ""
    columns: tuple[Field, ...] = ()
    sort: Field | None = None
    descending: bool = False
    archived: bool = False
    trashed: bool = False


@dataclass(frozen=True)
class RunRow:
    """A run with the values of the chosen columns, in their order; None where there is none."""

    run: "Run"
    cells: list[Any]


@dataclass(frozen=True)
class RunPage:
    page: "Page[int]"
    rows: list[RunRow] = field(default_factory=list)


def runs_matching(
    *, user: "User", project: "Project", query: TableQuery, now: datetime | None = None
) -> "QuerySet[Run]":
    """The project's runs that the filter lets through, unsorted. Archived ones only if asked for, or named by it.

    Raises:
        FilterError: the filter cannot be read.
    """
    from tracking.models import Run

    tree = parse(query.filter)
    runs = Run.objects.visible_to(user).filter(project=project, deleted_at__isnull=not query.trashed)
    if not (query.archived or query.trashed or _names_archived(tree)):
        runs = runs.filter(archived_at__isnull=True)
    return runs.filter(condition(tree, runs=runs, now=now))


def narrowed(runs: "QuerySet[Run]", *, filter: str = "", sort: str = "") -> "QuerySet[Run]":
    """The runs that the filter lets through, sorted by a field (`-name`: descending) or as they are.

    Raises:
        FilterError: the filter, or the field's name, cannot be read.
    """
    now = timezone.now()
    runs = runs.filter(condition(parse(filter), runs=runs, now=now))
    if not sort:
        return runs
    try:
        field = parse_field(sort.removeprefix("-"))
    except FilterError as error:
        raise InvalidSpec(error.message, errors={"sort": error.errors["filter"]}) from error
    return sorted_runs(runs, TableQuery(sort=field, descending=sort.startswith("-")), now)


def run_page(*, user: "User", project: "Project", query: TableQuery, number: Any = 1, size: int = PAGE) -> RunPage:
    """One page of the table, in four queries: how many there are, which, their rows, their metrics.

    Raises:
        FilterError: the filter cannot be read.
    """
    now = timezone.now()
    runs = runs_matching(user=user, project=project, query=query, now=now)
    # The order is found among ids alone: rows with their configs are read for those that are shown.
    page = Paginator(sorted_runs(runs, query, now).values_list("pk", flat=True), size).get_page(number)
    return RunPage(page, rows_of(list(page), query.columns))


def run_rows(*, user: "User", project: "Project", query: TableQuery) -> Iterator[RunRow]:
    """All rows of the table, read in chunks as they are asked for.

    Raises:
        FilterError: the filter cannot be read (told at once, not at the first row).
    """
    now = timezone.now()
    runs = runs_matching(user=user, project=project, query=query, now=now)
    keys = list(sorted_runs(runs, query, now).values_list("pk", flat=True))
    chunks = (keys[start : start + EXPORT_CHUNK] for start in range(0, len(keys), EXPORT_CHUNK))
    return (row for chunk in chunks for row in rows_of(chunk, query.columns))


def sorted_runs(runs: "QuerySet[Run]", query: TableQuery, now: datetime) -> "QuerySet[Run]":
    """By the chosen value, those without it last, the newest first among equals."""
    if query.sort is not None and query.sort.source is Source.METRICS:
        # Joined: PostgreSQL then reads the series once, instead of looking one up for each run.
        series = FilteredRelation("series", condition=Q(series__name=query.sort.name))
        runs = runs.alias(sorted_by=series)
    return runs.order_by(*_order(query, now), "-pk")


def _order(query: TableQuery, now: datetime) -> list[OrderBy]:
    if query.sort is None:
        return []
    by_metric = query.sort.source is Source.METRICS
    values: list[Any] = [statistic(query.sort, "sorted_by__") if by_metric else value_of(query.sort, now=now)]
    if query.sort.type is Type.TAGS:
        values = [Cast("tags", TextField())]
    if query.sort.source is Source.CONFIG:  # numbers first, then texts
        values.append(JsonWord("config", query.sort.path))
    return [OrderBy(value, descending=query.descending, nulls_last=True) for value in values]


def _names_archived(tree: Node | None) -> bool:
    return any(named.source is Source.RUN and named.name == "archived" for named in fields_of(tree))


# --- Rows -------------------------------------------------------------------------------------------------------------


def rows_of(keys: Sequence[int], columns: Sequence[Field]) -> list[RunRow]:
    """The rows of these runs, in this order; one that went meanwhile is left out. The caller has checked who asks."""
    from tracking.models import Run

    runs = Run.objects.filter(pk__in=keys)
    if not any(column.source is Source.CONFIG for column in columns):
        runs = runs.defer("config")
    by_key = {run.pk: run for run in runs}
    series = _series(keys, columns)
    return [
        RunRow(run, [_cell(run, column, series) for column in columns])
        for run in (by_key[key] for key in keys if key in by_key)
    ]


def _series(keys: Sequence[int], columns: Sequence[Field]) -> dict[tuple[int, str], Mapping[str, Any]]:
    """The running summaries of the columns' metrics, by run and name."""
    from tracking.models import MetricSeries

    metrics = [column for column in columns if column.source is Source.METRICS]
    if not metrics or not keys:
        return {}
    fields = {field for column in metrics for field in statistic_fields(column)}
    names = {column.name for column in metrics}
    rows = MetricSeries.objects.filter(run_id__in=keys, name__in=names).values("run_id", "name", *sorted(fields))
    return {(row["run_id"], row["name"]): row for row in rows}


def _cell(run: "Run", column: Field, series: Mapping[tuple[int, str], Mapping[str, Any]]) -> Any:
    if column.source is Source.CONFIG:
        return config_value(run.config, column.path)
    if column.source is Source.METRICS:
        row = series.get((run.pk, column.name))
        return None if row is None else statistic_of(row, column)
    if column.type is Type.DURATION:
        return (run.ended_at or timezone.now()) - run.started_at
    return run.archived_at is not None if column.type is Type.BOOLEAN else getattr(run, column.name)


def config_value(config: Any, path: Sequence[str]) -> Any:
    """What stands at the path; None where nothing does."""
    for part in path:
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _statistic(column: Field) -> str:
    return best_statistic(column.name) if column.statistic == "best" else column.statistic


def statistic_fields(column: Field) -> tuple[str, ...]:
    """The fields of `MetricSeries` that `statistic_of` wants for that column."""
    return _STATISTIC_FIELDS[_statistic(column)]


def statistic_of(row: Mapping[str, Any], column: Field) -> float | int | str | None:
    """A metric's number, out of its row (of `statistic_fields`); "NaN" for a last value that is none."""
    name = _statistic(column)
    if name == "mean":
        return row["sum_value"] / row["number_count"] if row["number_count"] else None
    if name in ("count", "nan_count"):
        return row[name]
    if name == "last" and row["last_value"] is None and row["count"]:
        return NOT_A_NUMBER
    return row[f"{name}_value"]
