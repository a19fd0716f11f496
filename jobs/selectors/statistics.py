"""What has become of the jobs: how many ended, how, how long they took and waited. Counted by the database.

Times are told by the platform's rows: a job waits from its submission to its first attempt, and takes from there to its
end, with what was lost in between.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import CharField, Count, F, FloatField, Func, Min, Q, QuerySet, Sum, Window
from django.db.models.functions import RowNumber

from jobs.models import FINAL_STATUSES, Job, JobStatus
from trainers.registry import TRAINERS

HOUR = timedelta(hours=1)
MEDIAN_OF = 5000  # jobs: all that ended in a day would have to be sorted
LISTED_TYPES = 50  # model types: users name others than the platform's own, right or wrong
OTHER_TYPES = "other"  # what a monitoring system gets for all of those: each name would be series of their own for ever
# Upper bounds in seconds: from an inference to a training of a day.
DURATION_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)


class Seconds(Func):
    """How many seconds the first moment is after the second. (Django's difference calls Python a row on SQLite.)"""

    arity = 2
    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "((JULIANDAY(%(expressions)s)) * 86400.0)"
        return super().as_sql(compiler, connection, template=template, arg_joiner=") - JULIANDAY(", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "EXTRACT(EPOCH FROM (%(expressions)s))::float8"
        return super().as_sql(compiler, connection, template=template, arg_joiner=" - ", **extra)


class Hour(Func):
    """The hour in UTC as text: "2026-11-21 06". (Django's TruncHour calls Python for each row on SQLite.)"""

    arity = 1
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="SUBSTR(%(expressions)s, 1, 13)", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "TO_CHAR(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        return super().as_sql(compiler, connection, template=template, **extra)


WAITED = Seconds(F("started_at"), F("created_at"))
TOOK = Seconds(F("ended_at"), F("started_at"))
STATUS_COUNTS = {str(status): Count("status", filter=Q(status=status)) for status in FINAL_STATUSES}


@dataclass(frozen=True)
class Outcomes:
    """How many jobs ended how."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.cancelled

    @property
    def failure_rate(self) -> float | None:
        """The share that failed of those that were not cancelled; None where there are none."""
        ended = self.completed + self.failed
        return self.failed / ended if ended else None


@dataclass(frozen=True)
class HourOfJobs:
    start: datetime
    outcomes: Outcomes


@dataclass(frozen=True)
class TypeOfJobs:
    """The jobs of one model type and kind that ended in the period."""

    model_type: str
    kind: str
    outcomes: Outcomes
    mean_seconds: float | None  # of those that completed


@dataclass(frozen=True)
class QueueOfJobs:
    """The jobs of one queue that ended in the period."""

    name: str
    outcomes: Outcomes
    median_wait: float | None  # seconds; None where none of them had begun


@dataclass(frozen=True)
class Statistics:
    """Of the jobs that ended since `since`, by whomever they were submitted. Each list has the most frequent first."""

    since: datetime
    hours: Sequence[HourOfJobs]  # in the order of time, hours without any among them
    types: Sequence[TypeOfJobs]  # at most LISTED_TYPES
    queues: Sequence[QueueOfJobs]
    total: Outcomes
    failures: Sequence[tuple[str, int]]  # (why, in words; how many)


def statistics(*, now: datetime, hours: int = 24) -> Statistics:
    """The last `hours` hours by the clock, the present one included. Four queries over the jobs that ended in them."""
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - (hours - 1) * HOUR
    ended = Job.objects.filter(ended_at__gte=first).order_by()
    rows: Any = ended.values("queue", "model_type", "kind").annotate(
        **STATUS_COUNTS, seconds=Sum(TOOK, filter=Q(status=JobStatus.COMPLETED))
    )
    groups = [_Group(**row) for row in rows]
    return Statistics(
        since=first,
        hours=_hours(ended, first, hours),
        types=_types(groups),
        queues=_queues(groups, _median_waits(ended)),
        total=_together(groups),
        failures=_failures(ended),
    )


@dataclass(frozen=True)
class _Group:
    queue: str
    model_type: str
    kind: str
    completed: int
    failed: int
    cancelled: int
    seconds: float | None


def _together(groups: Sequence[_Group]) -> Outcomes:
    return Outcomes(*(sum(getattr(group, name) for group in groups) for name in STATUS_COUNTS))


def _types(groups: Sequence[_Group]) -> list[TypeOfJobs]:
    by_type: dict[tuple[str, str], list[_Group]] = defaultdict(list)
    for group in groups:
        by_type[group.model_type, group.kind].append(group)
    types = []
    for (model_type, kind), members in by_type.items():
        outcomes = _together(members)
        seconds = sum(member.seconds or 0.0 for member in members)
        mean = seconds / outcomes.completed if outcomes.completed else None
        types.append(TypeOfJobs(model_type, kind, outcomes, mean))
    types.sort(key=lambda each: (-each.outcomes.ended, each.model_type, each.kind))
    return types[:LISTED_TYPES]


def _queues(groups: Sequence[_Group], median_waits: Mapping[str, float]) -> list[QueueOfJobs]:
    by_queue: dict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        by_queue[group.queue].append(group)
    queues = [QueueOfJobs(name, _together(members), median_waits.get(name)) for name, members in by_queue.items()]
    return sorted(queues, key=lambda each: (-each.outcomes.ended, each.name))


def _hours(ended: QuerySet[Job], first: datetime, hours: int) -> list[HourOfJobs]:
    rows: Any = ended.annotate(hour=Hour("ended_at")).values("hour").annotate(**STATUS_COUNTS)
    counts = {row.pop("hour"): Outcomes(**row) for row in rows}
    starts = [first + number * HOUR for number in range(hours)]
    return [HourOfJobs(start, counts.get(f"{start:%Y-%m-%d %H}", Outcomes())) for start in starts]


def _median_waits(ended: QuerySet[Job]) -> dict[str, float]:
    """Of the newest jobs of each queue, by the rank of each wait in it: neither SQLite nor Django has a median."""
    newest = ended.order_by("-ended_at").values("pk")[:MEDIAN_OF]
    ranked = (
        Job.objects.filter(pk__in=newest, started_at__isnull=False)
        .order_by()
        .annotate(
            waited=WAITED,
            rank=Window(RowNumber(), partition_by=[F("queue")], order_by=[WAITED.asc()]),
            size=Window(Count("pk"), partition_by=[F("queue")]),
        )
    )
    middle = ranked.filter(rank__gte=F("size") / 2.0, rank__lte=F("size") / 2.0 + 1).values_list("queue", "waited")
    waits: dict[str, list[float]] = defaultdict(list)
    for queue, waited in middle:
        waits[queue].append(waited)
    return {queue: max(sum(middles) / len(middles), 0.0) for queue, middles in waits.items()}


def _failures(ended: QuerySet[Job]) -> list[tuple[str, int]]:
    words = dict(Job.ErrorKind.choices)
    rows = ended.filter(status=JobStatus.FAILED).values_list("error_kind").annotate(n=Count("pk"))
    return [(str(words.get(kind, kind)), count) for kind, count in sorted(rows, key=lambda row: -row[1])]


# --- Of all jobs that there are: what a monitoring system gathers -----------------------------------------------------


@dataclass(frozen=True)
class Durations:
    """The jobs of one model type and kind that have ended, and how long those of them took that had begun."""

    model_type: str
    kind: str
    status: str
    jobs: int
    begun: int
    seconds: float
    within: Sequence[int]  # how many took no longer than each of DURATION_BUCKETS


def durations() -> list[Durations]:
    """Of every model type of the platform's own (the others together), kind and final status.

    One query, of the index `job_similar` alone.
    """
    within = {
        f"within_{number}": Count("status", filter=Q(took__lte=top)) for number, top in enumerate(DURATION_BUCKETS)
    }
    rows: Any = (
        Job.objects.order_by()  # those that live are left out below: a condition would lead away from the index
        .annotate(took=TOOK)
        .values("model_type", "kind", "status")
        .annotate(jobs=Count("status"), begun=Count("started_at"), seconds=Sum("took"), **within)
    )
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["status"] in FINAL_STATUSES:
            model_type = row["model_type"] if row["model_type"] in TRAINERS else OTHER_TYPES
            groups[model_type, row["kind"], row["status"]].append(row)
    return [
        Durations(
            model_type=model_type,
            kind=kind,
            status=status,
            jobs=sum(row["jobs"] for row in members),
            begun=sum(row["begun"] for row in members),
            seconds=sum(row["seconds"] or 0.0 for row in members),
            within=[sum(row[name] for row in members) for name in within],
        )
        for (model_type, kind, status), members in groups.items()
    ]


@dataclass(frozen=True)
class LiveCount:
    """The jobs of one queue that are pending, or running."""

    queue: str
    status: str
    jobs: int
    oldest: datetime  # submission of the first of them


def live_counts() -> list[LiveCount]:
    """Of every queue that has any. One query."""
    live = Job.objects.live().order_by().values("queue", "status")
    return [LiveCount(**row) for row in live.annotate(jobs=Count("pk"), oldest=Min("created_at"))]
