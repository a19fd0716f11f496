"""A forked child and its end: watched without delay, stopped by degrees, its whole process tree killed."""

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from django.conf import settings
from django.db import connections

from automl_site.errors import StorageError
from datasets_app.storage import get_storage
from jobs import lifecycle, processes, workspace
from jobs.failures import EXIT_BROKEN, Ended, Lost, of_exit
from jobs.models import FINAL_STATUSES, Attempt, Job, JobStatus
from jobs.outages import until_recorded
from jobs.reporter import StopFlag

logger = logging.getLogger(__name__)

# SIGTERM follows `should_stop` after this part of the grace: a trainer that looks needs no interruption.
TERM_AFTER = 0.5
_PARENTS: list[object] = []  # the parent's connections in a child: kept, since dropping one would close it
LAST_TRIES = 2.0  # seconds for which a worker that was told to end tries to reach the database


class StopRequested(Exception):
    """Raised by the handler of SIGTERM where the process only waits."""


class StopSignals:
    """SIGTERM and SIGINT as a flag, and as a file descriptor that becomes readable, so that no wait outlasts them."""

    def __init__(self) -> None:
        self.requested = False
        self.interruptible = False  # set it around a wait that knows no file descriptors
        self.descriptor, write_end = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self.interruptible:
            self.interruptible = False
            raise StopRequested

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond a signal."""
        if not self.requested:
            select.select([self.descriptor], [], [], max(seconds, 0.0))
            self.drain()

    def wait_for(self, descriptors: Sequence[int], seconds: float) -> set[int]:
        """Wait until one of these can be read, a signal came, or the time is over. Those that can be read."""
        poller = select.poll()
        for descriptor in (*descriptors, self.descriptor):
            poller.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(max(seconds, 0.0) * 1000)}
        self.drain()
        return ready - {self.descriptor}

    def drain(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)


class Child:
    """A forked process in a session of its own, which dies with this one."""

    def __init__(
        self, main: Callable[[StopFlag], int], guard: processes.Guard, *, term_after: float = TERM_AFTER
    ) -> None:
        self._term_after = term_after
        self.stop = StopFlag()
        self._oom_kills = processes.oom_kills()
        self._guard = guard
        self._asked_at = 0.0
        self._grace = 0.0
        self._told = False
        self.ended: Ended | None = None
        _part_before_fork()
        parent = os.getpid()
        # Signals wait until the child has handlers of its own: the parent's would set the parent's flag only.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(main, self.stop, parent, guard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        self._descriptor = os.pidfd_open(self.pid)
        guard.watch(self.pid)

    def wait(self, seconds: float, signals: StopSignals) -> bool:
        """Wait until the child has ended, a signal came, or the time is over. True when it has ended."""
        if self.ended is None and signals.wait_for([self._descriptor], seconds):
            self._collect()
        return self.ended is not None

    def has_died(self) -> bool:
        """Whether it has ended, looked at now; `wait` or `kill` collects it."""
        return self.ended is not None or bool(select.select([self._descriptor], [], [], 0)[0])

    def ask_to_stop(self, reason: int, grace: float) -> None:
        """Begin to stop it: the flag now, SIGTERM later, and SIGKILL of the tree after `grace` seconds, by `press`."""
        self.stop.set(reason)
        if not self._asked_at:
            self._asked_at = time.monotonic()
            self._grace = grace

    @property
    def is_stopping(self) -> bool:
        return bool(self._asked_at)

    def press(self) -> float:
        """Take the next step of stopping, if it is due. Seconds until the one after it; a long time without any."""
        if not self._asked_at or self.ended is not None:
            return 3600.0
        waited = time.monotonic() - self._asked_at
        if waited >= self._grace:
            self.kill()
            return 3600.0
        if waited < self._grace * self._term_after:
            return self._grace * self._term_after - waited
        if not self._told:
            self._told = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        return self._grace - waited

    def kill(self) -> None:
        """SIGKILL the child and all that came from it, and wait until nothing is left."""
        with suppress(ProcessLookupError):
            if self.ended is None:
                os.kill(self.pid, signal.SIGKILL)
        self.kill_left_over()
        if self.ended is None:
            self._collect()

    def kill_left_over(self, *, spare_itself: bool = False) -> None:
        """The child has ended; what it started ends too. Or, with `spare_itself`, it lives on, and is left alone."""
        spare = [self._guard.pid, self.pid] if spare_itself else [self._guard.pid]
        left = processes.kill_descendants(spare=spare)
        if left:
            logger.error("Processes %s could not be killed", left)
        if spare_itself or self.ended is not None:
            processes.reap_orphans(except_for=spare)

    def _collect(self) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._descriptor)
        self.ended = Ended(
            status=status,
            peak_bytes=usage.ru_maxrss * 1024,
            oom_killed=processes.oom_kills() > self._oom_kills,
        )


def _part_before_fork() -> None:
    """A child must not inherit SQLite's bookkeeping of locks, which are not inherited: this process closes its file.

    Sockets, to PostgreSQL and to Redis, stay open here: making them anew costs as much as the fork. The child lets them
    alone (`_forget_connections`); the clients of Redis see by the pid that they must.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite":
            connection.close()


