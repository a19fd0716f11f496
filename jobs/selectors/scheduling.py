"""Which job is next, and why a pending one has not begun."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs.models import Attempt, Job, JobStatus, Worker
from jobs.routing import QUEUES, QueueSpec
from jobs.selectors.positions import queue_position, queue_positions
from jobs.selectors.shares import Share, running_trainings, shares
from tracking.models import User

# How many rows one look at a queue brings: a worker that loses the race for the first tries the others.
CANDIDATES = 8
SIMILAR_JOBS = 50
# What a worker needs of a job that it claims, in the model's order.
_CLAIMED_FIELDS = (
    "id", "model_type", "queue", "owner_id", "run_id", "requires_gpu", "attempt", "timeout_seconds"
)  # fmt: skip
# Seconds, said to the user only where no similar job has finished yet.
DEFAULT_SECONDS = {"training": 60.0, "inference": 2.0}


def next_pending(queue_names: Sequence[str], *, gpus: int = 0) -> list[Job]:
    """The pending jobs to claim next, best first: highest priority, then the owner who has had least, then the oldest.

    "Had least" is the number of the owner's running jobs, then how long ago one of them was started: with one worker it
    is a round robin, so that one user's thousand jobs do not hold up another's one. Who has as many trainings running
    as allowed is left out, and so are jobs that need more than the worker's `gpus`. Of each job _CLAIMED_FIELDS are
    loaded.
    """
    waiting = _highest_priorities(queue_names, gpus)
    if not waiting:
        return []
    limit = 0 if QUEUES[queue_names[0]].inference else settings.JOBS["max_running_per_user"]
    if len(waiting) == 1 and not limit:
        return _candidates(queue_names, *waiting.popitem(), gpus=gpus, limit=CANDIDATES)
    had = shares(list(waiting), queue_names)
    allowed = [owner_id for owner_id in waiting if not limit or had[owner_id].trainings < limit]
    top = max((waiting[owner_id] for owner_id in allowed), default=0)
    best = sorted((owner_id for owner_id in allowed if waiting[owner_id] == top), key=lambda owner: had[owner].order)
    each = CANDIDATES // min(len(best), 2) if best else 0
    return [job for owner_id in best[:2] for job in _candidates(queue_names, owner_id, top, gpus=gpus, limit=each)]


def may_begin(job: Job) -> bool:
    """Whether its owner's limit of running trainings leaves room for this one.

    Ask within the transaction that begins it: until that ends, no other training of this owner begins.
    """
    limit = settings.JOBS["max_running_per_user"]
    if not limit or QUEUES[job.queue].inference:
        return True
    list(User.objects.select_for_update(no_key=True).filter(pk=job.owner_id).order_by().values_list("pk"))
    return running_trainings(job.owner_id) < limit


def _highest_priorities(queue_names: Sequence[str], gpus: int) -> dict[int, int]:
    """owner's pk -> the highest priority among the owner's pending jobs in these queues.

    By hand, as `_candidates`: each claim asks this, and Django builds it ten times as long as it runs. It goes from
    owner to owner along the index of pending jobs, so it takes time by the number of owners, not of jobs.
    """
    table = Job._meta.db_table
    pending = f"FROM {table} WHERE status = '{JobStatus.PENDING}'"
    columns = ", ".join(
        f"(SELECT MAX(priority) {pending} AND owner_id = owners.id AND queue = %s{_fits(name, gpus)})"
        for name in queue_names
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE owners(id) AS (SELECT MIN(owner_id) {pending} UNION ALL SELECT "  # noqa: S608
            f"(SELECT MIN(owner_id) {pending} AND owner_id > owners.id) FROM owners WHERE owners.id IS NOT NULL) "
            f"SELECT owners.id, {columns} FROM owners WHERE owners.id IS NOT NULL",
            list(queue_names),
        )
        rows = cursor.fetchall()
    found = {owner_id: [priority for priority in each if priority is not None] for owner_id, *each in rows}
    return {owner_id: max(priorities) for owner_id, priorities in found.items() if priorities}


def _candidates(queue_names: Sequence[str], owner_id: int, priority: int, *, gpus: int, limit: int) -> list[Job]:
    """The owner's oldest pending jobs of that priority in these queues."""
    fields = ", ".join(_CLAIMED_FIELDS)
    # A query a queue: only one queue's rows lie in the order of their age.
    of_queues = [
        f"SELECT * FROM (SELECT created_at, {fields} FROM {Job._meta.db_table} "  # noqa: S608
        f"WHERE status = '{JobStatus.PENDING}' AND owner_id = %s AND queue = %s AND priority = %s{_fits(name, gpus)} "
        f"ORDER BY created_at, id LIMIT {limit}) AS of_queue"
        for name in queue_names
    ]
    values = [value for name in queue_names for value in (owner_id, name, priority)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(of_queues), values)
        rows = sorted(cursor.fetchall(), key=lambda row: row[:2])[:limit]
    to_uuid = Job._meta.pk.to_python  # SQLite has neither UUIDs nor booleans
    return [
        Job.from_db(connection.alias, _CLAIMED_FIELDS, (to_uuid(pk), model_type, queue, owner, run, bool(gpu), *rest))
        for _, pk, model_type, queue, owner, run, gpu, *rest in rows
    ]


