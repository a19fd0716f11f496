"""Frameworks are imported when a job first needs them: before the claim, once for all that follow."""

import subprocess
import sys
from datetime import timedelta

import pytest

from jobs import lifecycle
from jobs.models import Job, Worker
from jobs.registration import Registration
from jobs.worker import NothingToServe, TrainingWorker
from tests.conftest import wait_until
from tests.jobs.test_worker import Signals
from trainers import registry

pytestmark = pytest.mark.django_db

START = """
import django, sys
django.setup()
import jobs.inference, jobs.layout, jobs.management.commands.worker
from jobs.worker import import_trainers
assert "sklearn" not in sys.modules
assert import_trainers({"sklearn"}) == set()
heavy = {"torch", "keras", "tensorflow", "transformers", "tokenizers"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_worker_starts_and_trains_forests_without_pytorch_keras_or_transformers():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def lazy(tmp_path, monkeypatch):
    """lazy("code") -> the name of a model type of framework `pytorch` whose module has this code."""

    def make(code="", name="lazy_trainer_of_the_tests"):
        (tmp_path / f"{name}.py").write_text(code)
        info = registry.TrainerInfo(
            name=name, framework="pytorch", title="", description="", config=registry.NoopConfig, module=name
        )
        monkeypatch.setitem(registry.TRAINERS, name, info)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.endswith("_of_the_tests")]:
        del sys.modules[name]


@pytest.fixture
def make_trainer(redis_client):
    def make(*queues):
        registration = Registration(kind="training", queues=queues, capabilities={}, wanted_name="deep")
        return TrainingWorker(registration=registration, signals=Signals(), guard=None)

    return make


@pytest.fixture
def waiting(submit):
    """waiting(model_type) -> a pending job of that type in the queue `pytorch-2.1`."""

    def make(model_type, queue="pytorch-2.1"):
        job = submit()
        Job.objects.filter(pk=job.pk).update(queue=queue, model_type=model_type)
        return job

    return make


def test_a_trainer_is_imported_when_its_first_job_is_next(lazy, make_trainer, waiting):
    needed, other = lazy(), lazy(name="other_of_the_tests")
    here = make_trainer("pytorch-2.1", "tensorflow")
    assert here.ready_for(["pytorch-2.1"]) == ["pytorch-2.1"]
    assert needed not in sys.modules  # there is no job yet
    waiting(needed)
    waiting(other)
    assert here.ready_for(["tensorflow"]) == ["tensorflow"]
    assert needed not in sys.modules
    assert here.ready_for(["pytorch-2.1", "tensorflow"]) == ["pytorch-2.1", "tensorflow"]
    assert needed in sys.modules and other not in sys.modules
    assert Job.objects.filter(status="pending").count() == 2


def test_a_model_type_of_yesterday_is_left_to_its_job(make_trainer, waiting):
    waiting("no such type!")
    assert make_trainer("pytorch-2.1").ready_for(["pytorch-2.1"]) == ["pytorch-2.1"]


def test_a_queue_whose_job_needs_what_cannot_be_imported_is_served_no_longer(lazy, make_trainer, waiting, caplog):
    job = waiting(lazy("raise ImportError('libtorch_cpu.so: cannot open')"))
    here = make_trainer("pytorch-2.1", "pytorch-2.0", "tensorflow")
    assert here.ready_for(["pytorch-2.1", "tensorflow"]) == ["tensorflow"]
    assert Worker.objects.get(name="deep").queues == here.worker.queues == ["pytorch-2.0", "tensorflow"]
    assert [each.name for each in here._ordered_queues] == ["pytorch-2.0", "tensorflow"]
    assert "cannot be imported; its queues are not served" in caplog.text
    assert Job.objects.get(pk=job.pk).status == "pending"


def test_a_worker_with_nothing_left_to_serve_ends(lazy, make_trainer, waiting):
    waiting(lazy("1 / 0"))
    with pytest.raises(NothingToServe):
        make_trainer("pytorch-2.1").work()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_imports_is_heard_of_all_the_while(redis_client):
    registration = Registration(kind="training", queues=["pytorch-2.1"], capabilities={})
    rows = Worker.objects.filter(pk=registration.worker.pk)
    long_ago = lifecycle.database_now() - timedelta(hours=1)
    rows.update(heartbeat_at=long_ago)
    with registration.beating(Worker.State.IDLE, every=0.01):
        wait_until(lambda: rows.filter(heartbeat_at__gt=long_ago + timedelta(minutes=30)).exists(), what="a heartbeat")
    rows.update(heartbeat_at=long_ago)
    assert rows.get().heartbeat_at == long_ago  # nobody beats any more
