"""What the tests of the jobs share: orders, workers and claims, made by the services and transitions themselves."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from datasets_app.storage import get_storage
from jobs import lifecycle, queue, runner
from jobs.inference import InferenceServer
from jobs.models import Attempt, Job, TrainedModel, Worker
from jobs.reporter import StopFlag
from jobs.services.submission import inference_submit, training_submit
from tracking.models import User
from tracking.services.projects import jobs_project

TABLE = "plants.csv"


@pytest.fixture(autouse=True)
def _own_redis_connection():
    queue.close_connections()
    yield
    queue.close_connections()


@pytest.fixture
def table(files_root: Path) -> Path:
    """A table that both classes of can be told apart in, in the data root."""
    rows = [f"{i % 7}.5,{i % 5},{'tall' if i % 7 > 3 else 'short'}" for i in range(70)]
    path = files_root / TABLE
    path.write_text("height,leaves,kind\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def submit(user: User, table: Path) -> Callable[..., Job]:
    """submit() -> a pending `noop` training of `user`; anything that `training_submit` takes can be given."""

    def make(**order: Any) -> Job:
        return training_submit(**{"user": user, "model_type": "noop", "data_path": TABLE, **order})

    return make


@pytest.fixture
def training(submit: Callable[..., Job]) -> Job:
    return submit()


@pytest.fixture
def make_model(user: User) -> Callable[..., TrainedModel]:
    """make_model() -> a `noop` model with its files in the storage."""

    def make(*, files: bool = True, **fields: Any) -> TrainedModel:
        owner = fields.pop("owner", user)
        facts = {"name": "m", "model_type": "noop", "framework": "sklearn", "project": jobs_project(owner)}
        model = TrainedModel.objects.create(owner=owner, **facts | fields)
        if files:
            source = Path(settings.DATA_DIR) / "made" / model.public_id
            source.mkdir(parents=True)
            (source / "model.json").write_text(f'{{"model_type": "{model.model_type}"}}')
            get_storage().put_folder(f"models/{model.public_id}", source)
        return model

    return make


@pytest.fixture
def inference(make_model: Callable[..., TrainedModel], user: User) -> Job:
    return inference_submit(user=user, model_id=make_model().public_id, input_data="1,2")


@pytest.fixture
def make_worker(db: None) -> Callable[..., Worker]:
    def make(name: str = "w", **fields: Any) -> Worker:
        now = lifecycle.database_now()
        facts = {"kind": "training", "host": "here", "pid": 1, "queues": ["sklearn"]}
        return Worker.objects.create(name=name, started_at=now, heartbeat_at=now, **facts | fields)

    return make


@pytest.fixture
def worker(make_worker: Callable[..., Worker]) -> Worker:
    return make_worker()


@pytest.fixture
def claim(worker: Worker) -> Callable[..., Attempt]:
    """claim(job) -> the attempt that `worker` begins; there must be no better job in its queue."""

    def take(job: Job) -> Attempt:
        attempt = lifecycle.claim_next(queue_names=[job.queue], worker=worker)
        assert attempt is not None and attempt.job_id == job.pk
        job.refresh_from_db()
        return attempt

    return take


@pytest.fixture
def process_as_it_was() -> Iterator[None]:
    """An attempt takes its whole process: signals, output, log handlers. They are put back."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    outputs = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    handlers = [(handler, handler.stream) for handler in logging.root.handlers if hasattr(handler, "stream")]
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    sys.stdout, sys.stderr = streams
    for number, descriptor in enumerate(outputs, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for handler, stream in handlers:
        handler.setStream(stream)


@pytest.fixture
def run(claim: Callable[..., Attempt], process_as_it_was: None) -> Callable[..., tuple[int, Job]]:
    """run(job) -> (exit status, the job as it is then), after its attempt."""

    def attempt_whole(job: Job, stop: StopFlag | None = None) -> tuple[int, Job]:
        attempt = claim(job)
        held = Job.objects.select_related("owner", "dataset", "run").get(pk=job.pk)
        status = runner.run_attempt(attempt, held, stop or StopFlag())
        return status, Job.objects.get(pk=job.pk)

    return attempt_whole


class NoSignals:
    requested = False


@pytest.fixture
def server(make_worker: Callable[..., Worker]) -> InferenceServer:
    """An inference server as the warm child makes it, without its loop."""
    worker = make_worker("warm", kind="inference", queues=["sklearn-inference"])
    return InferenceServer(worker=worker, signals=NoSignals())


@pytest.fixture
def answer(server: InferenceServer) -> Callable[[Job], Job]:
    """answer(job) -> the job after the server has had it."""

    def execute(job: Job) -> Job:
        attempt = lifecycle.claim_next(queue_names=[job.queue], worker=server.worker)
        assert attempt is not None and attempt.job_id == job.pk
        server.execute(attempt)
        return Job.objects.get(pk=job.pk)

    return execute


def silence(attempt: Attempt, seconds: float) -> None:
    """Let the attempt's last heartbeat be that long ago, by the database's clock."""
    heard = lifecycle.database_now() - timedelta(seconds=seconds)
    assert Attempt.objects.filter(pk=attempt.pk).update(heartbeat_at=heard) == 1


def log_of(job: Job) -> list[tuple[str, str]]:
    """(level, message) of the job's log, its run's where it has one."""
    from jobs.selectors.jobs import log_lines

    return [(line.level, line.message) for line in log_lines(job)]
