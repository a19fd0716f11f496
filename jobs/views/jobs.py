"""The jobs' list, a job's page, and the acts on one job."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from automl_site.errors import DomainError, InvalidSpec
from automl_site.streaming import streamed
from jobs import snippets
from jobs.models import Job, JobStatus, Worker
from jobs.routing import QUEUES
from jobs.selectors.jobs import job_get, job_list, last_attempt, log_lines, status_counts
from jobs.selectors.queues import queue_states
from jobs.selectors.scheduling import live_workers, remaining_seconds, waiting_message, waiting_messages
from jobs.services.control import job_cancel, job_resume, job_run_again
from jobs.services.submission import available_model_types

PAGE = 50
LOG_TAIL = 1000
LOG_CHUNK = 1000  # lines read at once for the whole log
REPEATS = 10  # newest jobs that repeat a job, which its page links to
EXPORT_CHUNK = 500  # jobs read at once for the CSV
EXPORTED = (
    "job_id",
    "kind",
    "model_type",
    "status",
    "progress",
    "queue",
    "created_at",
    "started_at",
    "ended_at",
    "error",
)


def list_filters(given: QueryDict) -> dict[str, Any]:
    """The list's state, all of it from the query of its address; what is not known there is left out."""
    status = given.get("status", "")
    return {
        "statuses": [status] if status in JobStatus.values else [],
        "kind": given.get("kind", "") if given.get("kind") in Job.Kind.values else "",
        "model_type": given.get("model_type", "")[:100].replace("\x00", ""),
        "queue": given.get("queue", "") if given.get("queue") in QUEUES else "",
        "query": given.get("q", "").replace("\x00", "").strip()[:200],
    }


def with_waiting(rows: list[Job], workers: Sequence[Worker]) -> list[Job]:
    """These jobs, each with `waiting`: why it has not begun, as a list of jobs shows it."""
    messages_by_job = waiting_messages(rows, workers)
    for row in rows:
        row.waiting = messages_by_job[row.pk]
    return rows


@login_required
@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    filters = list_filters(request.GET)
    page = Paginator(job_list(user=request.user, **filters), PAGE).get_page(request.GET.get("page"))
    workers = live_workers()
    rows = with_waiting(list(page), workers)
    queues = queue_states(workers)
    seen = _digest([[str(j.pk), j.status, j.progress, j.message, j.waiting] for j in rows], queues)
    if request.htmx and request.GET.get("seen") == seen:
        return HttpResponse(status=204)  # nothing moved: the page keeps what it shows, without a flicker
    context = {
        "page_obj": page,
        "queues": queues,
        "workers": workers,
        "seen": seen,
        "filtered": any(filters.values()),
    }
    if request.htmx:
        return render(request, "jobs/_job_table.html", context)
    address = request.GET.copy()
    address.pop("seen", None)
    context |= {
        "filters": filters,
        "address": address.urlencode(),
        "status": request.GET.get("status", ""),
        "queue": QUEUES.get(filters["queue"]),
        "counts": status_counts(request.user),
        "kinds": Job.Kind.values,
        "model_types": available_model_types(),
    }
    return render(request, "jobs/job_list.html", context)


def _digest(rows: list[list[Any]], queues: list[Any]) -> str:
    state = [rows, [[q.spec.name, q.pending, q.running, len(q.workers)] for q in queues]]
    return hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:16]


@login_required
@require_GET
def export(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV, streamed."""
    rows = job_list(user=request.user, **list_filters(request.GET)).iterator(chunk_size=EXPORT_CHUNK)

    def chunks() -> Iterator[str]:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(EXPORTED)
        while chunk := list(islice(rows, EXPORT_CHUNK)):
            for job in chunk:
                values = [job.public_id, *(getattr(job, name) for name in EXPORTED[1:])]
                writer.writerow([_csv_safe(value) for value in values])
            yield text.getvalue()
            text.seek(0)
            text.truncate()
        yield text.getvalue()  # the header of an empty list

    return streamed(request, chunks(), headers=_file_headers("jobs.csv", "text/csv"))


def _csv_safe(value: Any) -> str:
    """A cell that a spreadsheet takes for a formula is told to be text."""
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@login_required
@require_GET
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    shown = job_get(user=request.user, job_id=str(job_id))
    attempt = last_attempt(shown)
    lines = log_lines(shown, after=_tail_start(shown), limit=LOG_TAIL)
    context = {
        "job": shown,
        "attempts": list(shown.attempts.order_by("number")),
        "origin": _seen_origin(request, shown),
        "repeats": list(job_list(user=request.user).filter(retry_of=shown)[:REPEATS]),
        "waiting": waiting_message(shown),
        "eta": remaining_seconds(shown, attempt),
        "lines": lines,
        "last_id": lines[-1].seq if lines else 0,
        "may_change": Job.objects.changeable_by(request.user).filter(pk=shown.pk).exists(),
        "spec": QUEUES.get(shown.queue),
        "curl": snippets.job_as_curl(shown, request.build_absolute_uri("/")),
        "python": snippets.job_as_python(shown, request.build_absolute_uri("/")),
    }
    return render(request, "jobs/job_detail.html", context)


def _seen_origin(request: HttpRequest, shown: Job) -> Job | None:
    """The job that this one repeats, where the user may see it."""
    if shown.retry_of_id is None:
        return None
    return job_list(user=request.user).filter(pk=shown.retry_of_id).first()


def _tail_start(job: Job) -> int:
    """The `seq` before the last LOG_TAIL lines of the job's log."""
    manager = job.run.log_lines if job.run_id else job.log_lines
    tail = manager.order_by("-seq").values_list("seq", flat=True)[LOG_TAIL - 1 : LOG_TAIL]
    return (tail[0] - 1) if tail else 0


@login_required
@require_GET
def log_text(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    """The whole log as text."""
    shown = job_get(user=request.user, job_id=str(job_id))

    def chunks() -> Iterator[str]:
        after = 0
        while lines := log_lines(shown, after=after, limit=LOG_CHUNK):
            yield "".join(f"{line.time:%Y-%m-%dT%H:%M:%S.%fZ} {line.level:<5} {line.message}\n" for line in lines)
            after = lines[-1].seq

    return streamed(request, chunks(), headers=_file_headers(f"{shown.public_id}.log", "text/plain"))


def _file_headers(filename: str, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": f"{content_type}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }


@login_required
@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    shown = job_get(user=request.user, job_id=str(job_id))
    try:
        job_cancel(user=request.user, job=shown)
        messages.success(request, "The job was cancelled. Its processes end within a few seconds.")
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("job", job_id=shown.pk)


@login_required
@require_POST
def again(request: HttpRequest, job_id: UUID) -> HttpResponse:
    shown = job_get(user=request.user, job_id=str(job_id))
    try:
        new = job_run_again(user=request.user, job=shown)
    except DomainError as error:
        messages.error(request, error.first_sentence() if isinstance(error, InvalidSpec) else error.message)
        return redirect("job", job_id=shown.pk)
    messages.success(request, "The same order was submitted again as a new job.")
    return redirect("job", job_id=new.pk)


@login_required
@require_POST
def resume(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """A new job that goes on from the last checkpoint of this one, which was cancelled or has failed."""
    shown = job_get(user=request.user, job_id=str(job_id))
    try:
        new = job_resume(user=request.user, job=shown)
    except DomainError as error:
        messages.error(request, error.first_sentence() if isinstance(error, InvalidSpec) else error.message)
        return redirect("job", job_id=shown.pk)
    messages.success(request, "Submitted as a new job, which goes on from the last checkpoint.")
    return redirect("job", job_id=new.pk)
