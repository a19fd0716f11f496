"""Workers: an RQ worker that takes wake-ups, claims jobs in the database, and runs each in a forked process.

The parent sets Django up and imports frameworks and trainers, but never computes with them: what was computed before a
fork hangs or crashes after it. It watches the child, writes the heartbeats, and kills the whole process tree when the
claim is gone.
"""

import gc
import importlib
import logging
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import redis
import rq
from django.conf import settings
from rq.exceptions import DequeueTimeout
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from jobs import lifecycle, processes, queue, runner, workspace
from jobs.failures import EXIT_LACKING
from jobs.layout import LIGHT
from jobs.models import Attempt, Job, Worker
from jobs.outages import FIRST_PAUSE, OUTAGE, forget_connection
from jobs.registration import Registration
from jobs.reporter import StopFlag
from jobs.routing import QUEUES
from jobs.selectors.scheduling import next_pending
from jobs.supervision import Child, StopRequested, StopSignals, conclude, deadline_of, grace_of
from jobs.workhorse import WorkHorse, takes
from trainers import registry

logger = logging.getLogger(__name__)

WAIT_SECONDS = 1  # for a wake-up, at a time
REDIS_PAUSE = 1.0  # between two tries to reach an absent Redis
SHOWN_EVERY = 20.0  # seconds between two renewals of what django-rq's pages show
SHOWN_FOR = 120  # seconds after which Redis forgets a silent worker
PASSED_OVER_SECONDS = 10.0  # in which other workers, which may be busy, can try a job that this one lacks something for
FIRST_LOOK = 0.25  # seconds after a fork; short jobs are over by then


def wake_up() -> None:
    """What an RQ entry names. Our workers never call it: to them the entry only says that its queue has work."""


class NothingToServe(Exception):
    """What the jobs of the worker's queues need cannot be imported."""


def import_trainers(frameworks: Iterable[str]) -> set[str]:
    """Import what the children will need, which they would import anew otherwise. The frameworks that cannot be."""
    broken = set()
    for info in registry.TRAINERS.values():
        if info.framework in frameworks and info.framework not in broken and not import_trainer(info):
            broken.add(info.framework)
    return broken


def import_trainer(info: registry.TrainerInfo) -> bool:
    """Import a trainer and its framework; whether that went well."""
    try:
        importlib.import_module(info.module)
    except Exception:  # a broken installation raises anything
        logger.exception("%s cannot be imported; its queues are not served", info.module)
        return False
    return True


