"""One attempt at a training, in a forked child: data in, trainer, model out. The parent (jobs/worker.py) watches."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.utils import timezone

from automl_site.disk import is_disk_full
from automl_site.logs import show_stacks
from datasets_app import paths
from datasets_app.storage import get_storage
from datasets_app.storage.base import StagedFolder
from jobs import failures, lifecycle, processes, workspace
from jobs.failures import EXIT_LACKING, EXIT_STOPPED, Lost, json_safe
from jobs.models import Attempt, Job, JobStatus, TrainedModel
from jobs.outages import PATIENCE, until_recorded, until_stored
from jobs.reporter import DatabaseReporter, StopFlag
from jobs.services.hyperparameter_files import with_local_files
from tracking import stream
from trainers import registry
from trainers.protocol import Stopped, TrainResult

logger = logging.getLogger(__name__)

WHAT = "the training"
Result = TypeVar("Result")


def run_attempt(attempt: Attempt, job: Job, stop: StopFlag) -> int:
    """Run the attempt to its end and write that end down. Returns the exit status of the process.

    `job` comes with its owner and run.

    0: the job has ended, or the claim on it was lost. EXIT_LACKING: this worker lacks something that it needs, and
    another may have it. EXIT_STOPPED: the trainer stopped as it was asked to; what that means the parent knows, who
    asked.
    """
    _stop_on_sigterm(stop)
    with ExitStack() as output:
        return _run(attempt, job, stop, output)


def _run(attempt: Attempt, job: Job, stop: StopFlag, output: ExitStack) -> int:
    """See `run_attempt`. `output` puts the process's output back, after the end is written down."""
    reporter = None
    oom_kills = processes.oom_kills()
    try:
        here = workspace.prepare(job.pk, attempt.number, resume_from=job.retry_of_id if job.resumes else None)
        reporter = DatabaseReporter(attempt=attempt, job=job, workspace=here, stop=stop)
        output.enter_context(_redirected_output(reporter))
        reporter.start()
        if job.resumes and attempt.number == 1:
            _tell_where_it_goes_on(job, here, reporter)
        result = _train(attempt, job, here, reporter)
        _no_more_interruptions()
        if stop.reason == StopFlag.CLAIM_LOST:
            return 0
        _finish(attempt, job, result, reporter)
    except Stopped:
        _no_more_interruptions()
        if reporter is not None and stop.reason != StopFlag.CLAIM_LOST:
            with suppress(lifecycle.ClaimLost):
                # Not for minutes: the parent kills this process soon.
                _write_rest(attempt, job, reporter, patience=settings.JOBS["stop_grace"])
        return EXIT_STOPPED
    except lifecycle.ClaimLost:
        return 0
    except BaseException as error:  # noqa: BLE001  (whatever ends it, the job must be told)
        _no_more_interruptions()
        return _fail(attempt, job, error, reporter, oom_killed=processes.oom_kills() > oom_kills)
    finally:
        if reporter is not None:
            reporter.close()  # where the claim was lost its thread still waits, to end the process if nothing else does
    return 0


def _tell_where_it_goes_on(job: Job, here: workspace.Workspace, reporter: DatabaseReporter) -> None:
    origin = f"job_{job.retry_of_id}" if job.retry_of_id else "the earlier job"
    if here.seeded:
        reporter.log("INFO", f"goes on from the last checkpoint of {origin}")
    else:
        reporter.log("WARN", f"this machine keeps no checkpoint of {origin}; the training begins anew")


def _train(attempt: Attempt, job: Job, here: workspace.Workspace, reporter: DatabaseReporter) -> TrainResult:
    what = "the look-up of the data"
    # By now the owner may have lost the right to the data: what was allowed at submission is checked once more.
    checked = registry.check_config(job.model_type, job.hyperparameters)
    data, config = _stored(
        attempt,
        job,
        lambda: until_recorded(
            lambda: (
                paths.resolve(user=job.owner, text=job.data_path).local(),
                with_local_files(user=job.owner, config=checked),
            ),
            what=what,
        ),
        what=what,
        reporter=reporter,
    )
    started = time.perf_counter()
    result = registry.train(job.model_type, config, data, here.out, reporter)
    result.metrics.setdefault("training_time", time.perf_counter() - started)
    return result


def _finish(attempt: Attempt, job: Job, result: TrainResult, reporter: DatabaseReporter) -> None:
    """Publish the artefacts and complete the job, both or neither."""
    reporter.metrics({name: value for name, value in result.metrics.items() if name not in reporter.reported})
    key = f"models/{job.model_public_id}"

    def stage() -> StagedFolder:
        if attempt.number > 1:
            get_storage().delete_folder(key)  # what an attempt that was lost had copied of its own model
        return get_storage().stage_folder(key, result.folder)

    staged = _stored(
        attempt,
        job,
        stage,
        what="the copy of the model",
        reporter=reporter,
    )
    final = reporter.close()
    try:
        _stored(
            attempt,
            job,
            lambda: until_recorded(
                lambda: lifecycle.complete(
                    attempt=attempt,
                    job=job,
                    result=_result(job, result),
                    model=_trained_model(job, result),
                    final=final,
                    publish=staged.publish,
                ),
                what="the result",
            ),
            what="the publication of the model",
            reporter=reporter,
        )
    except lifecycle.ClaimLost:
        # The answer to a commit may be lost with the connection: then the second try finds the job completed by itself.
        if not Job.objects.filter(pk=job.pk, status=JobStatus.COMPLETED, attempt=attempt.number).exists():
            raise
    finally:
        staged.discard()


