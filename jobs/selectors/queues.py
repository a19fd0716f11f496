"""The state of queues and workers, for pages and the admin."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q

from jobs.models import Attempt, Job, JobStatus, Worker
from jobs.routing import DEFAULT_ROUTE, QUEUES, TABLE, QueueSpec
from jobs.selectors.jobs import BULKY
from jobs.selectors.scheduling import live_workers


@dataclass(frozen=True)
class QueueCounts:
    """The live jobs of one queue."""

    pending: int = 0
    running: int = 0
    oldest: datetime | None = None  # submission of the job that waits longest


def queue_counts() -> dict[str, QueueCounts]:
    """The live jobs by queue; a queue without any is left out. One query."""
    rows: Any = Job.objects.live().order_by().values("queue")
    counted = rows.annotate(
        pending=Count("pk", filter=Q(status=JobStatus.PENDING)),
        running=Count("pk", filter=Q(status=JobStatus.RUNNING)),
        oldest=Min("created_at", filter=Q(status=JobStatus.PENDING)),
    )
    return {row.pop("queue"): QueueCounts(**row) for row in counted}


@dataclass(frozen=True)
class QueueState:
    spec: QueueSpec
    pending: int
    running: int
    oldest: datetime | None  # submission of the job that waits longest
    workers: Sequence[Worker]


def queue_states(workers: Sequence[Worker] | None = None) -> list[QueueState]:
    """Every queue that has work or a live worker, in the routing table's order. Two queries."""
    workers = live_workers() if workers is None else workers
    counts = queue_counts()
    states = []
    for name, spec in QUEUES.items():
        serving = [worker for worker in workers if name in worker.queues]
        jobs = counts.get(name, QueueCounts())
        if serving or jobs.pending or jobs.running:
            states.append(QueueState(spec, jobs.pending, jobs.running, jobs.oldest, serving))
    return states


@dataclass(frozen=True)
class RoutedTo:
    """A line of the document's routing table, and the live workers of the queue that it names."""

    model_types: Sequence[str]  # none: all that stand in no other line
    requires_gpu: bool
    queue: QueueSpec
    workers: Sequence[Worker]


def routing_table(workers: Sequence[Worker]) -> list[RoutedTo]:
    """The document's routing table, line by line, with those of these workers that serve each line. No query."""
    return [
        RoutedTo(row.model_types, requires_gpu, spec, [worker for worker in workers if spec.name in worker.queues])
        for row in (*TABLE, DEFAULT_ROUTE)
        for requires_gpu, spec in ((False, row.cpu), (True, row.gpu))
    ]


def current_attempts(workers: Sequence[Worker]) -> dict[int, Attempt]:
    """What each of these workers is doing now: worker's pk -> attempt with its job and that one's model."""
    bulky = (*(f"job__{field}" for field in BULKY), "job__model__report", "job__model__schema")
    attempts = (
        Attempt.objects.filter(status=Attempt.Status.RUNNING, worker__in=workers)
        .select_related("job", "job__model")
        .defer(*bulky)
    )
    return {attempt.worker_id: attempt for attempt in attempts if attempt.worker_id is not None}
