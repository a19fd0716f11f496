"""Reads of metric points. The caller has checked who may see the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_site.errors import NotFound
from tracking import store

if TYPE_CHECKING:
    from tracking.models import Run


LONG = 200_000  # points
_NONE = "Run {} has no metric '{}'."


@dataclass(frozen=True, slots=True)
class NamedPoint:
    """A point of a run. `time` is in microseconds since 1970-01-01 UTC."""

    id: int
    name: str
    value: float
    step: int
    time: int


def metric_page(*, run: "Run", name: str | None = None, skip: int, limit: int) -> tuple[list[NamedPoint], int]:
    """`limit` of the run's points after the first `skip`, by time, then step, then id; and how many there are."""
    page = store.read_page(run.pk, None if name is None else [name], skip=skip, limit=limit)
    columns = page.columns
    points = zip(
        columns.ids.tolist(),
        page.names,
        columns.values.tolist(),
        columns.steps.tolist(),
        columns.times.tolist(),
        strict=True,
    )
    return [NamedPoint(*point) for point in points], page.total


def metric_history(
    *, run: "Run", name: str, since_step: int | None = None, max_points: int | None = None
) -> store.Columns:
    """All points of one metric, by time, then step; of the steps above `since_step`; thinned so that spikes stay.

    Raises:
        NotFound: the run has no metric of that name.
    """
    if max_points is not None:
        return chart_of(run.pk, name=name, since_step=since_step, max_points=max_points)
    columns = store.read_series(run.pk, names=[name]).get(name)
    if columns is None:
        raise NotFound(_NONE.format(run.pk, name[:250]))
    return columns if since_step is None else columns.take(columns.steps > since_step)


def chart_of(run_id: int, *, name: str, max_points: int, since_step: int | None = None) -> store.Columns:
    """At most `max_points` of a metric's points, as `metric_history` chooses them. Raises NotFound."""
    low = None if since_step is None else since_step + 1
    thinned = store.read_thinned(run_id, [name], max_points=max_points, min_step=low).get(name)
    if thinned is None:
        raise NotFound(_NONE.format(run_id, name[:250]))
    return thinned.columns


def metric_is_long(*, run: "Run", name: str) -> bool:
    """Whether the metric has so many points that its history should be read in batches."""
    # The run's own number spares most runs the query.
    return run.seq > LONG and run.series.filter(name=name, count__gt=LONG).exists()


def metric_history_batches(*, run: "Run", name: str, since_step: int | None = None) -> Iterator[store.Columns]:
    """What `metric_history` answers, in batches; the same ones each time, as the run was when it was read."""
    return store.iter_series(run.pk, name, since_step=since_step, until_seq=run.seq)
