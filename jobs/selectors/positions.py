"""How many-th of its queue a pending job is, by priority and by its users' fair shares."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count

from jobs.models import Job, JobStatus
from jobs.selectors.shares import Share, shares


@dataclass(frozen=True)
class Lot:
    """Pending jobs of one queue, owner and priority: they are taken in the order of their age."""

    queue: str
    owner_id: int
    priority: int


def queue_position(job: Job) -> int:
    """1 for the next of its queue; see `queue_positions`. Of a job that waits no longer, 1."""
    return queue_positions([job]).get(job.pk, 1)


def queue_positions(jobs: Sequence[Job]) -> dict[UUID, int]:
    """job's pk -> how many-th of its queue it is, as things stand now; without those that wait no longer.

    It is what comes of `scheduling.next_pending` if no other job arrives and none ends: users take turns, those first
    who have fewer running. Three queries for any number of jobs, and two for each queue of several users; none sorts.
    """
    pending = Job.objects.filter(status=JobStatus.PENDING, pk__in=[job.pk for job in jobs]).order_by()
    lots: dict[Lot, dict[UUID, datetime]] = defaultdict(dict)
    for pk, queue, owner_id, priority, created_at in pending.values_list(
        "pk", "queue", "owner_id", "priority", "created_at"
    ):
        lots[Lot(queue, owner_id, priority)][pk] = created_at
    if not lots:
        return {}
    older = _older_of_their_own(lots)
    sizes = _sizes({lot.queue for lot in lots})
    had = {queue: _had(queue, {lot.owner_id for lot in [*lots, *others]}) for queue, others in sizes.items()}
    return {
        pk: _before(lot, older[pk], sizes[lot.queue], had[lot.queue]) + older[pk] + 1
        for lot, moments in lots.items()
        for pk in moments
    }


def _before(lot: Lot, older: int, sizes: Mapping[Lot, int], had: Mapping[int, Share]) -> int:
    """How many jobs of higher priority, and of other owners, come before one that has `older` ones in its own lot.

    It begins when its owner has `level` others running. Until then each other owner begins as many as lead there, and
    one more where that owner's turn comes first: who had more running joins in later, and so has waited longer.
    """
    mine = had[lot.owner_id]
    level = mine.running + older
    count = 0
    for other, size in sizes.items():
        if other.priority > lot.priority:
            count += size
        elif other.priority == lot.priority and other.owner_id != lot.owner_id:
            theirs = had[other.owner_id]
            is_first = theirs.running > mine.running or (theirs.running == mine.running and theirs.order < mine.order)
            count += min(max(level - theirs.running + is_first, 0), size)
    return count


def _sizes(queues: set[str]) -> dict[str, dict[Lot, int]]:
    """queue -> its lots and how many jobs wait in each."""
    found: dict[str, dict[Lot, int]] = {queue: {} for queue in queues}
    rows = Job.objects.filter(status=JobStatus.PENDING, queue__in=queues).order_by()
    for queue, owner_id, priority, count in rows.values_list("queue", "owner_id", "priority").annotate(n=Count("pk")):
        found[queue][Lot(queue, owner_id, priority)] = count
    return found


def _had(queue: str, owners: Set[int]) -> Mapping[int, Share]:
    """owner's pk -> what each of these has of the queue. Two queries where there are several."""
    return shares(list(owners), [queue]) if len(owners) > 1 else {owner: Share(owner, 0, 0) for owner in owners}


def _older_of_their_own(lots: Mapping[Lot, Mapping[UUID, datetime]]) -> dict[UUID, int]:
    """job's pk -> how many of its lot are older, counted in stretches: before the first, and from each to the next."""
    stretches: list[tuple[str, list[Any]]] = []
    for lot, moments in lots.items():
        of_lot, values = "owner_id = %s AND queue = %s AND priority = %s", [lot.owner_id, lot.queue, lot.priority]
        for after, before in pairwise([None, *sorted(set(moments.values()))]):
            condition = f"{of_lot} AND created_at < %s"
            if after is None:
                stretches.append((condition, [*values, before]))
            else:
                stretches.append((f"{condition} AND created_at >= %s", [*values, before, after]))
    counts = _pending_counts(stretches)
    return {pk: count for moments in lots.values() for pk, count in _ages(moments, counts)}


def _ages(moments: Mapping[UUID, datetime], counts: Iterator[int]) -> Iterator[tuple[UUID, int]]:
    """(job's pk, number of older ones), the next of `counts` being those of its lot's stretches."""
    older, place = 0, {}
    for moment in sorted(set(moments.values())):
        older += next(counts)
        place[moment] = older
    return ((pk, place[moment]) for pk, moment in moments.items())


def _pending_counts(conditions: Sequence[tuple[str, Sequence[Any]]]) -> Iterator[int]:
    """How many pending jobs each condition (SQL, its values) holds for, in one query.

    By hand: fifty querysets in a union take Django ten times as long to write down as SQLite to answer.
    """
    counts = [
        f"SELECT {number}, COUNT(*) FROM {Job._meta.db_table} WHERE status = '{JobStatus.PENDING}' AND {condition}"  # noqa: S608
        for number, (condition, _) in enumerate(conditions)
    ]
    adapt = connection.ops.adapt_datetimefield_value
    values = [adapt(value) if isinstance(value, datetime) else value for _, each in conditions for value in each]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts), values)
        return iter([count for _, count in sorted(cursor.fetchall())])
