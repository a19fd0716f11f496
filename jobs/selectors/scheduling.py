"""Which job is next, and where a pending one stands."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, OuterRef, Q, Subquery
from django.utils import timezone

from jobs.models import Attempt, Job, JobStatus, Worker
from jobs.routing import QUEUES
from tracking.models import User

# How many rows one look at a queue brings: a worker that loses the race for the first tries the others.
CANDIDATES = 8
SIMILAR_JOBS = 50
# What a worker needs of a job that it claims, in the model's order.
_CLAIMED_FIELDS = ("id", "queue", "owner_id", "run_id", "requires_gpu", "attempt", "timeout_seconds")
# Seconds, said to the user only where no similar job has finished yet.
DEFAULT_SECONDS = {"training": 60.0, "inference": 2.0}


def next_pending(queue_names: Sequence[str]) -> list[Job]:
    """The pending jobs to claim next, best first: highest priority, then the owner who has had least, then the oldest.

    "Had least" is the number of the owner's running jobs, then how long ago one of them was started: with one worker it
    is a round robin, so that one user's thousand jobs do not hold up another's one. Of each job _CLAIMED_FIELDS are
    loaded.
    """
    pending = f"status = '{JobStatus.PENDING}' AND queue IN ({', '.join(['%s'] * len(queue_names))})"
    with connection.cursor() as cursor:
        # By hand, here and in `_candidates`: each claim asks this, and Django builds it ten times as long as it runs.
        cursor.execute(
            f"SELECT owner_id, MAX(priority) FROM {Job._meta.db_table} WHERE {pending} GROUP BY owner_id",  # noqa: S608
            list(queue_names),
        )
        waiting = cursor.fetchall()
    if not waiting:
        return []
    top = max(priority for _, priority in waiting)
    owners = [owner_id for owner_id, priority in waiting if priority == top]
    if len(owners) == 1:
        return _candidates(f"{pending} AND priority = %s", [*queue_names, top], limit=CANDIDATES)
    best = owners_by_share(owners, queue_names)
    candidates: list[Job] = []
    for owner_id in best[:2]:
        condition = f"{pending} AND priority = %s AND owner_id = %s"
        candidates += _candidates(condition, [*queue_names, top, owner_id], limit=CANDIDATES // 2)
    return candidates


def _candidates(condition: str, values: Sequence[Any], *, limit: int) -> list[Job]:
    """The oldest jobs for which `condition` (SQL, its values) holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(_CLAIMED_FIELDS)} FROM {Job._meta.db_table} "  # noqa: S608
            f"WHERE {condition} ORDER BY created_at, id LIMIT {limit}",
            values,
        )
        rows = cursor.fetchall()
    to_uuid = Job._meta.pk.to_python  # SQLite has neither UUIDs nor booleans
    return [
        Job.from_db(connection.alias, _CLAIMED_FIELDS, (to_uuid(pk), queue, owner, run, bool(gpu), *rest))
        for pk, queue, owner, run, gpu, *rest in rows
    ]


def owners_by_share(owner_ids: Sequence[int], queue_names: Sequence[str]) -> list[int]:
    """These users, the one who has had the least of the queues first."""
    theirs = Job.objects.filter(queue__in=queue_names, owner_id=OuterRef("pk")).order_by()
    running = theirs.filter(status=JobStatus.RUNNING).values("owner_id").annotate(n=Count("pk")).values("n")
    last = theirs.filter(started_at__isnull=False).order_by("-started_at").values("started_at")[:1]
    rows = (
        User.objects.filter(pk__in=owner_ids)
        .annotate(running=Subquery(running), last=Subquery(last))
        .values_list("pk", "running", "last")
    )
    return [pk for pk, _, _ in sorted(rows, key=lambda row: (row[1] or 0, row[2] is not None, row[2] or 0, row[0]))]


def queue_position(job: Job) -> int:
    """1 for the next of its queue. An estimate where several users wait: their order is settled at the claim."""
    ahead = Job.objects.filter(queue=job.queue, status=JobStatus.PENDING).filter(
        Q(priority__gt=job.priority) | Q(priority=job.priority, created_at__lt=job.created_at)
    )
    return ahead.count() + 1


