"""Inference: a warm child answers jobs one after the other, its models loaded; the parent watches and replaces it."""

import logging
import time
from typing import Any

import orjson
from django.conf import settings
from django.db.models import QuerySet

from automl_site.errors import NotFound, TooLarge
from jobs import failures, lifecycle, processes
from jobs.failures import Lost, json_safe
from jobs.lifecycle import Report, database_now
from jobs.model_cache import ModelCache, cache_bytes
from jobs.models import Attempt, Job, Worker
from jobs.outages import FIRST_PAUSE, OUTAGE, forget_connection, until_recorded, until_stored
from jobs.registration import Registration
from jobs.reporter import StopFlag
from jobs.services.inference_inputs import inference_input
from jobs.supervision import Child, StopSignals, conclude, grace_of
from jobs.worker import REDIS_PAUSE, QueueWorker
from tracking import stream
from trainers.protocol import Stopped

logger = logging.getLogger(__name__)

WHAT = "the prediction"
MAX_PREDICTIONS = 10_000  # an answer; the rows travel in the job's row and in each status answer
MAX_RESULT_BYTES = 16 * 1024 * 1024
STORAGE_PATIENCE = 30.0  # seconds at most: other jobs wait behind this one, whose models are loaded perhaps
EARLY_END = 5.0  # seconds: a child that lives shorter, and not by our doing, is replaced with growing pauses
LONGEST_PAUSE = 10.0
DEFAULT_MEMORY = 4 * 1024**3  # bytes, of a machine that does not say


class InferenceServer(QueueWorker):
    """The warm child. Its heartbeats are written by the monitor; it only claims, predicts and completes."""

    def __init__(self, *, worker: Worker, signals: StopSignals) -> None:
        super().__init__(worker=worker, signals=signals)
        memory = int(worker.capabilities.get("memory_bytes") or DEFAULT_MEMORY)
        self._models = ModelCache(cache_bytes(settings.JOBS["model_cache_bytes"], memory))

    def register_again(self) -> None:
        self.signals.wait(REDIS_PAUSE)  # the monitor does it at its next beat, and replaces this process

    def execute(self, attempt: Attempt) -> None:
        orders = Job.objects.select_related("owner", "model").defer("model__report", "model__schema")
        orders = orders.filter(pk=attempt.job_id)
        job = until_recorded(orders.first, what="the job's start")
        if job is None:
            return  # it was deleted, and its attempts with it
        try:
            started = time.perf_counter()
            result = self._predict(job)
            milliseconds = (time.perf_counter() - started) * 1000
            count = len(result["predictions"])
            noun = "prediction" if count == 1 else "predictions"
            line = f"{count} {noun} with {result['model_id']} in {milliseconds:.0f} ms"
            until_recorded(
                lambda: lifecycle.complete(
                    attempt=attempt, job=job, result=result, final=Report(logs=[stream.LogEntry("INFO", line)])
                ),
                what="the predictions",
            )
        except lifecycle.ClaimLost:
            until_recorded(lambda: lifecycle.attempt_stopped(attempt=attempt), what="the attempt's end")
        except Stopped:
            return  # the monitor, which asked for it, hands the job back
        except Exception as error:  # noqa: BLE001  (the job is told, the server goes on)
            self._fail(attempt, job, error)

    def _predict(self, job: Job) -> dict[str, Any]:
        """The job's `result`. Raises DomainError, TrainerError, Stopped."""
        model = job.model
        if model is None or model.deleted_at is not None:
            raise NotFound("The model was deleted.")
        predictor, given = until_stored(
            lambda: (
                self._models.get(model),
                inference_input(user=job.owner, input_data=job.input_data, task=model.task).local(),
            ),
            what="the look-up of the model and the input",
            patience=min(STORAGE_PATIENCE, settings.JOBS["storage_patience"]),
            should_stop=lambda: self.signals.requested,
            tell=lambda sentence: logger.warning("Job %s: %s", job.pk, sentence),
        )
        predictions = self._models.with_room(
            lambda: predictor.predict_input(given, job.parameters), spare=model.public_id
        )
        if len(predictions) > MAX_PREDICTIONS:
            raise TooLarge(
                f"The input has {len(predictions)} rows; one inference answers at most {MAX_PREDICTIONS}. "
                "Submit it in parts."
            )
        result = {"model_id": model.public_id, "predictions": json_safe(predictions)}
        size = len(orjson.dumps(result))
        if size > MAX_RESULT_BYTES:
            raise TooLarge(
                f"The predictions take {size} bytes; one inference answers at most {MAX_RESULT_BYTES}. "
                "Submit the input in parts, or ask for fewer classes (top_k)."
            )
        return result

    def _fail(self, attempt: Attempt, job: Job, error: Exception) -> None:
        end = failures.of_exception(error, what=WHAT)
        if isinstance(end, Lost) and end.elsewhere:
            self.pass_over(job)

        def record() -> None:
            try:
                if isinstance(end, Lost):
                    lifecycle.lose(attempt=attempt, job=job, reason=end.reason)
                else:
                    lifecycle.fail(attempt=attempt, job=job, failure=end)
            except lifecycle.ClaimLost:
                logger.info("Job %s was cancelled or handed on before it failed", job.pk)
            lifecycle.attempt_stopped(attempt=attempt)  # where the job was no longer its own

        until_recorded(record, what="the failure")


