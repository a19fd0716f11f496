"""The forked process that runs trainings, one after the other as long as each leaves it as it was found.

A fork costs more than a short job: the process's own pages are copied as they are written, and connections are made
anew. So a work-horse whose job was completed, and left nothing behind that can be seen (`jobs.traces`), says so to its
parent and waits for the next one. After anything else it ends, and the parent forks another.
"""

import logging
import os
import random
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from functools import partial

from django.conf import settings

from jobs import processes, runner
from jobs.models import Attempt, Job
from jobs.outages import until_recorded
from jobs.reporter import StopFlag
from jobs.routing import QUEUES
from jobs.supervision import Child, StopSignals
from jobs.traces import Traces

logger = logging.getLogger(__name__)

# Frameworks of whose state (pools of threads, a device, a global seed) it is known that it does no harm to a next job.
LASTING_FRAMEWORKS = frozenset({"sklearn"})
# What a training needs of its order: a row with all columns of five tables takes twice as long to load. What is read
# beyond these is loaded then.
_ORDER = (
    "number", "status", "job__queue", "job__model_type", "job__model_public_id", "job__data_path",
    "job__hyperparameters", "job__requires_gpu", "job__project_id", "job__dataset_id", "job__retry_of_id",
    "job__resumes", "job__owner__username", "job__owner__is_active", "job__owner__is_superuser", "job__run__name",
)  # fmt: skip
_FINISHED = b"finished"
_LONGEST_ORDER = 64  # bytes


class WorkHorse(Child):
    """The parent's side: a child that is given attempts by `begin`, and is watched by `wait`."""

    def __init__(self, guard: processes.Guard) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._began_at = time.monotonic()
        self._jobs = 0
        self.has_finished = False  # the attempt that was begun last: completed, and its end written down

        def main(stop: StopFlag) -> int:
            self._channel.close()
            return serve(theirs, stop)

        super().__init__(main, guard)
        theirs.close()

    def begin(self, attempt: Attempt) -> None:
        """Have it run this attempt. Only for one that is new, or `may_go_on`."""
        self._jobs += 1
        self.has_finished = False
        self._oom_kills = processes.oom_kills()
        with suppress(OSError):  # it has just died, which `wait` tells
            self._channel.send(str(attempt.pk).encode())

    def wait(self, seconds: float, signals: StopSignals) -> bool:
        """Wait until the attempt is over, a signal came, or the time is over. True when it is over.

        Then the child has either `ended` or `has_finished`.
        """
        if self.ended is None and not self.has_finished:
            ready = signals.wait_for([self._descriptor, self._channel.fileno()], seconds)
            if self._channel.fileno() in ready:
                # Nothing to receive: it is about to end, and the kernel says so in a moment.
                self.has_finished = self._receive() == _FINISHED
                if not self.has_finished:
                    ready = signals.wait_for([self._descriptor], seconds)
            if self._descriptor in ready:
                self._collect()
        return self.ended is not None or self.has_finished

    def may_go_on(self) -> bool:
        """Whether it may be given another attempt: idle, unharmed, and neither too old nor asked to stop."""
        return (
            self.ended is None
            and self.has_finished
            and not self.is_stopping
            and self._jobs < settings.JOBS["jobs_per_process"]
            and time.monotonic() - self._began_at < settings.JOBS["process_seconds"]
            and not self.has_died()
        )

    def kill(self) -> None:
        super().kill()
        self._channel.close()

    def _receive(self) -> bytes:
        with suppress(OSError):
            return self._channel.recv(_LONGEST_ORDER)
        return b""


def takes(job: Job) -> bool:
    """Whether this job may be run by a work-horse that has run others, and be followed by others."""
    queue = QUEUES.get(job.queue)
    return queue is not None and queue.framework in LASTING_FRAMEWORKS and not job.requires_gpu


def serve(channel: socket.socket, stop: StopFlag) -> int:
    """The child's side: run the attempts that come through `channel`. Returns the exit status of the process."""
    traces = Traces()
    while order := channel.recv(_LONGEST_ORDER):
        attempt = until_recorded(partial(_load, int(order)), what="the job's start")
        if attempt is None:
            return 0  # the job was deleted, and its attempts with it
        _renew_random_numbers()
        with warnings.catch_warnings():
            status = runner.run_attempt(attempt, attempt.job, stop)
        if attempt.status != Attempt.Status.COMPLETED or stop.reason != StopFlag.NO or not takes(attempt.job):
            return status
        if left := traces.left(max_growth=settings.JOBS["process_growth_bytes"]):
            logger.info("Job %s changed its process (%s), which runs no other", attempt.job_id, left)
            return status
        # While it idles, whoever ends it loses nothing.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        channel.send(_FINISHED)
    return 0


def _load(attempt_id: int) -> Attempt | None:
    orders = Attempt.objects.select_related("job__owner", "job__run").only(*_ORDER).order_by()
    return orders.filter(pk=attempt_id).first()


def _renew_random_numbers() -> None:
    """Without a seed of its own a job is to be random: neither as its parent nor as the job before it."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))
