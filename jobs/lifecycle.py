"""The transitions of a job, each one conditional UPDATE whose row count is checked (states: `jobs.models`).

Who holds the claim on a running job is said by `Job.attempt`: every write of a worker names its attempt's number, so a
zombie (a worker that was declared dead but still runs) changes no row, learns so from `ClaimLost`, and ends.
Rows are locked in one order everywhere: job, attempt, run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from automl_site.errors import NotFound
from jobs import queue
from jobs.models import FINAL_STATUSES, Attempt, Job, JobLogLine, JobStatus, TrainedModel, Worker
from jobs.selectors.scheduling import may_begin, next_pending
from tracking import live, stream, text
from tracking.models import Run
from tracking.services.environments import environment_set
from tracking.services.runs import run_status_append

CANCELLED_BY_USER = "Job cancelled by user"
CLAIM_ROUNDS = 10
MAX_ERROR = 10_000  # characters


class ClaimLost(Exception):
    """The attempt no longer holds the claim: the job was cancelled, handed to another attempt, or deleted."""


class WorkerForgotten(Exception):
    """The worker's row is gone (emptied, or deleted after a long silence): it must register before it claims again."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed, in words for the user. `kind` is one of `Job.ErrorKind`."""

    message: str
    kind: str
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Report:
    """What an attempt has to tell since its last report. `progress` never goes back."""

    logs: Sequence[stream.LogEntry] = ()
    points: Sequence[stream.Point] = ()
    progress: float | None = None
    message: str | None = None


