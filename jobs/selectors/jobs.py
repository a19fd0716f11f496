"""Reads of jobs for contracts, pages and sockets."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Q, QuerySet

from automl_site.errors import NotFound
from jobs.models import Attempt, Job, JobLogLine, JobStatus
from jobs.selectors.scheduling import remaining_seconds, waiting_message
from tracking.models import LogLine, User

# What can be megabytes: an input of many rows, an answer of as many, what was found in each column of a file.
BULKY = ("input_data", "result", "error_details")
BULKY_OF_OTHERS = (
    *(f"{model}__{field}" for model in ("model", "trained_model") for field in ("report", "schema")),
    *(f"dataset__{field}" for field in ("columns", "schema", "analysis")),
)
STATUS_FIELDS = (
    "kind", "queue", "gpus", "owner", "model", "status", "attempt", "progress", "message", "metrics", "result", "error",
    "error_kind", "timeout_seconds", "checkpoint_host", "created_at", "updated_at",
)  # fmt: skip


def parse_job_id(text: str) -> uuid.UUID | None:
    """`job_<uuid>` or the bare uuid; None for anything else."""
    try:
        return uuid.UUID(str(text).removeprefix("job_"))
    except ValueError:
        return None


def job_get(*, user: User, job_id: str) -> Job:
    """The job of that id (with or without `job_`), with what its answers show.

    Raises:
        NotFound: there is none, or the user may not see it.
    """
    pk = parse_job_id(job_id)
    job = (
        Job.objects.visible_to(user)
        .select_related("trained_model", "model", "dataset", "owner", "project")
        .defer(*BULKY_OF_OTHERS)
        .filter(pk=pk)
        .first()
        if pk
        else None
    )
    if job is None:
        raise NotFound("Job not found")
    return job


def job_status(*, user: User, job_id: str) -> Job:
    """The job of that id with what a status answer shows, and no more: each client that waits asks for it all the time.

    Raises:
        NotFound: there is none, or the user may not see it.
    """
    pk = parse_job_id(job_id)
    if pk is None:
        raise NotFound("Job not found")
    # One's own first: the rules of projects take longer to write down than this takes to ask.
    for jobs in (Job.objects.owned_by(user), Job.objects.visible_to(user)):
        job = jobs.select_related("model").only(*STATUS_FIELDS, "model__public_id").filter(pk=pk).order_by().first()
        if job is not None:
            return job
    raise NotFound("Job not found")


def job_list(
    *,
    user: User,
    statuses: Sequence[str] = (),
    kind: str = "",
    model_type: str = "",
    queue: str = "",
    query: str = "",
    parent: uuid.UUID | None = None,
) -> QuerySet[Job]:
    """The jobs that `user` may see, newest first; top-level ones, or the children of `parent`. No list shows BULKY."""
    jobs = Job.objects.visible_to(user).select_related("model").defer(*BULKY, "model__report", "model__schema")
    jobs = jobs.filter(parent=parent) if parent else jobs.top_level()
    if statuses:
        jobs = jobs.filter(status__in=statuses)
    if kind:
        jobs = jobs.filter(kind=kind)
    if model_type:
        jobs = jobs.filter(model_type=model_type)
    if queue:
        jobs = jobs.filter(queue=queue)
    if query:
        matches = Q(description__icontains=query) | Q(model_type__icontains=query) | Q(data_path__icontains=query)
        matches |= Q(model__name__icontains=query)  # an inference is called by it
        pk = parse_job_id(query)
        jobs = jobs.filter(matches | Q(pk=pk) if pk else matches)
    return jobs.order_by("-created_at", "-id")


def status_counts(user: User) -> dict[str, int]:
    """How many of the user's top-level jobs are in each state."""
    rows = Job.objects.visible_to(user).top_level().order_by().values("status").annotate(n=Count("pk"))
    counts = {status: 0 for status in JobStatus.values}
    counts.update({row["status"]: row["n"] for row in rows})
    return counts


def last_attempt(job: Job) -> Attempt | None:
    return Attempt.objects.filter(job_id=job.pk, number=job.attempt).first()


def job_snapshot(job_id: uuid.UUID) -> dict[str, Any] | None:
    """What a live page shows of a job's state; None when it is gone. The caller has checked who may see it."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        return None
    return {
        "type": "job",
        "job_id": job.public_id,
        "status": job.status,
        "progress": job.progress,
        "message": job.message,
        "waiting": waiting_message(job),
        "attempt": job.attempt,
        "eta_seconds": remaining_seconds(job, last_attempt(job)),
        "error": job.error,
    }


def log_lines(job: Job, *, after: int = 0, limit: int = 1000) -> list[LogLine] | list[JobLogLine]:
    """The job's log after `after`, oldest first: its run's where it has one, else its own."""
    if job.run_id:
        return list(LogLine.objects.filter(run_id=job.run_id, seq__gt=after).order_by("seq")[:limit])
    return list(JobLogLine.objects.filter(job_id=job.pk, seq__gt=after).order_by("seq")[:limit])
