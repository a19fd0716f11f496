"""Reads of metric points. The caller has checked who may see the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_site.errors import NotFound
from tracking import store

if TYPE_CHECKING:
    from tracking.models import Run


LONG = 200_000  # points


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
    if max_points is None:
        columns = store.read_series(run.pk, names=[name]).get(name)
    else:
        low = None if since_step is None else since_step + 1
        thinned = store.read_thinned(run.pk, [name], max_points=max_points, min_step=low).get(name)
        columns = None if thinned is None else thinned.columns
    if columns is None:
        raise NotFound(f"Run {run.pk} has no metric '{name[:250]}'.")
    return columns if since_step is None else columns.take(columns.steps > since_step)


def metric_is_long(*, run: "Run", name: str) -> bool:
    """Whether the metric has so many points that its history should be read in batches."""
    # The run's own number spares most runs the query.
    return run.seq > LONG and run.series.filter(name=name, count__gt=LONG).exists()


def metric_history_batches(*, run: "Run", name: str, since_step: int | None = None) -> Iterator[store.Columns]:
    """What `metric_history` answers, in batches; the same ones each time, as the run was when it was read."""
    return store.iter_series(run.pk, name, since_step=since_step, until_seq=run.seq)