def database_now() -> datetime:
    """The database's clock, the one that heartbeats are judged by."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')")
            return datetime.fromisoformat(cursor.fetchone()[0] + "+00:00")
        cursor.execute("SELECT CLOCK_TIMESTAMP()")
        return cursor.fetchone()[0]


def claim_next(*, queue_names: Sequence[str], worker: Worker, passing_over: Collection[UUID] = ()) -> Attempt | None:
    """Claim the best pending job of these queues for `worker`; None when there is none. Begins a new attempt.

    `passing_over`: jobs that are left to other workers.

    Of its `job` only what the worker needs is loaded, as it was before.

    Raises:
        WorkerForgotten: nothing was claimed.
    """
    for _ in range(CLAIM_ROUNDS):
        candidates = [job for job in next_pending(queue_names, gpus=worker.gpus) if job.pk not in passing_over]
        for candidate in candidates:
            try:
                attempt = _claim(candidate, worker)
            except IntegrityError as error:
                if Worker.objects.filter(pk=worker.pk).exists():
                    raise
                raise WorkerForgotten(f"the row of worker {worker.name} is gone") from error
            if attempt is not None:
                return attempt
        if not candidates:
            break
        # Other workers were faster at every one of them: there may be more.
    return None


def _claim(candidate: Job, worker: Worker) -> Attempt | None:
    with transaction.atomic():
        if not may_begin(candidate):
            return None
        claimed = Job.objects.filter(pk=candidate.pk, status=JobStatus.PENDING, attempt=candidate.attempt).update(
            status=JobStatus.RUNNING,
            attempt=F("attempt") + 1,
            started_at=Coalesce(F("started_at"), Now()),
            updated_at=Now(),
            message="",
        )
        if not claimed:
            return None  # another worker was faster, or it was cancelled
        attempt = Attempt.objects.create(
            job=candidate,
            number=candidate.attempt + 1,
            worker=worker,
            worker_name=worker.name,
            started_at=Now(),
            heartbeat_at=Now(),
        )
        # Changed by us means: there, and until we commit nobody takes it away.
        if _set_run_status(candidate, Run.Status.RUNNING) and candidate.run_id:
            environment = {"host": worker.host, "worker": worker.name, **worker.capabilities}
            environment_set(run_id=candidate.run_id, environment=environment)
        live.announce_on_commit(f"job:{candidate.pk}")
    return attempt


def heartbeat(*, attempt: Attempt) -> bool:
    """Say that the attempt is alive. False when it no longer holds the claim: kill the work."""
    return bool(
        Attempt.objects.filter(
            pk=attempt.pk, status=Attempt.Status.RUNNING, job__status=JobStatus.RUNNING, job__attempt=attempt.number
        ).update(heartbeat_at=Now())
    )


def holds_claim(*, attempt: Attempt) -> bool:
    return Job.objects.filter(pk=attempt.job_id, status=JobStatus.RUNNING, attempt=attempt.number).exists()


def report(*, attempt: Attempt, job: Job, entry: Report) -> None:
    """Store what the attempt tells, all of it or nothing.

    Raises:
        ClaimLost: the attempt holds the claim no longer; nothing was written.
    """
    changes: dict[str, Any] = {"updated_at": Now()}
    if entry.progress is not None:
        changes["progress"] = Greatest(F("progress"), min(max(entry.progress, 0.0), 1.0))
    if entry.message is not None:
        changes["message"] = text.clean(entry.message, limit=500)
    with transaction.atomic():
        if entry.points:
            changes["metrics"] = _with_latest(_lock_claimed(attempt)["metrics"], entry.points)
        _update_claimed(attempt, **changes)
        _append(job, points=entry.points, logs=entry.logs)
        live.announce_on_commit(f"job:{job.pk}")


def complete(
    *,
    attempt: Attempt,
    job: Job,
    result: Mapping[str, Any],
    model: TrainedModel | None = None,
    final: Report | None = None,
    publish: Callable[[], None] | None = None,
) -> None:
    """running -> completed, with the trained model (unsaved) that came out. `attempt.status` follows.

    `publish` makes its artefacts visible. It is called while the job's row is locked and the claim known to hold, so no
    zombie can replace another attempt's artefacts; it must be quick.

    Raises:
        ClaimLost: see `report`.
    """
    final = final or Report()
    changes: dict[str, Any] = {}
    if final.message is not None:  # else the last words are there already
        changes["message"] = text.clean(final.message, limit=500)
    with transaction.atomic():
        if model is not None or final.points:
            held = _lock_claimed(attempt)
            changes["metrics"] = _with_latest(held["metrics"], final.points)
        _update_claimed(
            attempt,
            status=JobStatus.COMPLETED,
            progress=1.0,
            result=dict(result),
            updated_at=Now(),
            ended_at=Now(),
            **changes,
        )
        if model is not None:
            # Not as the worker has known them for hours: a run or a data set may have been deleted meanwhile.
            model.run_id, model.dataset_id = held["run_id"], held["dataset_id"]
            model.save(force_insert=True)
        if publish is not None:
            publish()
        _end_attempt(attempt, Attempt.Status.COMPLETED)
        _set_run_status(job, Run.Status.COMPLETED, points=final.points, logs=final.logs)
        live.announce_on_commit(f"job:{job.pk}")
    attempt.status = Attempt.Status.COMPLETED


def fail(*, attempt: Attempt, job: Job, failure: Failure, logs: Sequence[stream.LogEntry] = ()) -> None:
    """running -> failed by the job's own fault, its deadline or a bug: it is not tried again.

    Raises:
        ClaimLost: see `report`.
    """
    message = text.clean(failure.message, limit=MAX_ERROR)
    with transaction.atomic():
        _update_claimed(
            attempt,
            status=JobStatus.FAILED,
            error=message,
            error_kind=failure.kind,
            error_details=dict(failure.details or {}),
            message="",
            updated_at=Now(),
            ended_at=Now(),
        )
        _end_attempt(attempt, Attempt.Status.FAILED, message)
        lines = [*logs, stream.LogEntry("ERROR", message)]
        _set_run_status(job, Run.Status.FAILED, reason=message, logs=lines)
        live.announce_on_commit(f"job:{job.pk}")


def hand_back(*, attempt: Attempt, job: Job, reason: str) -> bool:
    """running -> pending without costing an attempt: the worker was told to end. False when the claim was gone."""
    return _back_to_pending(attempt, job, reason, ended_as=Attempt.Status.HANDED_BACK)


def lose(*, attempt: Attempt, job: Job, reason: str, silent_since: datetime | None = None) -> bool:
    """The attempt's worker or machine is gone: running -> pending, or failed when it was the last attempt allowed.

    `silent_since`: only if the attempt has not been heard of since then (the reconciler's judgement, re-checked in the
    same statement). False when the claim was gone already.
    """
    lost_before = Job.objects.filter(pk=job.pk).values_list("lost_attempts", flat=True).first()
    if lost_before is None:
        return False  # the job was deleted
    reason = text.clean(reason, limit=MAX_ERROR)
    if lost_before + 1 < settings.JOBS["max_attempts"]:
        return _back_to_pending(attempt, job, reason, ended_as=Attempt.Status.LOST, silent_since=silent_since)
    message = f"Given up after {lost_before + 1} attempts that were lost; the last one: {reason}"
    with transaction.atomic():
        if not _leave_running(
            attempt,
            silent_since,
            status=JobStatus.FAILED,
            lost_attempts=F("lost_attempts") + 1,
            error=message,
            error_kind=Job.ErrorKind.INFRASTRUCTURE,
            message="",
            updated_at=Now(),
            ended_at=Now(),
        ):
            return False
        _end_attempt(attempt, Attempt.Status.LOST, reason)
        _set_run_status(job, Run.Status.FAILED, reason=message, logs=[stream.LogEntry("ERROR", message)])
        live.announce_on_commit(f"job:{job.pk}")
    return True


def cancel(*, job: Job, reason: str = CANCELLED_BY_USER) -> bool:
    """pending or running -> cancelled, at once. A running attempt's worker sees its claim gone and kills its work.

    False when the job has ended already.
    """
    with transaction.atomic():
        changed = Job.objects.filter(pk=job.pk, status__in=(JobStatus.PENDING, JobStatus.RUNNING)).update(
            status=JobStatus.CANCELLED, error=reason, message="", updated_at=Now(), ended_at=Now()
        )
        if not changed:
            return False
        _set_run_status(job, Run.Status.CANCELLED, reason=reason, logs=[stream.LogEntry("WARN", reason)])
        live.announce_on_commit(f"job:{job.pk}")
    return True


def is_settled(*, attempt: Attempt) -> bool:
    """Whether the attempt's end, and that of its job, are written down."""
    settled = Attempt.objects.filter(pk=attempt.pk, job__status__in=FINAL_STATUSES)
    return settled.exclude(status=Attempt.Status.RUNNING).exists()


