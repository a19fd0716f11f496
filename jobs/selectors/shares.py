"""What users have of the queues at a moment: the measure of who is next, and of the limit of running trainings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count

from jobs.models import Job, JobStatus
from jobs.routing import TRAINING_QUEUES
from tracking.models import User


@dataclass(frozen=True)
class Share:
    """Of one user: jobs that run in some queues, and when the last of those was started; trainings that run in all."""

    owner_id: int
    running: int
    trainings: int
    last_started: Any = None  # as the database gives it, a datetime or a text that sorts alike; None: never

    @property
    def order(self) -> tuple[int, bool, Any, int]:
        """Sorts those first who have had least."""
        return self.running, self.last_started is not None, self.last_started or 0, self.owner_id


def shares(owner_ids: Sequence[int], queue_names: Sequence[str] = ()) -> dict[int, Share]:
    """user's pk -> what that user has of these queues. Two queries, by hand: each claim among several users asks them.

    What runs is no more than there are workers: it is read whole, and not once for each user.
    """
    if not owner_ids:
        return {}
    job, user = Job._meta.db_table, User._meta.db_table
    # The last start of each queue by itself is one look at an index.
    last = "".join(
        f", (SELECT MAX(started_at) FROM {job} WHERE owner_id = {user}.id AND queue = %s)"  # noqa: S608
        for _ in queue_names
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT owner_id, queue FROM {job} WHERE status = '{JobStatus.RUNNING}'")  # noqa: S608
        running = cursor.fetchall()
        cursor.execute(
            f"SELECT id{last} FROM {user} WHERE id IN ({', '.join(['%s'] * len(owner_ids))})",  # noqa: S608
            [*queue_names, *owner_ids],
        )
        starts = {owner_id: [each for each in of_queues if each is not None] for owner_id, *of_queues in cursor}
    here = Counter(owner_id for owner_id, queue in running if queue in queue_names)
    trainings = Counter(owner_id for owner_id, queue in running if queue in TRAINING_QUEUES)
    return {
        owner_id: Share(owner_id, here[owner_id], trainings[owner_id], max(starts.get(owner_id, ()), default=None))
        for owner_id in owner_ids
    }


def running_trainings(owner_id: int) -> int:
    """How many trainings of that user run, in whatever queue."""
    return Job.objects.filter(status=JobStatus.RUNNING, owner_id=owner_id, queue__in=TRAINING_QUEUES).count()


def owners_at_limit() -> list[int]:
    """The users who have as many trainings running as they may (pks)."""
    limit = settings.JOBS["max_running_per_user"]
    if not limit:
        return []
    running = Job.objects.filter(status=JobStatus.RUNNING, queue__in=TRAINING_QUEUES).order_by()
    return list(
        running.values("owner_id").annotate(n=Count("pk")).filter(n__gte=limit).values_list("owner_id", flat=True)
    )
