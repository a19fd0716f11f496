"""The platform's figures for a monitoring system, at /metrics/prometheus."""

import math
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from automl_site.errors import Forbidden, Unauthenticated
from jobs.exposition import CONTENT_TYPE, Metric, Sample, exposition
from jobs.lifecycle import database_now
from jobs.models import FINAL_STATUSES, LIVE_STATUSES, JobStatus, Worker
from jobs.routing import QUEUES
from jobs.selectors.scheduling import live_workers
from jobs.selectors.statistics import DURATION_BUCKETS, Durations, LiveCount, durations, live_counts
from tracking.tokens import authenticate_token


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All figures, of everybody's jobs.

    Raises:
        Unauthenticated: no credentials, or wrong ones.
        Forbidden: those of somebody who is no operator.
    """
    _must_be_operator(request)
    now = database_now()
    ended = durations()
    live = live_counts()
    workers = live_workers()
    families = [*_queue_metrics(live, now), *_job_metrics(ended, live), *_worker_metrics(workers)]
    return HttpResponse(exposition(families), content_type=CONTENT_TYPE)


def _must_be_operator(request: HttpRequest) -> None:
    """AUTOML_METRICS_TOKEN as a bearer token, a staff user's token or API key, or a staff user's session."""
    header = request.headers.get("Authorization", "").strip()
    if not header:
        user = request.user
    else:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        known = settings.METRICS_TOKEN.encode()
        if known and secrets.compare_digest(token.encode(errors="replace"), known):
            return
        user = authenticate_token(token)
    if user is None or not user.is_authenticated:
        raise Unauthenticated
    if not user.is_staff:
        raise Forbidden


def _queue_metrics(live: Sequence[LiveCount], now: datetime) -> Iterator[Metric]:
    """Of every queue of the routing table, with or without jobs: a series that comes and goes cannot be alerted on."""
    jobs = Counter({(each.queue, each.status): each.jobs for each in live})
    oldest = {each.queue: each.oldest for each in live if each.status == JobStatus.PENDING}
    names = list(dict.fromkeys([*QUEUES, *(each.queue for each in live)]))
    yield Metric(
        "automl_queue_jobs",
        "gauge",
        "Jobs in a queue that wait (pending) or are worked on (running).",
        [
            Sample(jobs[name, str(status)], {"queue": name, "status": str(status)})
            for name in names
            for status in LIVE_STATUSES
        ],
    )
    ages = {name: max((now - oldest[name]).total_seconds(), 0.0) if name in oldest else 0.0 for name in names}
    yield Metric(
        "automl_queue_oldest_waiting_seconds",
        "gauge",
        "Age of the job of a queue that waits longest; 0 where none waits.",
        [Sample(age, {"queue": name}) for name, age in ages.items()],
    )


def _job_metrics(ended: Sequence[Durations], live: Sequence[LiveCount]) -> Iterator[Metric]:
    by_status = Counter({str(status): 0 for status in (*LIVE_STATUSES, *FINAL_STATUSES)})
    for waiting in live:
        by_status[waiting.status] += waiting.jobs
    for each in ended:
        by_status[each.status] += each.jobs
    yield Metric(
        "automl_jobs",
        "gauge",
        "Jobs in the database by their status.",
        [Sample(count, {"status": status}) for status, count in by_status.items()],
    )
    yield Metric(
        "automl_jobs_finished_total",
        "counter",
        "Jobs that have ended, by how. It falls where jobs are deleted with their owner or project.",
        [Sample(each.jobs, _labels(each)) for each in ended],
    )
    yield Metric(
        "automl_job_duration_seconds",
        "histogram",
        "Time from the first start of a job to its end, of the jobs that had begun.",
        [sample for each in ended if each.begun for sample in _histogram(each)],
    )


def _labels(each: Durations) -> dict[str, str]:
    return {"model_type": each.model_type, "kind": each.kind, "status": each.status}


def _histogram(each: Durations) -> Iterator[Sample]:
    labels = _labels(each)
    for top, count in zip((*DURATION_BUCKETS, math.inf), (*each.within, each.begun), strict=True):
        yield Sample(count, {**labels, "le": "+Inf" if math.isinf(top) else f"{top:g}"}, "_bucket")
    yield Sample(each.seconds, labels, "_sum")
    yield Sample(each.begun, labels, "_count")


def _worker_metrics(workers: Sequence[Worker]) -> Iterator[Metric]:
    states = Counter((name, worker.state) for worker in workers for name in worker.queues)
    yield Metric(
        "automl_workers",
        "gauge",
        "Live workers that serve a queue, by what they do; one that serves several is counted in each.",
        [
            Sample(states[name, str(state)], {"queue": name, "state": str(state)})
            for name in QUEUES
            for state in (Worker.State.IDLE, Worker.State.BUSY)
        ],
    )
    kinds = Counter((worker.kind, worker.state) for worker in workers)
    yield Metric(
        "automl_live_workers",
        "gauge",
        "Live workers, each counted once.",
        [
            Sample(kinds[str(kind), str(state)], {"kind": str(kind), "state": str(state)})
            for kind in Worker.Kind
            for state in (Worker.State.IDLE, Worker.State.BUSY)
        ],
    )