def attempt_stopped(*, attempt: Attempt, reason: str = "") -> None:
    """The work of an attempt whose job was cancelled (or taken away) has been killed: close the attempt's row."""
    _end_attempt(attempt, Attempt.Status.CANCELLED, reason)


def seconds_before(*, attempt: Attempt) -> float:
    """How long the earlier attempts at the attempt's job have taken together."""
    earlier = Attempt.objects.filter(job_id=attempt.job_id, number__lt=attempt.number, ended_at__isnull=False)
    times = earlier.values_list("started_at", "ended_at")
    return sum((ended - started).total_seconds() for started, ended in times if ended)


def silent_attempts(*, since: datetime) -> list[Attempt]:
    """Running attempts that have not been heard of since then, with their jobs."""
    return list(
        Attempt.objects.filter(status=Attempt.Status.RUNNING, heartbeat_at__lt=since)
        .select_related("job")
        .order_by("pk")
    )


def dead_after() -> timedelta:
    return timedelta(seconds=settings.JOBS["dead_after"])


def _update_claimed(attempt: Attempt, **changes: Any) -> None:
    claimed = Job.objects.filter(pk=attempt.job_id, status=JobStatus.RUNNING, attempt=attempt.number)
    if not claimed.update(**changes):
        raise ClaimLost(f"attempt {attempt.number} of job {attempt.job_id} no longer holds the claim")