def _fits(queue: str, gpus: int) -> str:
    """The condition that a worker with so many GPUs can run a job of that queue."""
    return f" AND gpus <= {int(gpus)}" if QUEUES[queue].gpu else ""


def live_workers() -> list[Worker]:
    """Workers whose heartbeat is fresh by the database's clock."""
    from jobs.lifecycle import database_now

    fresh = database_now() - timedelta(seconds=settings.JOBS["dead_after"])
    return list(Worker.objects.filter(heartbeat_at__gte=fresh).exclude(state=Worker.State.STOPPED))


def waiting_message(job: Job) -> str:
    """Why a pending job has not begun: "queued, 3rd, waits for a Scikit-learn worker". Empty for other states."""
    if job.status != JobStatus.PENDING:
        return ""
    return f"queued, {ordinal(queue_position(job))}{_what_it_waits_for(job, live_workers(), _limited([job]))}"


def waiting_messages(jobs: Sequence[Job], workers: Sequence[Worker]) -> dict[UUID, str]:
    """job's pk -> its `waiting_message`, of a page of jobs; `workers` are the live ones. Few queries for any number."""
    pending = [job for job in jobs if job.status == JobStatus.PENDING]
    positions = queue_positions(pending) if pending else {}
    limited = _limited(pending)
    messages = {job.pk: "" for job in jobs}
    for job in pending:
        # One that was claimed since it was read has no place any more.
        place = f", {ordinal(positions[job.pk])}" if job.pk in positions else ""
        messages[job.pk] = f"queued{place}{_what_it_waits_for(job, workers, limited)}"
    return messages


def _limited(jobs: Sequence[Job]) -> Mapping[int, Share]:
    """owner's pk -> what the owner has; of these jobs' owners, those with as many trainings running as allowed."""
    limit = settings.JOBS["max_running_per_user"]
    owners = list({job.owner_id for job in jobs}) if limit else []
    return {owner: share for owner, share in shares(owners).items() if share.trainings >= limit} if owners else {}


def _what_it_waits_for(job: Job, workers: Sequence[Worker], limited: Mapping[int, Share]) -> str:
    spec = QUEUES.get(job.queue) or QueueSpec(job.queue, "", job.queue)
    serving = [worker for worker in workers if job.queue in worker.queues]
    if not serving:
        return f"; no live worker serves the {spec.title} queue ({spec.name}): {_how_to_start(spec)}"
    if job.owner_id in limited and not spec.inference:
        running = limited[job.owner_id].trainings
        return f", waits until one of its owner's {running} running trainings ends: more are not allowed at a time"
    if spec.gpu and job.gpus > (most := max(worker.gpus for worker in serving)):
        return (
            f"; it needs {job.gpus} GPUs, and the largest {spec.title} worker has {most}: start one with "
            f"manage.py up --only worker --gpus-per-worker {job.gpus}"
        )
    if all(worker.state == Worker.State.BUSY for worker in serving):
        busy = "the only one is busy" if len(serving) == 1 else f"all {len(serving)} are busy"
        return f", waits for a {spec.title} worker ({busy})"
    return f", a {spec.title} worker will take it in a moment"


def _how_to_start(spec: QueueSpec) -> str:
    where = " on a machine with a GPU" if spec.gpu else ""
    install = "" if spec.setup == "sklearn" else f"make {spec.setup}, then "
    return f"start one{where} with {install}manage.py up --only worker (on one machine alone: {install}make run)"


def ordinal(number: int) -> str:
    """1 -> "1st", 2 -> "2nd", 11 -> "11th"."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def estimated_seconds(*, kind: str, model_type: str) -> float:
    """The median time of the last similar jobs that were completed; a stated default where there are none."""
    done = Job.objects.filter(kind=kind, model_type=model_type, status=JobStatus.COMPLETED, started_at__isnull=False)
    times = [
        (ended - started).total_seconds()
        for started, ended in done.order_by("-ended_at").values_list("started_at", "ended_at")[:SIMILAR_JOBS]
        if started and ended
    ]
    return median(times) if times else DEFAULT_SECONDS[kind]


def remaining_seconds(job: Job, attempt: Attempt | None) -> float | None:
    """Time left of a running job from its own rate, of all its attempts; None while that says nothing yet."""
    if job.status != JobStatus.RUNNING or attempt is None or job.progress < 0.02:
        return None
    elapsed = (timezone.now() - attempt.started_at).total_seconds()
    if attempt.number > 1:  # it went on from what the earlier ones had done
        earlier = Attempt.objects.filter(job=job, number__lt=attempt.number).values_list("started_at", "ended_at")
        elapsed += sum((ended - started).total_seconds() for started, ended in earlier if ended)
    return max(elapsed / job.progress * (1.0 - job.progress), 0.0)
