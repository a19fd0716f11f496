"""A worker's row: whose name it is, and what happens when it was given away."""

import os
from datetime import timedelta

import pytest

from jobs import lifecycle, registration
from jobs.models import Worker
from jobs.registration import Registration

pytestmark = pytest.mark.django_db

CAPABILITIES = {"frameworks": {"sklearn": "1.9"}, "cores": 2}


def register(name="", kind="training"):
    return Registration(kind=kind, queues=["sklearn"], capabilities=CAPABILITIES, wanted_name=name)


@pytest.fixture
def elsewhere(monkeypatch):
    """Registrations are those of processes of another machine from here on."""

    def move(host="there", pid=None):
        monkeypatch.setattr(registration.socket, "gethostname", lambda: host)
        monkeypatch.setattr(registration, "machine_id", lambda: f"the boot of {host}")
        if pid is not None:
            monkeypatch.setattr(registration.os, "getpid", lambda: pid)

    return move


def silent(worker, seconds):
    heard = lifecycle.database_now() - timedelta(seconds=seconds)
    assert Worker.objects.filter(pk=worker.pk).update(heartbeat_at=heard) == 1


def test_a_worker_is_listed_with_what_it_serves(elsewhere):
    elsewhere("here")
    worker = register().worker
    assert (worker.name, worker.kind, worker.host, worker.pid) == ("here-training-1", "training", "here", os.getpid())
    assert (worker.queues, worker.state) == (["sklearn"], "idle")
    assert worker.capabilities == {**CAPABILITIES, "machine": "the boot of here"}
    assert register("mine").worker.name == "mine"


def test_names_are_bounded(elsewhere):
    elsewhere("h" * 250)
    assert len(register().worker.name) == 100
    names = {register("n" * 300).worker.name}
    elsewhere("another")  # a live namesake keeps its name
    names.add(register("n" * 300).worker.name)
    assert {len(name) for name in names} == {100} and len(names) == 2


def test_live_workers_of_another_machine_keep_their_names(elsewhere):
    elsewhere("a")
    first = register("w").worker
    elsewhere("b")
    second = register("w").worker
    assert (first.name, second.name) == ("w", "w-2")
    elsewhere("c")
    assert register("w").worker.name == "w-3"


@pytest.mark.parametrize("fate", ["stopped", "silent", "a process that is no more"])
def test_a_name_that_is_free_is_taken_with_its_row(elsewhere, fate):
    elsewhere("a", pid=2**22 + 5)  # above the highest id of a process
    before = register("w")
    if fate == "stopped":
        before.stopped()
        elsewhere("b")
    elif fate == "silent":
        silent(before.worker, 60)
        elsewhere("b")
    else:
        elsewhere("a", pid=os.getppid())
    after = register("w").worker
    assert (after.pk, after.name, after.state) == (before.worker.pk, "w", "idle")
    assert Worker.objects.count() == 1


def test_a_heartbeat_says_that_it_lives_and_what_it_does():
    here = register()
    silent(here.worker, 60)
    here.beat(Worker.State.BUSY)
    row = Worker.objects.get()
    assert row.state == "busy"
    assert lifecycle.database_now() - row.heartbeat_at < timedelta(seconds=5)
    here.stopped()
    assert Worker.objects.get().state == "stopped"


def test_a_worker_whose_row_was_given_away_while_it_was_silent_gets_another(elsewhere):
    elsewhere("a")
    sleeper = register("w")
    silent(sleeper.worker, 60)
    elsewhere("b", pid=4_000_000)
    successor = register("w")
    assert successor.worker.pk == sleeper.worker.pk
    elsewhere("a")
    sleeper.beat(Worker.State.IDLE)
    assert sleeper.worker.name == "w-2"
    taken = Worker.objects.get(name="w")
    assert (taken.host, taken.pid) == ("b", 4_000_000)
    sleeper.stopped()
    assert Worker.objects.get(name="w").state == "idle"


def test_a_worker_whose_row_was_deleted_registers_anew():
    here = register("w")
    Worker.objects.all().delete()
    here.beat(Worker.State.IDLE)
    assert Worker.objects.get().pk == here.worker.pk


@pytest.mark.django_db(transaction=True)
def test_workers_that_start_at_the_same_time_get_names_of_their_own(monkeypatch):
    from tests.jobs.test_attempts import all_at_once

    # Processes of one machine have ids of their own; these threads have not.
    monkeypatch.setattr(Registration, "_is_free", lambda self, row: False)
    names = [each.worker.name for each in all_at_once(*(lambda: register("w") for _ in range(5)))]
    assert set(names) == {"w", "w-2", "w-3", "w-4", "w-5"}