class QueueWorker(rq.Worker):
    """The loop that all workers share: wait for a wake-up, claim the best pending job of its queue, execute it.

    From RQ come the queues and the registration that django-rq's pages show. Its own loop is not used: it ends at a
    timeout of Redis and at any exception, and it needs Redis to start.
    """

    def __init__(self, *, worker: Worker, signals: StopSignals) -> None:
        super().__init__(
            [queue.rq_queue(name) for name in worker.queues],
            name=worker.name,
            connection=queue.connection(),
            serializer=JSONSerializer,
            worker_ttl=SHOWN_FOR,
            prepare_for_work=False,  # that would need Redis at once
        )
        self.hostname, self.pid = worker.host, worker.pid
        self.worker = worker
        self.signals = signals
        self._redis_away = False
        self._show_at = 0.0
        self._look_at = 0.0
        self._passed_over: dict[UUID, float] = {}  # jobs that others are to try first, and until when

    @property
    def connection_timeout(self) -> int:
        return 5  # seconds; RQ's own would wait for minutes on a connection that went dead

    def work(self) -> None:  # type: ignore[override]
        """Serve until SIGTERM or SIGINT."""
        while not self.signals.requested:
            try:
                self.tick()
                name = self._next_wake_up()
                if name is not None:
                    self._run_next([name])
                elif time.monotonic() >= self._look_at:
                    # Wake-ups may be lost, or Redis away: a look every so often needs neither.
                    self._look_at = time.monotonic() + settings.JOBS["heartbeat"]
                    while self._run_next(self.worker.queues) and not self.signals.requested:
                        self.tick()
            except StopRequested:
                break
            except lifecycle.WorkerForgotten as error:
                logger.warning("Nothing was claimed: %s", error)
                self._look_at = 0.0  # the wake-up is spent
                self.register_again()
            except OUTAGE as error:
                forget_connection()
                logger.warning("The database is away: %s", str(error).strip().partition("\n")[0])
                self.signals.wait(REDIS_PAUSE)
        with suppress(redis.RedisError):
            self.connection.connection_pool.disconnect()
            self.register_death()

    def tick(self) -> None:
        """Called every second or so while idle. Raises what the database raises."""

    def register_again(self) -> None:
        """The worker's row is gone. Raises what the database raises."""
        raise NotImplementedError

    def execute(self, attempt: Attempt) -> None:
        """Run a claimed attempt to its end."""
        raise NotImplementedError

    def ready_for(self, queue_names: Sequence[str]) -> Sequence[str]:
        """Make ready for the next job of these queues. Those of them that the worker can serve."""
        return queue_names

    def _run_next(self, queue_names: Sequence[str]) -> bool:
        names = self.ready_for(queue_names)
        if not names or self.signals.requested:
            return False
        now = time.monotonic()
        self._passed_over = {pk: until for pk, until in self._passed_over.items() if until > now}
        attempt = lifecycle.claim_next(queue_names=names, worker=self.worker, passing_over=self._passed_over)
        if attempt is None:
            return False
        logger.info("Job %s: attempt %d begins", attempt.job_id, attempt.number)
        self.execute(attempt)
        return True

    def pass_over(self, job: Job) -> None:
        """Leave a job, which this worker lacks something for, to the others for a time: they may have it."""
        self._passed_over[job.pk] = time.monotonic() + PASSED_OVER_SECONDS

    def _next_wake_up(self) -> str | None:
        """Wait for an entry and take it: the name of its queue. None when there was none, or Redis is away."""
        try:
            if time.monotonic() >= self._show_at:
                self.show(WorkerStatus.IDLE)
            keys = [each.key for each in self._ordered_queues]
            key, entry = self._interruptible_pop(keys)
            self.connection.delete(rq.job.Job.key_for(entry.decode()))
        except DequeueTimeout:
            return None
        except redis.RedisError as error:
            if not self._redis_away:
                logger.warning("Redis is away (%s); pending jobs are looked for in the database", error)
            self._redis_away = True
            self._show_at = 0.0
            self.signals.wait(REDIS_PAUSE)
            return None
        if self._redis_away:
            logger.info("Redis is back")
            self._redis_away = False
        name = key.decode().removeprefix(rq.Queue.redis_queue_namespace_prefix)
        # The next look begins behind this queue, so that a busy one does not starve the others.
        place = keys.index(key.decode()) + 1
        self._ordered_queues = self._ordered_queues[place:] + self._ordered_queues[:place]
        return name

    def _interruptible_pop(self, keys: list[str]) -> tuple[bytes, bytes]:
        self.signals.interruptible = True
        try:
            if self.signals.requested:
                raise StopRequested
            # Not `dequeue_any`: it would keep the entry in a second list for a safety that we have from the database.
            popped: tuple[bytes, bytes] = rq.Queue.lpop(keys, WAIT_SECONDS, connection=self.connection)
            return popped
        finally:
            self.signals.interruptible = False

    def show(self, state: WorkerStatus) -> None:
        """Renew what django-rq's pages show of this worker. Raises redis.RedisError."""
        self._show_at = time.monotonic() + SHOWN_EVERY
        if not self.connection.hexists(self.key, "birth"):
            self.connection.delete(self.key)
            self.register_birth()
        self.set_state(state)
        self.heartbeat(SHOWN_FOR)


