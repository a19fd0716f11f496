"""Runs side by side: their series' names, and the values of their configs and summaries as columns."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tracking.filters.fields import MAX_PARTS, Field, best_statistic, config_field, metric_field, run_field
from tracking.selectors.projects import project_get

if TYPE_CHECKING:
    from tracking.models import Run, User

MAX_RUNS = 50
MAX_SERIES = 20_000  # of all runs together
MAX_CONFIG_FIELDS = 1000
MAX_METRIC_FIELDS = 1000
STATISTICS = ("last", "min", "max", "mean", "best")
_SUMMARY = ("last_value", "min_value", "max_value", "sum_value", "number_count")  # what `_statistic` is made of


@dataclass(frozen=True)
class Chosen:
    """Runs to be compared, in the order asked for. `missing`: ids of those that the user does not see (any more)."""

    runs: list["Run"]
    missing: list[int]


@dataclass(frozen=True)
class SeriesName:
    """A metric's name; for each run how many points it has of it, and the last value (None: no points)."""

    name: str
    counts: list[int]
    lasts: list[float | None]


@dataclass(frozen=True)
class Column:
    """A config path or a metric's statistic, and its value in each run: a number, a text or None where there is none.

    A metric's value may be NaN.
    """

    field: Field
    values: list[Any]

    @property
    def differs(self) -> bool:
        return self.distinct > 1

    @cached_property
    def distinct(self) -> int:
        return len({_comparable(value) for value in self.values})


def _comparable(value: Any) -> str:
    """Told apart by type too: 1 and true and "1" are three values; 1 and 1.0 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{type(value).__name__} {value}"


def chosen_runs(*, user: "User", run_ids: Sequence[int], defer: Sequence[str] = ()) -> Chosen:
    """The first MAX_RUNS of these, without those that are gone or that the user may not see.

    `defer`: long fields of the runs that the caller does not look at.
    """
    from tracking.models import Run

    wanted = list(dict.fromkeys(run_ids))[:MAX_RUNS]
    found = Run.objects.live().visible_to(user).select_related("project").defer(*defer).in_bulk(wanted)
    return Chosen([found[key] for key in wanted if key in found], [key for key in wanted if key not in found])


def newest_runs(*, user: "User", project_id: int, defer: Sequence[str] = ()) -> Chosen:
    """The project's newest MAX_RUNS that are not archived. Raises NotFound, Forbidden: of the project."""
    from tracking.models import Run

    project = project_get(user=user, project_id=project_id)
    runs = Run.objects.live().filter(project=project, archived_at__isnull=True).select_related("project")
    return Chosen(list(runs.defer(*defer).order_by("-pk")[:MAX_RUNS]), [])


def series_names(runs: Sequence["Run"]) -> tuple[list[SeriesName], bool]:
    """The metrics of the runs, by name; whether there are more than MAX_SERIES series, the last of them left out."""
    from tracking.models import MetricSeries

    place = {run.pk: index for index, run in enumerate(runs)}
    rows = MetricSeries.objects.filter(run_id__in=list(place), count__gt=0).order_by("name", "run_id")
    found: dict[str, SeriesName] = {}
    read = rows.values_list("name", "run_id", "count", "last_value")[: MAX_SERIES + 1]
    for name, run_id, count, last in read:
        series = found.get(name)
        if series is None:
            series = found[name] = SeriesName(name, [0] * len(runs), [None] * len(runs))
        series.counts[place[run_id]] = count
        series.lasts[place[run_id]] = math.nan if last is None else last
    return list(found.values()), len(read) > MAX_SERIES


def columns(runs: Sequence["Run"], *, statistic: str = "last") -> list[Column]:
    """The configs' leaves and the metrics' `statistic` (one of STATISTICS) as columns, configs first, each by name."""
    return [*_config_columns(runs), *_metric_columns(runs, statistic)]


def run_columns(runs: Sequence["Run"]) -> list[Column]:
    """What the runs are besides: status, tags, duration in seconds."""
    lengths = [(run.ended_at - run.started_at).total_seconds() if run.ended_at else None for run in runs]
    tags = [", ".join(run.tags) or None for run in runs]
    return [
        Column(run_field("status"), [run.status for run in runs]),
        Column(run_field("tags"), tags),
        Column(run_field("duration"), lengths),
    ]


def _config_columns(runs: Sequence["Run"]) -> list[Column]:
    found: dict[tuple[str, ...], list[Any]] = {}
    for index, run in enumerate(runs):
        for path, value in _leaves(run.config):
            if path not in found and len(found) >= MAX_CONFIG_FIELDS:
                continue
            found.setdefault(path, [None] * len(runs))[index] = _scalar(value)
    return [Column(config_field(*path), values) for path, values in sorted(found.items())]


def _leaves(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(config, dict) and config and len(path) < MAX_PARTS:
        for key, value in config.items():
            yield from _leaves(value, (*path, key))
    elif path:
        yield path, config


def _scalar(value: Any) -> Any:
    """Lists and what lies deeper as their JSON; null as a text, since None says that the run has no such key."""
    if value is None or isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def _metric_columns(runs: Sequence["Run"], statistic: str) -> list[Column]:
    from tracking.models import MetricSeries

    place = {run.pk: index for index, run in enumerate(runs)}
    rows = MetricSeries.objects.filter(run_id__in=list(place), count__gt=0).order_by("name", "run_id")
    found: dict[str, list[Any]] = {}
    # Not as objects: of twenty thousand rows they would be most of the cost.
    for name, run_id, *summary in rows.values_list("name", "run_id", *_SUMMARY)[:MAX_SERIES]:
        if name not in found and len(found) >= MAX_METRIC_FIELDS:
            break
        found.setdefault(name, [None] * len(runs))[place[run_id]] = _statistic(name, statistic, *summary)
    return [Column(metric_field(name, statistic), values) for name, values in found.items()]


def _statistic(
    name: str, statistic: str, last: float | None, low: float | None, high: float | None, total: float, numbers: int
) -> float | None:
    """Of a series' row: `total` is the sum of its `numbers` finite values."""
    if statistic == "best":
        statistic = best_statistic(name)
    if statistic == "mean":
        return total / numbers if numbers else None
    if statistic == "last":
        return math.nan if last is None else last
    return low if statistic == "min" else high


def is_number(value: Any) -> bool:
    """A finite number, no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