def _forget_connections() -> None:
    """In the child: it makes connections of its own, and neither uses nor closes the parent's."""
    for connection in connections.all(initialized_only=True):
        _PARENTS.append(connection.connection)
        connection.connection = None


def _be_child(main: Callable[[StopFlag], int], stop: StopFlag, parent: int, guard: processes.Guard) -> None:
    """What the fork leads to in the child. Never returns: the parent's stack below is not the child's to unwind."""
    status = EXIT_BROKEN
    try:
        os.setsid()
        processes.die_with_parent(parent)
        guard.forget()
        _forget_connections()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        os.environ[processes.MARK_VARIABLE] = guard.mark
        status = main(stop)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  (it must not escape into the parent's code)
        logger.exception("A work-horse ended unexpectedly")
    finally:
        os._exit(status)


def conclude(attempt: Attempt, job: Job, ended: Ended, reason: int, *, what: str, signals: StopSignals) -> None:
    """Write down how an attempt ended whose child is gone, and clear its folder.

    `reason` says why the child was stopped, if it was (a constant of StopFlag).
    A child that ended in good order has written it down itself: then all of this finds the claim gone.
    """

    def record() -> None:
        if ended.exit_code == 0 and lifecycle.is_settled(attempt=attempt):
            workspace.clear(job.pk)
            if attempt.number > 1:  # an earlier one may have been lost in the midst of it
                _remove_half_model(job)
            return
        with suppress(lifecycle.ClaimLost):
            _record_end(attempt, job, ended, reason, what)
        now = Job.objects.filter(pk=job.pk).first()
        # Whatever became of the job: of this attempt nothing runs any more.
        lifecycle.attempt_stopped(attempt=attempt, reason=now.error if now else "the job was deleted")
        workspace.remove_partial_artefacts(job.pk, attempt.number)
        if now is None or now.status in FINAL_STATUSES:
            workspace.clear(job.pk)
            _remove_half_model(job)

    if signals.requested:
        # A few tries: the reconciler finds an attempt whose end was not recorded.
        until_recorded(record, what=f"the end of job {job.pk}", patience=LAST_TRIES)
    else:
        until_recorded(record, what=f"the end of job {job.pk}", give_up=lambda: signals.requested)


def _remove_half_model(job: Job) -> None:
    """What was copied into the storage of a model that will not be: its training was cancelled, or has failed."""
    ended = Job.objects.filter(pk=job.pk, kind=Job.Kind.TRAINING, status__in=(JobStatus.CANCELLED, JobStatus.FAILED))
    for public_id in ended.exclude(model_public_id="").values_list("model_public_id", flat=True):
        try:
            get_storage().delete_folder(f"models/{public_id}")
        except StorageError:
            logger.warning("What job %s copied of its model was not removed", job.pk, exc_info=True)


def _record_end(attempt: Attempt, job: Job, ended: Ended, reason: int, what: str) -> None:
    if ended.exit_code == 0 and not lifecycle.holds_claim(attempt=attempt):
        return
    if reason in (StopFlag.CANCELLED, StopFlag.CLAIM_LOST):
        return
    if reason == StopFlag.HAND_BACK:
        lifecycle.hand_back(attempt=attempt, job=job, reason="its worker was told to end")
        return
    if reason == StopFlag.TIMEOUT:
        lifecycle.fail(
            attempt=attempt,
            job=job,
            failure=lifecycle.Failure(
                f"{what.capitalize()} was stopped at its deadline of {job.timeout_seconds:g} seconds.",
                Job.ErrorKind.TIMEOUT,
                {"timeout_seconds": job.timeout_seconds},
            ),
        )
        return
    end = of_exit(ended, what=what)
    if isinstance(end, Lost):
        lifecycle.lose(attempt=attempt, job=job, reason=end.reason)
    else:
        lifecycle.fail(attempt=attempt, job=job, failure=end)


def deadline_of(attempt: Attempt, job: Job) -> float:
    """When (time.monotonic) an attempt that begins now has to be over: the job's time, less what earlier ones took."""
    if not job.timeout_seconds:
        return float("inf")
    spent = 0.0
    if attempt.number > 1:
        spent = until_recorded(lambda: lifecycle.seconds_before(attempt=attempt), what="the look at earlier attempts")
    return time.monotonic() + max(job.timeout_seconds - spent, 0.0)


def grace_of(reason: int) -> float:
    return float(settings.JOBS["hand_back_grace" if reason == StopFlag.HAND_BACK else "stop_grace"])
