"""Reads of metric points. The caller has checked who may see the run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_site.errors import NotFound
from tracking import store

if TYPE_CHECKING:
    from tracking.models import Run


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
    names = None if name is None else [name]
    series = store.read_series(run.pk, names=names)
    total = sum(len(columns) for columns in series.values())
    if not series or not limit or skip >= total:
        return [], total
    owners = np.repeat(np.arange(len(series)), [len(columns) for columns in series.values()])
    every = store.Columns(
        *(
            np.concatenate([getattr(columns, field) for columns in series.values()])
            for field in ("steps", "values", "times", "ids")
        )
    )
    wanted = np.lexsort((every.ids, every.steps, every.times))[skip : skip + limit]
    page = every.take(wanted)
    known = list(series)
    columns = (page.ids, owners[wanted], page.values, page.steps, page.times)
    return [
        NamedPoint(public_id, known[owner], value, step, time)
        for public_id, owner, value, step, time in zip(*(column.tolist() for column in columns), strict=True)
    ], total


def metric_history(
    *, run: "Run", name: str, since_step: int | None = None, max_points: int | None = None
) -> store.Columns:
    """All points of one metric, by time, then step; of the steps above `since_step`; thinned so that spikes stay.

    Raises:
        NotFound: the run has no metric of that name.
    """
    columns = store.read_series(run.pk, names=[name]).get(name)
    if columns is None:
        raise NotFound(f"Run {run.pk} has no metric '{name[:250]}'.")
    if since_step is not None:
        columns = columns.take(columns.steps > since_step)
    return columns if max_points is None else store.downsample(columns, max_points)