class InferenceMonitor:
    """The parent: keeps one warm child running, and writes the heartbeats of what it does."""

    def __init__(self, *, registration: Registration, signals: StopSignals, guard: processes.Guard) -> None:
        self._registration = registration
        self._signals = signals
        self._guard = guard
        self._beat_at = 0.0
        self._overdue: set[int] = set()  # attempts that are being stopped at their deadline

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        pause = FIRST_PAUSE
        while not self._signals.requested:
            started = time.monotonic()
            child = Child(self._serve, self._guard, term_after=0.0)
            self._watch(child)
            child.kill_left_over()
            self._settle(child)
            if child.is_stopping or time.monotonic() - started > EARLY_END:
                pause = FIRST_PAUSE
                continue
            logger.error("The inference process ended by itself; it is started again in %.1f s", pause)
            self._signals.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _serve(self, stop: StopFlag) -> int:
        InferenceServer(worker=self._registration.worker, signals=StopSignals()).work()
        return 0

    def _watch(self, child: Child) -> None:
        look_at = 0.0
        while not child.wait(min(look_at - time.monotonic(), child.press()), self._signals):
            if self._signals.requested:
                child.ask_to_stop(StopFlag.HAND_BACK, grace_of(StopFlag.HAND_BACK))
            if time.monotonic() >= look_at:
                try:
                    self._look(child)
                    look_at = time.monotonic() + settings.JOBS["claim_check"]
                except OUTAGE:
                    forget_connection()
                    look_at = time.monotonic() + max(FIRST_PAUSE, settings.JOBS["claim_check"] / 2)

    def _look(self, child: Child) -> None:
        """Heartbeats of the worker and of what its child does. Kills the child when its claim or its time is over."""
        attempts = list(self._running())
        beat = time.monotonic() >= self._beat_at
        for attempt in attempts:
            holds = lifecycle.heartbeat(attempt=attempt) if beat else lifecycle.holds_claim(attempt=attempt)
            timeout = attempt.job.timeout_seconds
            overdue = timeout is not None and _seconds_of(attempt) > timeout
            # It may have ended in good order since it was listed; its process then answers the next one already.
            if (not holds or overdue) and self._running().filter(pk=attempt.pk).exists():
                if overdue:
                    self._overdue.add(attempt.pk)
                # No flag and no grace: what is stuck in a prediction looks at neither, and leaves nothing half written.
                child.ask_to_stop(StopFlag.TIMEOUT if overdue else StopFlag.CANCELLED, grace=0.0)
        if beat:
            served = self._registration.worker
            self._registration.beat(Worker.State.BUSY if attempts else Worker.State.IDLE)
            self._beat_at = time.monotonic() + settings.JOBS["heartbeat"]
            if self._registration.worker.pk != served.pk:
                child.ask_to_stop(StopFlag.HAND_BACK, grace_of(StopFlag.HAND_BACK))  # it claims under the old name

    def _settle(self, child: Child) -> None:
        """The child is gone: write down the end of what it was doing."""
        if child.ended is None:
            raise AssertionError("the watch ended before the child")
        for attempt in until_recorded(lambda: list(self._running()), what="the look at what ran"):
            if attempt.pk in self._overdue:
                reason = StopFlag.TIMEOUT
            elif child.is_stopping:
                # Killed for another job's sake, or with the worker: this one may not pay for it.
                reason = StopFlag.HAND_BACK
            else:
                reason = StopFlag.NO
            conclude(attempt, attempt.job, child.ended, reason, what=WHAT, signals=self._signals)
        self._overdue.clear()

    def _running(self) -> QuerySet[Attempt]:
        """What this worker's process answers. A dead worker's attempts stand under the name that this one took over:
        they are not kept alive, but left to the reconciler."""
        worker = self._registration.worker
        running = Attempt.objects.filter(worker=worker, started_at__gte=worker.started_at)
        return running.filter(status=Attempt.Status.RUNNING).select_related("job")


def _seconds_of(attempt: Attempt) -> float:
    """How long its job has been answered by now, in earlier attempts too."""
    now = (database_now() - attempt.started_at).total_seconds()
    return now if attempt.number == 1 else now + lifecycle.seconds_before(attempt=attempt)
