"""Reads of runs, their series and their logs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_site.errors import Forbidden, NotFound
from tracking import store
from tracking.selectors.projects import project_get, project_to_change

if TYPE_CHECKING:
    from tracking.models import LogLine, Run, User
    from tracking.querysets import RunQuerySet


@dataclass(frozen=True)
class ChartSeries:
    """A run's series as charts draw them, and the place in its stream that they go up to.

    `thinned`: the names of those whose points are not all there.
    """

    last_id: int
    series: dict[str, store.Columns]
    thinned: frozenset[str] = frozenset()


def run_get(*, user: "User", run_id: int) -> "Run":
    """The run of that id, with its project.

    Raises:
        NotFound: there is none, or it lies in the trash.
        Forbidden: `user` may not see it (the tracking contract tells the two apart).
    """
    from tracking.models import Run

    runs = Run.objects.live().select_related("project").filter(pk=run_id)
    run = runs.visible_to(user).first()
    if run is None:
        if runs.exists():
            raise Forbidden()
        raise NotFound()
    return run


def run_to_change(*, user: "User", run_id: int) -> "Run":
    """The same, for who may log into it and edit it (editor, owner). Raises NotFound, Forbidden."""
    from tracking.models import Run

    run = Run.objects.live().select_related("project").changeable_by(user).filter(pk=run_id).first()
    if run is None:
        run_get(user=user, run_id=run_id)
        raise Forbidden()
    return run


def run_list(*, user: "User", project_id: int | None = None) -> "RunQuerySet":
    """Runs of one project, or of all that are the user's own or shared with it; newest first.

    Raises NotFound, Forbidden: of the project (a public one of others may be listed).
    """
    from tracking.models import Run

    if project_id is None:
        return Run.objects.live().listed_for(user).order_by("-pk")
    return Run.objects.live_of(project_get(user=user, project_id=project_id)).order_by("-pk")


def run_trash_list(*, user: "User", project_id: int) -> "RunQuerySet":
    """The project's runs that the user may restore, the last deleted first. Raises NotFound, Forbidden."""
    from tracking.models import Run

    project = project_to_change(user=user, project_id=project_id)
    return Run.objects.trashed().filter(project=project).order_by("-deleted_at", "-pk")


def chart_series(
    *,
    run: "Run",
    names: Iterable[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    max_points: int,
) -> ChartSeries:
    """The run's series by name, their steps ascending, of points of one step the last; thinned so that spikes stay.

    A socket that resumes after `last_id` goes on exactly where these end.
    """
    [charts] = chart_series_of_runs(
        runs=[run], names=names, min_step=min_step, max_step=max_step, max_points=max_points
    )
    return charts


def chart_series_of_runs(
    *,
    runs: "Sequence[Run]",
    names: Iterable[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    max_points: int,
) -> list[ChartSeries]:
    """What `chart_series` reads, of each of these different runs, by a few statements for all of them."""
    drawn = store.read_thinned_runs(
        {run.pk: run.seq for run in runs},
        names,
        max_points=max_points,
        min_step=min_step,
        max_step=max_step,
        by_step=True,
    )
    return [
        ChartSeries(
            last_id=run.seq,
            series={name: series.columns for name, series in drawn[run.pk].items()},
            thinned=frozenset(name for name, series in drawn[run.pk].items() if not series.is_whole),
        )
        for run in runs
    ]


def log_lines(run_id: int, *, after: int = 0, limit: int = 1000) -> "list[LogLine]":
    """The first `limit` lines of the run's log after number `after`. The caller has checked who may see the run."""
    from tracking.models import LogLine

    return list(LogLine.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")[:limit])


def log_tail(run_id: int, *, limit: int = 1000) -> "list[LogLine]":
    """The last `limit` lines of the run's log, oldest first. The caller has checked who may see the run."""
    from tracking.models import LogLine

    return list(LogLine.objects.filter(run_id=run_id).order_by("-seq")[:limit])[::-1]