def queue_positions(jobs: Sequence[Job]) -> dict[UUID, int]:
    """job's pk -> its `queue_position`, without those that wait no longer. Two queries for any number of jobs.

    Nothing is ranked or sorted, however many others wait: of each queue and priority, the jobs before the first of
    these and between each and the next are counted, which are stretches of one index.
    """
    pending = Job.objects.filter(status=JobStatus.PENDING, pk__in=[job.pk for job in jobs]).order_by()
    created: dict[tuple[str, int], dict[UUID, datetime]] = defaultdict(dict)
    for pk, queue, priority, created_at in pending.values_list("pk", "queue", "priority", "created_at"):
        created[queue, priority][pk] = created_at
    stretches: list[tuple[str, list[Any]]] = []
    for (queue, priority), moments in created.items():
        stretches.append(("queue = %s AND priority > %s", [queue, priority]))
        for after, before in pairwise([None, *sorted(set(moments.values()))]):
            condition, values = "queue = %s AND priority = %s AND created_at < %s", [queue, priority, before]
            stretches.append((f"{condition} AND created_at >= %s", [*values, after]) if after else (condition, values))
    counts = iter(_pending_counts(stretches))
    positions = {}
    for moments in created.values():
        ahead = next(counts)
        places = {}
        for moment in sorted(set(moments.values())):
            ahead += next(counts)
            places[moment] = ahead + 1
        positions.update({pk: places[moment] for pk, moment in moments.items()})
    return positions


def _pending_counts(conditions: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
    """How many pending jobs each condition (SQL, its values) holds for, in one query.

    By hand: fifty querysets in a union take Django ten times as long to write down as SQLite to answer.
    """
    if not conditions:
        return []
    counts = [
        f"SELECT {number}, COUNT(*) FROM {Job._meta.db_table} WHERE status = '{JobStatus.PENDING}' AND {condition}"  # noqa: S608
        for number, (condition, _) in enumerate(conditions)
    ]
    adapt = connection.ops.adapt_datetimefield_value
    values = [adapt(value) if isinstance(value, datetime) else value for _, each in conditions for value in each]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts), values)
        return [count for _, count in sorted(cursor.fetchall())]


def live_workers() -> list[Worker]:
    """Workers whose heartbeat is fresh by the database's clock."""
    from jobs.lifecycle import database_now

    fresh = database_now() - timedelta(seconds=settings.JOBS["dead_after"])
    return list(Worker.objects.filter(heartbeat_at__gte=fresh).exclude(state=Worker.State.STOPPED))


def waiting_message(job: Job) -> str:
    """Why a pending job has not begun: "queued, 3rd, waits for a Scikit-learn worker". Empty for other states."""
    if job.status != JobStatus.PENDING:
        return ""
    return f"queued, {ordinal(queue_position(job))}{_what_it_waits_for(job.queue, live_workers())}"


def waiting_messages(jobs: Sequence[Job], workers: Sequence[Worker]) -> dict[UUID, str]:
    """job's pk -> its `waiting_message`, of a page of jobs; `workers` are the live ones. Two queries for any number."""
    pending = [job for job in jobs if job.status == JobStatus.PENDING]
    positions = queue_positions(pending) if pending else {}
    messages = {job.pk: "" for job in jobs}
    for job in pending:
        # One that was claimed since it was read has no place any more.
        place = f", {ordinal(positions[job.pk])}" if job.pk in positions else ""
        messages[job.pk] = f"queued{place}{_what_it_waits_for(job.queue, workers)}"
    return messages


def _what_it_waits_for(queue: str, workers: Sequence[Worker]) -> str:
    spec = QUEUES.get(queue)
    title = spec.title if spec else queue
    serving = [worker for worker in workers if queue in worker.queues]
    if not serving:
        return f"; no live worker serves the {title} queue ({queue}): start one with manage.py up --only worker"
    if all(worker.state == Worker.State.BUSY for worker in serving):
        busy = "the only one is busy" if len(serving) == 1 else f"all {len(serving)} are busy"
        return f", waits for a {title} worker ({busy})"
    return f", a {title} worker will take it in a moment"


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
