"""The board: queues, workers, what waits and why, and what became of the jobs of the last day."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from jobs.lifecycle import database_now
from jobs.models import Job, Worker
from jobs.selectors.board import BoardQueue, BoardWorker, board_queues, board_workers, next_waiting
from jobs.selectors.scheduling import live_workers
from jobs.selectors.statistics import Statistics, statistics
from jobs.views.jobs import with_waiting

PARTS = {"now": "jobs/_board_now.html", "statistics": "jobs/_board_statistics.html"}
NEXT = 10  # pending jobs that are listed
QUIET_SECONDS = 6  # two heartbeats: a worker that was heard of since then is told to be heard of now


@login_required
@require_GET
def board(request: HttpRequest) -> HttpResponse:
    """The page; `?part=now` and `?part=statistics` are what it asks for again. 204 while nothing in it has moved.

    Numbers are of everybody's jobs; which job it is stands there only for who may see it.
    """
    part = request.GET.get("part", "") if request.htmx else ""
    part = part if part in PARTS else ""
    context: dict[str, Any] = {}
    if part != "statistics":
        context |= _now(request)
    if part != "now":
        context |= _statistics()
    if part and request.GET.get("seen") == context[f"{part}_seen"]:
        return HttpResponse(status=204)
    return render(request, PARTS.get(part, "jobs/board.html"), context)


def _now(request: HttpRequest) -> dict[str, Any]:
    workers = live_workers()
    queues = board_queues(workers)
    rows = board_workers(workers, request.user)
    waiting = with_waiting(next_waiting(request.user, NEXT), workers)
    now = database_now()
    for worker in workers:
        worker.heard = _heard(worker, now)
    return {
        "queues": queues,
        "rows": rows,
        "waiting": waiting,
        "running_limit": settings.JOBS["max_running_per_user"],
        "pending": sum(queue.pending for queue in queues),
        "running": sum(queue.running for queue in queues),
        "busy": sum(worker.state == Worker.State.BUSY for worker in workers),
        "now_seen": _digest(_told(queues, rows, waiting)),
    }


def _heard(worker: Worker, now: datetime) -> str:
    """How long ago the worker's last heartbeat was; both moments are by the database's clock."""
    seconds = (now - worker.heartbeat_at).total_seconds()
    return "just now" if seconds < QUIET_SECONDS else f"{seconds:.0f} s ago"


def _told(queues: Sequence[BoardQueue], rows: Sequence[BoardWorker], waiting: Sequence[Job]) -> list[Any]:
    return [
        [[queue.spec.name, queue.pending, queue.running, queue.busy, len(queue.workers)] for queue in queues],
        [[row.worker.pk, row.worker.state, row.worker.heard, row.may_see, *_work(row)] for row in rows],
        [[job.pk, job.waiting] for job in waiting],
    ]


def _work(row: BoardWorker) -> list[Any]:
    job = row.attempt.job if row.attempt else None
    return [job.pk, round(job.progress, 3), job.message] if job else []


def _statistics() -> dict[str, Any]:
    found: Statistics = statistics(now=database_now())
    told = [found.hours, found.types, found.queues, found.failures]
    return {"statistics": found, "statistics_seen": _digest(told)}


def _digest(state: list[Any]) -> str:
    return hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:16]