def _leave_running(attempt: Attempt, silent_since: datetime | None, **changes: Any) -> bool:
    mine = Job.objects.filter(pk=attempt.job_id, status=JobStatus.RUNNING, attempt=attempt.number)
    if silent_since is not None:
        silent = Attempt.objects.filter(pk=attempt.pk, status=Attempt.Status.RUNNING, heartbeat_at__lt=silent_since)
        mine = mine.filter(Q(pk__in=silent.values("job_id")))
    return bool(mine.update(**changes))


def _back_to_pending(
    attempt: Attempt, job: Job, reason: str, *, ended_as: str, silent_since: datetime | None = None
) -> bool:
    lost = 1 if ended_as == Attempt.Status.LOST else 0
    with transaction.atomic():
        if not _leave_running(
            attempt,
            silent_since,
            status=JobStatus.PENDING,
            lost_attempts=F("lost_attempts") + lost,
            message="",
            updated_at=Now(),
        ):
            return False
        _end_attempt(attempt, ended_as, reason)
        line = stream.LogEntry("WARN", f"Attempt {attempt.number} ended: {reason}. The job is queued again.")
        _set_run_status(job, Run.Status.PENDING, reason=reason, logs=[line])
        live.announce_on_commit(f"job:{job.pk}")
        queue.wake_on_commit(job.queue)
    return True


def _end_attempt(attempt: Attempt, status: str, reason: str = "") -> None:
    Attempt.objects.filter(pk=attempt.pk, status=Attempt.Status.RUNNING).update(
        status=status, reason=reason, ended_at=Now()
    )


def _append(job: Job, *, points: Sequence[stream.Point] = (), logs: Sequence[stream.LogEntry] = ()) -> None:
    """Into the run's stream, or, where the job has no run, into the job's own log."""
    if not points and not logs:
        return
    if job.run_id:
        with suppress(NotFound):  # the run was deleted meanwhile, and its log with it
            stream.append(run_id=job.run_id, points=points, logs=logs)
        return
    if not logs:
        return
    Job.objects.filter(pk=job.pk).update(log_seq=F("log_seq") + len(logs))
    last = Job.objects.values_list("log_seq", flat=True).get(pk=job.pk)
    now = timezone.now()
    JobLogLine.objects.bulk_create(
        JobLogLine(
            job=job,
            seq=last - len(logs) + 1 + offset,
            time=entry.time or now,
            level=entry.level,
            message=text.clean(entry.message, limit=stream.MAX_MESSAGE),
        )
        for offset, entry in enumerate(logs)
    )


def _lock_claimed(attempt: Attempt) -> dict[str, Any]:
    """The claimed job's run_id, dataset_id and metrics, which nobody else changes before the transaction ends.

    Raises ClaimLost.
    """
    claimed = Job.objects.filter(pk=attempt.job_id, status=JobStatus.RUNNING, attempt=attempt.number)
    for held in claimed.select_for_update(no_key=True).order_by().values("run_id", "dataset_id", "metrics"):
        return dict(held)
    raise ClaimLost(f"attempt {attempt.number} of job {attempt.job_id} no longer holds the claim")


def _with_latest(metrics: Mapping[str, Any], points: Sequence[stream.Point]) -> dict[str, Any]:
    """The last value of each metric is kept in the job's row: a status answer then needs no other table."""
    return {**metrics, **{point.name: stream.json_number(point.value) for point in points}}


def _set_run_status(
    job: Job,
    status: str,
    *,
    reason: str = "",
    points: Sequence[stream.Point] = (),
    logs: Sequence[stream.LogEntry] = (),
) -> bool:
    """Change the status of the job's run, and tell its stream that and what came before; whether it was changed.

    Where the job has no run, the lines go into the job's own log.
    """
    if not job.run_id:
        _append(job, logs=logs)
        return False
    with suppress(NotFound):  # the run was deleted meanwhile, and its log with it
        return run_status_append(run_id=job.run_id, status=status, reason=reason, points=points, logs=logs)
    return False
