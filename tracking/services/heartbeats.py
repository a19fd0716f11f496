"""Heartbeats of runs: a process that sends them and then vanishes leaves a run that is known to have failed.

A run that never had a heartbeat (logged by hand, hours apart) is never judged. Times are the database's clock.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from tracking import stream
from tracking.models import Run, User
from tracking.selectors.runs import run_to_change

RUNS_A_SWEEP = 200


def run_heartbeat(*, user: User, run_id: int) -> None:
    """The run's process is alive; a run that had failed by silence is running again.

    Raises:
        NotFound, Forbidden: `user` may not see or not change the run.
    """
    runs_beat(run_ids=[run_to_change(user=user, run_id=run_id).pk])


def runs_beat(*, run_ids: Collection[int]) -> None:
    """The same for several. The caller has checked who may log into them. Runs that have ended stay as they are."""
    runs = Run.objects.filter(pk__in=run_ids)
    beating = runs.filter(status=Run.Status.RUNNING).update(heartbeat_at=Now(), heartbeat_seq=F("seq"))
    if beating < len(set(run_ids)):
        for pk in runs.filter(silent_at__isnull=False).values_list("pk", flat=True):
            run_revive(run_id=pk)


@transaction.atomic
def run_revive(*, run_id: int) -> bool:
    """Undo what `silent_runs_fail` did to the run, with an event in its stream. False where nothing is to be undone."""
    silent = Run.objects.filter(pk=run_id, status=Run.Status.FAILED, silent_at__isnull=False, deleted_at__isnull=True)
    revived = silent.update(
        status=Run.Status.RUNNING, status_reason="", ended_at=None, silent_at=None, heartbeat_at=Now(), updated_at=Now()
    )
    if not revived:
        return False
    changes = {"run_id": run_id, "status": Run.Status.RUNNING, "status_reason": "", "ended_at": None}
    Run.objects.filter(pk=run_id).update(heartbeat_seq=stream.append(run_id=run_id, changes=changes))
    return True


def silent_runs_fail(*, now: datetime, silence: timedelta, spared: QuerySet, limit: int = RUNS_A_SWEEP) -> int:
    """Make `failed` those running runs whose last heartbeat is older than `silence`; how many. For the reconciler.

    `now` is the database's clock; `spared` selects ids of runs that are not to be judged. At most `limit` runs are
    looked at. A run into whose stream something was written since its last heartbeat gets another period.
    """
    # No user asks: the reconciler judges for all.
    since = now - silence
    silent = Run.objects.filter(status=Run.Status.RUNNING, heartbeat_at__lt=since, deleted_at__isnull=True)
    silent = silent.exclude(pk__in=spared)
    failed = 0
    for run in silent.order_by("heartbeat_at").only("pk", "seq", "heartbeat_at", "heartbeat_seq")[:limit]:
        # What was written or heard since it was read speaks for it.
        unheard = silent.filter(pk=run.pk, seq=run.seq)
        if run.seq > run.heartbeat_seq:
            unheard.update(heartbeat_at=now, heartbeat_seq=run.seq)
        else:
            failed += _fail(run, unheard, now)
    return failed


@transaction.atomic
def _fail(run: Run, unheard: QuerySet[Run], now: datetime) -> bool:
    assert run.heartbeat_at is not None  # noqa: S101 - it was chosen by it
    reason = f"no heartbeat since {stream.timestamp(run.heartbeat_at)}"
    failed = unheard.update(
        status=Run.Status.FAILED,
        status_reason=reason,
        ended_at=run.heartbeat_at,  # what came after it nobody knows
        silent_at=now,
        updated_at=now,
    )
    if not failed:
        return False
    changes = {
        "run_id": run.pk,
        "status": Run.Status.FAILED,
        "status_reason": reason,
        "ended_at": stream.timestamp(run.heartbeat_at),
    }
    stream.append(run_id=run.pk, changes=changes)
    return True