def _stored(
    attempt: Attempt, job: Job, action: Callable[[], Result], *, what: str, reporter: DatabaseReporter
) -> Result:
    """Wait for a file storage that is away, and say so in the job's log. Raises StorageError, Stopped, ClaimLost."""

    def warn(sentence: str) -> None:
        # Not through the reporter, which is closed by the time of the last writes.
        entry = lifecycle.Report(logs=[stream.LogEntry("WARN", sentence, time=timezone.now())])
        until_recorded(lambda: lifecycle.report(attempt=attempt, job=job, entry=entry), what="a line of the log")

    return until_stored(
        action,
        what=what,
        patience=settings.JOBS["storage_patience"],
        should_stop=reporter.should_stop,
        tell=warn,
        # The completion locks the job's row while it publishes: the storage must answer before it is tried again.
        is_back=lambda: get_storage().exists(f"models/{job.model_public_id}"),
    )


def _result(job: Job, result: TrainResult) -> dict[str, Any]:
    """The job's `result` in the contracts."""
    return {
        "model_id": job.model_public_id,
        "model_path": f"/models/{job.model_public_id}",
        "framework": result.framework,
        "framework_version": result.framework_version,
        "backend": result.backend,
        "device": result.device,
        "metrics": json_safe(result.metrics),
    }


def _trained_model(job: Job, result: TrainResult) -> TrainedModel:
    if job.project_id is None:
        raise AssertionError("a training without a project")
    return TrainedModel(
        public_id=job.model_public_id,
        job=job,
        owner=job.owner,
        project_id=job.project_id,
        run_id=job.run_id,
        dataset_id=job.dataset_id,
        name=job.run.name if job.run else job.model_type,
        model_type=job.model_type,
        framework=result.framework,
        framework_version=result.framework_version,
        backend=result.backend,
        device=result.device,
        task=result.task,
        metrics=json_safe(result.metrics),
        report=json_safe(result.report),
        schema=json_safe({"columns": result.columns, "target": result.target}),
        size_bytes=sum(path.stat().st_size for path in result.folder.rglob("*") if path.is_file()),
    )


def _fail(
    attempt: Attempt, job: Job, error: BaseException, reporter: DatabaseReporter | None, *, oom_killed: bool
) -> int:
    """Write down the end, and return the exit status that tells the parent of it."""
    end = failures.of_exception(error, what=WHAT, oom_killed=oom_killed)
    if is_disk_full(error):
        # The database may lie on the same disk: what is half written makes room for the end that follows.
        workspace.remove_partial_artefacts(job.pk, attempt.number)
    with suppress(lifecycle.ClaimLost):
        if reporter is not None:
            _write_rest(attempt, job, reporter, patience=PATIENCE)
        if isinstance(end, Lost):
            reason = end.reason
            until_recorded(lambda: lifecycle.lose(attempt=attempt, job=job, reason=reason), what="the failure")
        else:
            failure = end
            until_recorded(lambda: lifecycle.fail(attempt=attempt, job=job, failure=failure), what="the failure")
    return EXIT_LACKING if isinstance(end, Lost) and end.elsewhere else 0


def _write_rest(attempt: Attempt, job: Job, reporter: DatabaseReporter, *, patience: float) -> None:
    """What the reporter has not written yet. Raises ClaimLost; anything else must not hide the end that follows."""
    rest = reporter.close()
    if not rest.points and not rest.logs:
        return
    try:
        until_recorded(
            lambda: lifecycle.report(attempt=attempt, job=job, entry=rest), what="the last lines", patience=patience
        )
    except lifecycle.ClaimLost:
        raise
    except Exception:
        logger.exception("The last lines of job %s were not written", job.pk)


def _stop_on_sigterm(stop: StopFlag) -> None:
    """SIGTERM interrupts Python code that does not look at `should_stop`; the parent sends it after a while."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides


def _no_more_interruptions() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _redirected_output(reporter: DatabaseReporter) -> Iterator[None]:
    """Libraries' prints and warnings go to the job's log, the platform's own log to where it went before."""
    streams = sys.stdout, sys.stderr
    with os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as server_log:
        handlers = [
            handler
            for handler in logging.root.handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        ]
        for handler in handlers:
            handler.setStream(server_log)
        show_stacks(server_log)
        reporter.capture_output()
        sys.stdout, sys.stderr = (
            open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            for number in (1, 2)
        )
        try:
            yield
        finally:
            reporter.close()
            reporter.release_output()
            sys.stdout, sys.stderr = streams
            show_stacks()
            for handler in handlers:
                handler.setStream(sys.stderr)