class TrainingWorker(QueueWorker):
    """Runs each attempt in a forked process and watches it: heartbeats, claim, deadline, the worker's own end."""

    def __init__(self, *, registration: Registration, signals: StopSignals, guard: processes.Guard) -> None:
        super().__init__(worker=registration.worker, signals=signals)
        self._registration = registration
        self._guard = guard
        self._beat_at = 0.0
        self._horse: WorkHorse | None = None  # idle, between two jobs
        self._showing: threading.Thread | None = None  # tells Redis that the worker is busy
        self._is_shown_busy = False  # in the worker's row, which a short job never reaches

    def tick(self) -> None:
        if self._showing is not None:  # a fork must not find it
            self._showing.join()
            self._showing = None
        if self._horse is not None and not self._horse.may_go_on():
            self._retire()
        if time.monotonic() >= self._beat_at:
            self._beat(Worker.State.IDLE)

    def register_again(self) -> None:
        self._beat_at = 0.0  # the next tick's beat does it

    def work(self) -> None:  # type: ignore[override]
        try:
            super().work()
        finally:
            self._retire()

    def ready_for(self, queue_names: Sequence[str]) -> Sequence[str]:
        """Import the trainer that the next job needs: once here, or each child imports it anew.

        Before the claim: it takes seconds, in which another worker may begin the job. Raises NothingToServe.
        """
        names = [name for name in queue_names if name in self.worker.queues]
        while names and (needed := self._not_imported(names)):
            queue_name, info = needed
            with self._registration.beating(Worker.State.IDLE, every=settings.JOBS["heartbeat"]):
                works = import_trainer(info)
            self.worker = self._registration.worker
            gc.freeze()  # a collection in a forked child would touch, and so copy, all that is shared
            if not works:
                self._leave(queue_name)
                names.remove(queue_name)
        return names

    def _not_imported(self, queue_names: Sequence[str]) -> tuple[str, registry.TrainerInfo] | None:
        """The queue and the trainer of the next job of these queues, if that is not imported yet."""
        if all(QUEUES[name].framework == LIGHT for name in queue_names):
            return None  # they were imported at the start
        for job in next_pending(queue_names, gpus=self.worker.gpus)[:1]:
            with suppress(registry.UnknownTrainer):  # the job's process will tell its user
                info = registry.get(job.model_type)
                return None if info.module in sys.modules else (job.queue, info)
        return None

    def _leave(self, queue_name: str) -> None:
        """Serve a queue no longer, for whose jobs something cannot be imported. They wait for another worker."""
        self._registration.serve([name for name in self.worker.queues if name != queue_name])
        self.worker = self._registration.worker
        if not self.worker.queues:
            raise NothingToServe
        self._ordered_queues = [each for each in self._ordered_queues if each.name != queue_name]

    def execute(self, attempt: Attempt) -> None:
        job = attempt.job
        if self._horse is None or not takes(job) or not self._horse.may_go_on():
            self._retire()
            self._horse = WorkHorse(self._guard)
        # Kept only if all that follows goes well.
        horse, self._horse = self._horse, None
        horse.begin(attempt)
        self._supervise(attempt, job, horse)
        horse.kill_left_over(spare_itself=horse.ended is None)
        if horse.has_finished:
            workspace.remove(job.pk)
        elif horse.ended is not None:
            if horse.ended.exit_code == EXIT_LACKING:
                self.pass_over(job)
            conclude(attempt, job, horse.ended, horse.stop.reason, what=runner.WHAT, signals=self.signals)
        else:
            raise AssertionError("supervision ended before the attempt")
        self._horse = horse
        if not horse.may_go_on():
            self._retire()
        if self._is_shown_busy:
            self._beat_at = 0.0
        if settings.JOBS["max_running_per_user"]:
            self._look_at = 0.0  # this owner's next one was not to begin before, and its wake-up may be spent

    def _retire(self) -> None:
        """End the work-horse, which has nothing to do; the next job gets another."""
        horse, self._horse = self._horse, None
        if horse is not None:
            horse.kill()

    def _supervise(self, attempt: Attempt, job: Job, child: Child) -> None:
        """Watch the child until the attempt is over. However long the database is away, nothing is killed for it."""
        deadline = deadline_of(attempt, job)
        look_at = time.monotonic() + min(FIRST_LOOK, settings.JOBS["claim_check"])
        beat_at = look_at
        until_press = 3600.0
        is_over = False
        while not child.wait(min(look_at - time.monotonic(), until_press), self.signals):
            now = time.monotonic()
            if self.signals.requested:
                child.ask_to_stop(StopFlag.HAND_BACK, grace_of(StopFlag.HAND_BACK))
            if now >= deadline:
                child.ask_to_stop(StopFlag.TIMEOUT, grace_of(StopFlag.TIMEOUT))
            if now >= look_at:
                try:
                    if now >= beat_at:
                        holds = lifecycle.heartbeat(attempt=attempt)
                        self._beat(Worker.State.BUSY)
                        beat_at = now + settings.JOBS["heartbeat"]
                    else:
                        holds = lifecycle.holds_claim(attempt=attempt)
                    look_at = time.monotonic() + settings.JOBS["claim_check"]
                    if not holds:
                        # It has just written down its end itself? Then it is about to say so, until the next look.
                        if is_over or not lifecycle.is_settled(attempt=attempt):
                            child.ask_to_stop(StopFlag.CANCELLED, grace_of(StopFlag.CANCELLED))
                        is_over = True
                except OUTAGE:
                    forget_connection()
                    beat_at = look_at = time.monotonic() + max(FIRST_PAUSE, settings.JOBS["claim_check"] / 2)
                self._show_busy()
            until_press = child.press()
            if now < deadline:
                until_press = min(until_press, deadline - now)

    def _beat(self, state: str) -> None:
        self._registration.beat(state)
        self.worker = self._registration.worker
        self._is_shown_busy = state == Worker.State.BUSY
        self._beat_at = time.monotonic() + settings.JOBS["heartbeat"]

    def _show_busy(self) -> None:
        """In a thread: a Redis that hangs, which takes seconds to find out, must not hold up the looks at the claim."""

        def show() -> None:
            with suppress(redis.RedisError):
                self.show(WorkerStatus.BUSY)

        if self._showing is None and time.monotonic() >= self._show_at:
            self._show_at = time.monotonic() + SHOWN_EVERY
            self._showing = threading.Thread(target=show, name="show-busy", daemon=True)
            self._showing.start()
        elif self._showing is not None and not self._showing.is_alive():
            self._showing = None
