"""The trash: what is deleted is gone from the API at once, can be restored for 30 days, and then goes for good."""

import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from automl_site.errors import Forbidden, NotFound
from tracking import access, holds, stream
from tracking.models import LogLine, MetricChunk, MetricSegment, Project, Run, User
from tracking.selectors.projects import project_to_own
from tracking.selectors.runs import run_to_change

KEPT = timedelta(days=30)
GONE = "It was in the trash for more than 30 days, and is gone."
RUNS_A_SWEEP = 200
PROJECTS_A_SWEEP = 20
ROWS_A_STEP = 2_000
SWEEP_SECONDS = 1.0  # a sweep may take; the reconciler has heartbeats to judge


@transaction.atomic
def run_trash(*, user: User, run_id: int) -> None:
    """Put a run into the trash.

    Raises:
        NotFound, Forbidden: `user` may not see or not change it.
        Conflict: a job is alive in it; cancel it first.
    """
    run = run_to_change(user=user, run_id=run_id)
    holds.refuse_if_held(run_ids=[run.pk])
    now = timezone.now()
    if Run.objects.live().filter(pk=run.pk).update(deleted_at=now, updated_at=now):
        stream.append(run_id=run.pk, changes={"run_id": run.pk, "deleted_at": stream.timestamp(now)})
        access.forget_on_commit()


@transaction.atomic
def run_restore(*, user: User, run_id: int) -> Run:
    """Take a run out of the trash.

    Raises:
        NotFound: it is not in the trash, or its project is; restore that.
        Forbidden: `user` may not change it.
    """
    run = _trashed_run(user, run_id)
    kept = Run.objects.filter(pk=run.pk, deleted_at__gte=timezone.now() - KEPT)
    if not kept.update(deleted_at=None, updated_at=timezone.now()):
        raise NotFound(GONE)  # its points may be gone already
    stream.append(run_id=run.pk, changes={"run_id": run.pk, "deleted_at": None})
    run.refresh_from_db()
    return run


def run_delete_forever(*, user: User, run_id: int) -> None:
    """Take a run that lies in the trash away for good. Raises as `run_restore`."""
    _remove_run(_trashed_run(user, run_id).pk)


@transaction.atomic
def project_trash(*, user: User, project_id: int) -> None:
    """Put a project with all that is in it into the trash.

    Raises:
        NotFound, Forbidden: `user` may not see it, or is not its owner.
        Conflict: a job is alive in it; cancel it first.
    """
    project = project_to_own(user=user, project_id=project_id)
    now = timezone.now()
    # First the row, which who submits a job into the project holds, then the look at its jobs.
    Project.objects.live().filter(pk=project.pk).update(deleted_at=now, updated_at=now)
    holds.refuse_if_held(project_ids=[project.pk])
    access.forget_on_commit()


def project_restore(*, user: User, project_id: int) -> Project:
    """Take a project out of the trash; runs thrown away by themselves stay there. Raises NotFound, Forbidden."""
    project = project_to_own(user=user, project_id=project_id, trashed=True)
    kept = Project.objects.filter(pk=project.pk, deleted_at__gte=timezone.now() - KEPT)
    if not kept.update(deleted_at=None, updated_at=timezone.now()):
        raise NotFound(GONE)
    project.refresh_from_db()
    return project


def project_empty_trash(*, user: User, project_id: int) -> int:
    """Take all the project's trashed runs away for good; how many there were. Raises NotFound, Forbidden."""
    project = project_to_own(user=user, project_id=project_id)
    runs = list(Run.objects.trashed().filter(project=project).values_list("pk", flat=True))
    return sum(_remove_run(pk) for pk in runs)


def trash_sweep(*, seconds: float = SWEEP_SECONDS) -> int:
    """Take away for good what has lain in the trash for 30 days; how many runs went. For the reconciler.

    Stops after about `seconds`: the next sweep goes on. A project goes once it has no run left.
    """
    # No user asks: this cleans up for all.
    deadline = time.monotonic() + seconds
    before = timezone.now() - KEPT
    old = Run.objects.filter(Q(deleted_at__lt=before) | Q(project__deleted_at__lt=before)).order_by("pk")
    removed = 0
    for pk in list(old.values_list("pk", flat=True)[:RUNS_A_SWEEP]):
        for rows in (model.objects.filter(run_id=pk) for model in (MetricSegment, MetricChunk, LogLine)):
            while rows.exists():
                # A slice a transaction: other writers wait for no more than that.
                rows.filter(pk__in=list(rows.values_list("pk", flat=True)[:ROWS_A_STEP])).delete()
                if time.monotonic() > deadline:
                    return removed
        removed += _remove_run(pk)
        if time.monotonic() > deadline:
            return removed
    for pk in list(_emptied(before).values_list("pk", flat=True)[:PROJECTS_A_SWEEP]):
        _remove_project(pk, before)
    return removed


def _emptied(before: datetime) -> QuerySet[Project]:
    return Project.objects.filter(deleted_at__lt=before, runs__isnull=True).order_by("pk")


@transaction.atomic
def _remove_project(project_id: int, before: datetime) -> None:
    holds.clear(project_id)
    # Not by the row that was read: what was restored meanwhile stays, and on_commit's clearing with it.
    if not Project.objects.filter(pk=project_id, deleted_at__lt=before).delete()[0]:
        transaction.set_rollback(True)


@transaction.atomic
def _remove_run(run_id: int) -> int:
    in_trash = Q(deleted_at__isnull=False) | Q(project__deleted_at__isnull=False)
    # Its row before its points, as who writes points does it: whoever is at them ends first, nobody begins after.
    run = Run.objects.select_for_update(of=("self",)).filter(in_trash, pk=run_id).only("pk").first()
    if run is None:
        return 0
    _, rows = Run.objects.filter(pk=run_id).delete()
    return rows.get(Run._meta.label, 0)


def _trashed_run(user: User, run_id: int) -> Run:
    trashed = Run.objects.trashed().filter(pk=run_id)
    run = trashed.changeable_by(user).first()
    if run is None:
        if trashed.exists():
            raise Forbidden()
        raise NotFound()
    return run
