"""Each family of trainers, killed, cancelled and cut off in mid-epoch: it ends as if nothing had happened."""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from jobs.models import Job
from jobs.services.control import job_cancel, job_resume
from jobs.services.submission import training_submit
from jobs.workspace import workspace
from tests.conftest import wait_until
from tests.recovery.conftest import Platform, is_gone, tree
from tests.recovery.test_outages import database_away
from tests.recovery.up import WITH_FRAMEWORKS
from tests.trainers.vision.conftest import KINDS, picture, png
from tracking.selectors.metrics import metric_history

pytestmark = [pytest.mark.recovery, pytest.mark.full]

TRAINING_SECONDS = 600.0  # a small training on a busy machine
SEED = 7
# Threads that spin for each other take a small training many times as long where other work goes on.
ONE_THREAD = {**WITH_FRAMEWORKS, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Family:
    model_type: str
    write: Callable[[Path], None]
    hyperparameters: dict[str, Any]


def write_images(path: Path) -> None:
    for kind in KINDS:
        folder = path / kind
        folder.mkdir(parents=True)
        for number in range(24):
            folder.joinpath(f"{number}.png").write_bytes(png(picture(kind, number)))


def write_text(path: Path) -> None:
    words = ["the", "a", "small", "large", "tree", "house", "river", "stone", "walks", "sleeps", "near", "and", "then"]
    draw = random.Random(5)
    path.mkdir()
    for number in range(20):
        sentences = [" ".join(draw.choices(words, k=8)).capitalize() + "." for _ in range(8)]
        path.joinpath(f"{number}.txt").write_text(" ".join(sentences))


# Checkpoints often enough that little is done twice, seldom enough that a kill comes in between.
PICTURES = {"epochs": 4, "batch_size": 8, "checkpoint_seconds": 3.0}
SMALL_GPT = {
    "checkpoint_seconds": 0.5,
    "epochs": 24,  # so long that a fast machine is met in the middle, too
    "batch_size": 4,
    "max_length": 32,
    "num_layers": 2,
    "hidden_size": 64,
    "vocab_size": 300,
}
FAMILIES = {
    "vision": Family("resnet", write_images, {"depth": 18, **PICTURES}),
    "keras": Family("mobilenet", write_images, {"variant": "small", **PICTURES}),
    "text": Family("gpt", write_text, SMALL_GPT),
    # Under torchrun: its processes leave the group of the one that started them.
    "two processes": Family("gpt", write_text, {**SMALL_GPT, "num_gpus": 2, "device": "cpu"}),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def order(family: str, platform: Platform) -> Callable[[], Job]:
    """order() -> a training of this family that waits for its worker; always the same one."""
    kind = FAMILIES[family]
    data_path = f"examples-{uuid.uuid4().hex}"  # the data root is there for all tests of the process
    kind.write(Path(settings.FILES_ROOT) / data_path)
    hyperparameters = {**kind.hyperparameters, "random_state": SEED}

    def submit() -> Job:
        return training_submit(
            user=platform.user, model_type=kind.model_type, data_path=data_path, hyperparameters=hyperparameters
        )

    return submit


def losses(job: Job) -> dict[int, float]:
    """The loss of each step that the job's run was told, the last word on each."""
    points = metric_history(run=job.run, name="train_loss")
    return dict(zip(points.steps.tolist(), points.values.tolist(), strict=True))


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[int, float]]:
    """The losses of each family's training, kept by the first test that needs them."""
    return {}


@pytest.fixture
def expected(
    platform: Platform, family: str, order: Callable[[], Job], undisturbed: dict[str, dict[int, float]]
) -> Callable[[], dict[int, float]]:
    """expected() -> the losses of the training that nothing happens to; a worker has to be there."""

    def look() -> dict[int, float]:
        if family not in undisturbed:
            undisturbed[family] = losses(platform.wait_for(order(), "completed", timeout=TRAINING_SECONDS))
        return undisturbed[family]

    return look


def wait_for_the_middle(platform: Platform, job: Job) -> None:
    """Some epochs are done, a checkpoint is there, and there is more to come."""
    checkpoint = workspace(job.pk, 1).checkpoint

    def reached() -> bool:
        job.refresh_from_db()
        return job.progress > 0.3 and any(map(Path.is_file, checkpoint.rglob("*")))

    wait_until(reached, timeout=TRAINING_SECONDS, what="the middle of the training", told=platform.logs)
    assert job.progress < 0.9


def test_a_killed_training_ends_with_the_loss_curve_of_one_that_was_not(
    platform: Platform, order: Callable[[], Job], expected: Callable[[], dict[int, float]]
) -> None:
    worker = platform.worker(**ONE_THREAD)
    curve = expected()
    job = order()
    wait_for_the_middle(platform, job)
    platform.horse(worker).kill()
    platform.wait_for(job, "completed", timeout=TRAINING_SECONDS)
    assert platform.statuses(job) == ["lost", "completed"]
    assert any(line.startswith("resumed in epoch") for line in platform.log(job))
    assert losses(job) == pytest.approx(curve, abs=1e-5)
    assert sorted(losses(job)) == list(range(1, len(losses(job)) + 1))


@pytest.mark.real_periods
def test_a_cancelled_training_ends_within_5_s_and_goes_on_from_its_checkpoint(
    platform: Platform, order: Callable[[], Job], expected: Callable[[], dict[int, float]]
) -> None:
    worker = platform.worker(**ONE_THREAD)
    curve = expected()
    job = order()
    wait_for_the_middle(platform, job)
    processes = tree(platform.horse(worker).pid)
    job_cancel(user=platform.user, job=job)
    cancelled = time.monotonic()
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=10, what="the end of the process tree")
    assert time.monotonic() - cancelled < 5
    wait_until(lambda: Job.objects.get(pk=job.pk).checkpoint_host, what="the word that a checkpoint is kept")
    assert [each.name for each in workspace(job.pk, 1).folder.iterdir()] == ["checkpoint"]
    assert not (Path(settings.FILES_ROOT) / "models" / job.model_public_id).exists()
    resumed = job_resume(user=platform.user, job=Job.objects.get(pk=job.pk))
    platform.wait_for(resumed, "completed", timeout=TRAINING_SECONDS)
    log = platform.log(resumed)
    assert f"goes on from the last checkpoint of {job.public_id}" in log
    assert any(line.startswith("resumed in epoch") for line in log)
    assert losses(job) | losses(resumed) == pytest.approx(curve, abs=1e-5)


def test_a_training_goes_on_and_loses_no_point_while_database_and_redis_are_away(
    platform: Platform, order: Callable[[], Job]
) -> None:
    platform.reconciler()
    worker = platform.worker(**ONE_THREAD)
    job = order()
    wait_for_the_middle(platform, job)
    horse = platform.horse(worker)
    with database_away():
        platform.valkey.kill()
        platform.valkey.wait()
        away_until = time.monotonic() + 2.5 * float(platform.environment["AUTOML_DEAD_AFTER"])
        while time.monotonic() < away_until:
            assert worker.poll() is None
            time.sleep(0.1)
    platform.start_valkey()
    platform.wait_for(job, "completed", timeout=TRAINING_SECONDS)
    assert platform.attempts(job) == [("completed", "")]
    assert is_gone(horse.pid) or platform.horse(worker).pid == horse.pid
    steps = sorted(losses(job))
    assert steps == list(range(1, steps[-1] + 1))
