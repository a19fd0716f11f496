"""The reconciler: makes the rows true again where a worker, a machine, Redis or the database was away.

Any number may run; one is active, by a lease. It judges attempts by their heartbeats and the database's clock. Whatever
it does is a conditional update, so that two which both think to be active do no harm.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from jobs import lifecycle, queue, workspace
from jobs.models import Job, JobStatus, Lease, Worker
from jobs.outages import OUTAGE, forget_connection
from jobs.selectors.shares import owners_at_limit
from jobs.services.artifact_trash import artifact_trash_sweep
from jobs.services.artifact_uploads import upload_sweep
from jobs.services.artifacts import blob_sweep
from jobs.services.idempotency import submission_key_sweep
from tracking.services.heartbeats import silent_runs_fail
from tracking.services.metrics import idempotency_sweep
from tracking.services.trash import trash_sweep

logger = logging.getLogger(__name__)

LEASE = "reconciler"
FORGET_WORKERS_AFTER = timedelta(days=1)
HOUSEKEEPING_EVERY = 60.0  # seconds
MAX_WAKE_UPS = 5_000  # put into a queue at a tick; the next ticks bring the rest
CLOCK_TOLERANCE = 1.0  # seconds by which the database's clock and ours may drift apart between two ticks


class Reconciler:
    """`tick` it every `settings.JOBS["reconcile"]` seconds."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._dead_after = float(settings.JOBS["dead_after"])
        # Nobody is judged before a full period of undisturbed ticks has gone by: what silenced the workers (a database
        # that was away, a machine that slept) silenced the heartbeats of healthy ones too.
        self._judge_from = time.monotonic() + self._dead_after
        self._run_silence = float(settings.JOBS["run_silence"])
        self._judge_runs_from = time.monotonic() + self._run_silence
        self._last_tick: tuple[float, datetime] | None = None  # our clock, the database's
        self._housekeeping_at = 0.0
        self._redis_away = False
        self.is_active = False  # holds the lease

    def run(self, wait: Callable[[float], None], is_over: Callable[[], bool]) -> None:
        """Tick until `is_over()`; `wait(seconds)` sleeps, but not beyond the signal that ends it."""
        pause = float(settings.JOBS["reconcile"])
        while not is_over():
            try:
                self.tick()
            except OUTAGE as error:
                self.disturbed(f"the database is away ({str(error).strip().partition(chr(10))[0]})")
                forget_connection()
                self._last_tick = None
            wait(pause)
        self._release()

    def run_once(self) -> None:
        """One round for an operator who knows that nothing was away: silent attempts are judged at once."""
        self._judge_from = self._judge_runs_from = 0.0
        self.tick()
        self._release()

    def tick(self) -> None:
        """One round. Raises what the database raises."""
        now = lifecycle.database_now()
        self._watch_clocks(now)
        if not self._hold_lease():
            return
        if time.monotonic() >= self._judge_from:
            self.lose_silent_attempts(now)
        if time.monotonic() >= self._judge_runs_from:
            self.fail_silent_runs(now)
        self.top_up_wake_ups()
        if time.monotonic() >= self._housekeeping_at:
            self._housekeeping_at = time.monotonic() + HOUSEKEEPING_EVERY
            self.forget_workers(now)
            trash_sweep()
            artifact_trash_sweep()
            upload_sweep()
            blob_sweep()
            idempotency_sweep()
            submission_key_sweep()
            workspace.remove_ended()

    def disturbed(self, reason: str) -> None:
        """Judge nobody for one full period from now."""
        if time.monotonic() >= self._judge_from:
            logger.warning("No attempt is judged for %g s: %s", self._dead_after, reason)
        self._judge_from = time.monotonic() + self._dead_after
        self._judge_runs_from = time.monotonic() + self._run_silence

    def lose_silent_attempts(self, now: datetime) -> None:
        """Attempts whose worker has not been heard of: queue their jobs again, or give them up."""
        since = now - timedelta(seconds=self._dead_after)
        for attempt in lifecycle.silent_attempts(since=since):
            reason = f"its worker {attempt.worker_name} has not been heard of for {self._dead_after:g} seconds"
            if lifecycle.lose(attempt=attempt, job=attempt.job, reason=reason, silent_since=since):
                logger.warning("Job %s: attempt %d is lost: %s", attempt.job_id, attempt.number, reason)
            elif not lifecycle.holds_claim(attempt=attempt):
                # The job was cancelled or moved on, and the worker died before it could close its attempt.
                lifecycle.attempt_stopped(attempt=attempt, reason=reason)

    def fail_silent_runs(self, now: datetime) -> None:
        """Runs logged from elsewhere whose heartbeats have ended. A job's run ends with its job."""
        in_jobs = Job.objects.live().filter(run__isnull=False).values("run_id")
        failed = silent_runs_fail(now=now, silence=timedelta(seconds=self._run_silence), spared=in_jobs)
        if failed:
            logger.warning("%d runs have failed: no heartbeat for %g seconds", failed, self._run_silence)

    def top_up_wake_ups(self) -> None:
        """As many wake-ups in each queue as it has pending jobs that may begin. Redis may be away: then later."""
        pending = Job.objects.filter(status=JobStatus.PENDING).exclude(
            kind=Job.Kind.TRAINING, owner__in=owners_at_limit()
        )
        try:
            for name, count in pending.order_by().values_list("queue").annotate(n=Count("pk")):
                missing = count - queue.wake_ups(name)
                if missing > 0 and not queue.wake(name, min(missing, MAX_WAKE_UPS)):
                    return
        except redis.RedisError as error:
            if not self._redis_away:
                logger.warning("Redis is away: %s", error)
            self._redis_away = True
        else:
            self._redis_away = False

    def forget_workers(self, now: datetime) -> None:
        """Rows of workers that were last heard of a day ago."""
        Worker.objects.filter(heartbeat_at__lt=now - FORGET_WORKERS_AFTER).delete()

    def _watch_clocks(self, now: datetime) -> None:
        if self._last_tick is not None:
            ours = time.monotonic() - self._last_tick[0]
            theirs = (now - self._last_tick[1]).total_seconds()
            if ours > self._dead_after or abs(theirs - ours) > max(CLOCK_TOLERANCE, self._dead_after / 4):
                self.disturbed(f"{ours:.0f} s went by since the last tick, {theirs:.0f} s on the database's clock")
        self._last_tick = time.monotonic(), now

    def _hold_lease(self) -> bool:
        """Take or renew the lease. The holder's is taken over once it has been silent."""
        silent = lifecycle.database_now() - timedelta(seconds=self._dead_after)
        mine = Lease.objects.filter(Q(holder=self.name) | Q(renewed_at__lt=silent), name=LEASE)
        held = bool(mine.update(holder=self.name, renewed_at=Now()))
        if not held and not Lease.objects.filter(name=LEASE).exists():
            try:
                with transaction.atomic():
                    Lease.objects.create(name=LEASE, holder=self.name, renewed_at=Now())
                held = True
            except IntegrityError:  # another one was faster
                held = False
        if held != self.is_active:
            logger.info("Reconciler %s is %s", self.name, "active" if held else "waiting: another one is active")
        self.is_active = held
        return held

    def _release(self) -> None:
        """Let another one take over without waiting."""
        try:
            Lease.objects.filter(name=LEASE, holder=self.name).delete()
        except OUTAGE:
            forget_connection()
