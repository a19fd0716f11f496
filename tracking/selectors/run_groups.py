"""The runs table grouped by a value: how many runs have it, and their metrics' mean and standard deviation."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.paginator import Page, Paginator

from tracking.filters.completion import quoted
from tracking.filters.expressions import JsonBoolean, JsonNumber, JsonPresent, JsonText
from tracking.filters.fields import Field, Source
from tracking.selectors.run_table import PAGE, TableQuery, runs_matching, statistic_fields, statistic_of

if TYPE_CHECKING:
    from tracking.models import Project, User

GROUPABLE = ("status", "name")  # of a run's own fields; any value of the config besides
OTHER = "list or object"
READ_AT_ONCE = 2000
_KINDS = ("number", "text", "boolean", "other", "null")
Key = tuple[str, Any]  # kind of the value, value: 1, "1" and true are three


@dataclass(frozen=True)
class Spread:
    """Of the numbers that a group's runs have. `std` is the sample's, None for fewer than two."""

    count: int
    mean: float | None
    std: float | None


@dataclass(frozen=True)
class RunGroup:
    """The runs with one value. `filter` finds them; empty for lists and objects, which no filter can name."""

    value: Any
    count: int
    cells: list[Spread]
    filter: str


def is_groupable(by: Field) -> bool:
    return by.source is Source.CONFIG or by.source is Source.RUN and by.name in GROUPABLE


def run_groups(
    *, user: "User", project: "Project", query: TableQuery, by: Field, number: Any = 1, size: int = PAGE
) -> "Page[RunGroup]":
    """One page of groups, the largest first, or sorted by the query's column (its mean) or by the value itself.

    Two queries, whatever the number of runs: their values, and their metrics.

    Raises:
        FilterError: the filter cannot be read.
    """
    runs = runs_matching(user=user, project=project, query=query).order_by()
    metrics = [column for column in query.columns if column.source is Source.METRICS]
    keys = dict(_keys(runs, by))
    counts = Counter(keys.values())
    numbers = _numbers(runs, keys, metrics)
    # Groups are made for the page alone: by a value that every run has another one of there are thousands.
    page: Page[Any] = Paginator(_sorted(counts, numbers, query, by, metrics), size).get_page(number)
    page.object_list = [
        RunGroup(key[1], counts[key], [_spread(found.get(key, [])) for found in numbers], _filter(by, key))
        for key in page
    ]
    return page


def _keys(runs: Any, by: Field) -> Any:
    """(run, key) of each run."""
    if by.source is Source.RUN:
        return ((pk, ("text", value)) for pk, value in runs.values_list("pk", by.name))
    expressions = (kind("config", by.path) for kind in (JsonPresent, JsonNumber, JsonText, JsonBoolean))
    return ((pk, _key(*values)) for pk, *values in runs.values_list("pk", *expressions))


def _key(present: bool, number: float | None, text: str | None, boolean: int | None) -> Key:
    if not present:
        return ("null", None)
    if number is not None:
        return ("number", int(number) if number.is_integer() and abs(number) < 2**53 else number)
    if text is not None:
        return ("text", text)
    return ("other", OTHER) if boolean is None else ("boolean", bool(boolean))


def _numbers(runs: Any, keys: dict[int, Key], metrics: list[Field]) -> list[dict[Key, list[float]]]:
    """Of each metric, the numbers of each group."""
    from tracking.models import MetricSeries

    found: list[dict[Key, list[float]]] = [defaultdict(list) for _ in metrics]
    if not metrics:
        return found
    # By place: looking a Field up for each of many thousand rows would cost more than reading them.
    columns: dict[str, list[tuple[Field, dict[Key, list[float]]]]] = defaultdict(list)
    for column, numbers in zip(metrics, found, strict=True):
        columns[column.name].append((column, numbers))
    fields = sorted({field for column in metrics for field in statistic_fields(column)})
    series = MetricSeries.objects.filter(run__in=runs.values("pk"), name__in=columns)
    for run_id, name, *values in series.values_list("run_id", "name", *fields).iterator(chunk_size=READ_AT_ONCE):
        key = keys.get(run_id)
        if key is None:  # a run that came between the two queries
            continue
        row = dict(zip(fields, values, strict=True))
        for column, numbers in columns[name]:
            number = statistic_of(row, column)
            if isinstance(number, int | float) and math.isfinite(number):
                numbers[key].append(number)
    return found


def _spread(numbers: list[float]) -> Spread:
    if len(numbers) < 2:
        return Spread(len(numbers), numbers[0] if numbers else None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(numbers))
        std = float(np.std(numbers, ddof=1))
    return Spread(len(numbers), mean, std)


def _sorted(
    counts: Mapping[Key, int],
    numbers: list[dict[Key, list[float]]],
    query: TableQuery,
    by: Field,
    metrics: list[Field],
) -> list[Key]:
    sign = -1 if query.descending else 1
    by_value = sorted(counts, key=_rank, reverse=query.sort == by and query.descending)
    if query.sort == by:
        return sorted(by_value, key=lambda key: key[1] is None)  # those without a value last, either way
    if query.sort in metrics:
        means = {key: fmean(found) for key, found in numbers[metrics.index(query.sort)].items()}
        return sorted(by_value, key=lambda key: (key not in means, sign * means.get(key, 0.0)))
    return sorted(by_value, key=lambda key: -counts[key])


def _rank(key: Key) -> tuple[int, float, str]:
    """Numbers, then texts, then true and false, then lists and objects, then nothing."""
    kind, value = key
    number = float(value) if kind in ("number", "boolean") else 0.0
    return (_KINDS.index(kind), number, value if kind == "text" else "")


def _filter(by: Field, key: Key) -> str:
    kind, value = key
    if kind == "null":
        return f"{by.text} is null"
    if kind == "other":
        return ""
    if kind == "boolean":
        return f"{by.text} = {'true' if value else 'false'}"
    return f"{by.text} = {quoted(value) if kind == 'text' else repr(value)}"
