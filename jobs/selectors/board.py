"""The board: every queue of the routing table with its work and its workers, and what each worker does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.models import Attempt, Job, JobStatus, Worker
from jobs.routing import DEFAULT_ROUTE, QUEUES, ROUTES, QueueSpec, Route
from jobs.selectors.jobs import job_list
from jobs.selectors.queues import QueueCounts, current_attempts, queue_counts
from tracking.models import User

NO_WORKER, ALL_BUSY = "no-worker", "busy"


@dataclass(frozen=True)
class BoardQueue:
    """A queue of the routing table, with or without work."""

    spec: QueueSpec
    model_types: Sequence[str]  # that the routing table sends here
    takes_others: bool  # the table sends whatever it does not name here
    pending: int
    running: int
    oldest: datetime | None  # submission of the job that waits longest
    workers: Sequence[Worker]

    @property
    def busy(self) -> int:
        return sum(worker.state == Worker.State.BUSY for worker in self.workers)

    @property
    def reason(self) -> str:
        """Why what is pending waits: NO_WORKER, ALL_BUSY, or "" where a worker is about to take it."""
        if not self.workers:
            return NO_WORKER
        return ALL_BUSY if self.busy == len(self.workers) else ""

    @property
    def command(self) -> str:
        """Starts a worker for the queue."""
        return start_command(self.spec)


@dataclass(frozen=True)
class BoardWorker:
    """A live worker and what it does; `may_see` says whether the user may see the job."""

    worker: Worker
    attempt: Attempt | None
    may_see: bool


def board_queues(workers: Sequence[Worker]) -> list[BoardQueue]:
    """Every queue, in the routing table's order; `workers` are the live ones. One query."""
    counts = queue_counts()
    queues = []
    for name, spec in QUEUES.items():
        jobs = counts.get(name, QueueCounts())
        queues.append(
            BoardQueue(
                spec=spec,
                model_types=[model_type for model_type, row in ROUTES.items() if _target(row, spec) == spec],
                takes_others=_target(DEFAULT_ROUTE, spec) == spec,
                pending=jobs.pending,
                running=jobs.running,
                oldest=jobs.oldest,
                workers=[worker for worker in workers if name in worker.queues],
            )
        )
    return queues


def _target(row: Route, spec: QueueSpec) -> QueueSpec:
    return row.gpu if spec.gpu else row.cpu


def board_workers(workers: Sequence[Worker], user: User) -> list[BoardWorker]:
    """What each of these live workers does, as far as `user` may see it. Two queries."""
    current = current_attempts(workers)
    jobs = [attempt.job_id for attempt in current.values()]
    visible = set(Job.objects.visible_to(user).filter(pk__in=jobs).values_list("pk", flat=True)) if jobs else set()
    rows = []
    for worker in workers:
        attempt = current.get(worker.pk)
        rows.append(BoardWorker(worker, attempt, may_see=attempt is not None and attempt.job_id in visible))
    return rows


def next_waiting(user: User, limit: int) -> list[Job]:
    """The user's pending jobs that are the first to be claimed, as far as the queues' order says."""
    pending = job_list(user=user, statuses=[JobStatus.PENDING])
    return list(pending.order_by("-priority", "created_at", "pk")[:limit])


def pending_count(queue: str) -> int:
    return Job.objects.filter(queue=queue, status=JobStatus.PENDING).count()


def start_command(spec: QueueSpec) -> str:
    """The commands that start a worker for this queue, in the platform's folder of a machine that can serve it."""
    kind = Worker.Kind.INFERENCE if spec.inference else Worker.Kind.TRAINING
    return f"make {spec.setup}\n.venv/bin/python manage.py worker --kind {kind} --queues {spec.name}"
