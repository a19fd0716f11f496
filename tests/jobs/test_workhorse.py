"""The work-horse's side, in this process: which attempts are followed by another, and what each begins with."""

import os
import random
import socket
import sys
import warnings
from contextlib import suppress

import numpy
import pytest

from jobs import lifecycle, reporter, workhorse
from jobs.failures import EXIT_STOPPED
from jobs.models import Job
from jobs.reporter import StopFlag
from tests.jobs.conftest import log_of
from trainers import noop
from trainers.protocol import Stopped, TrainerError

pytestmark = pytest.mark.django_db(transaction=True)


class Traces:
    """Of a process that has threads of its own, as a test's has: the words are the test's."""

    words = ""

    def left(self, *, max_growth):
        return self.words


@pytest.fixture(autouse=True)
def traces(monkeypatch):
    made = Traces()
    monkeypatch.setattr(workhorse, "Traces", lambda: made)
    return made


@pytest.fixture
def serve(worker, process_as_it_was):
    """serve(*jobs) -> (exit status, how many were said to be finished); it is given all of them, one by one."""

    def give(*jobs, stop=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            for _ in jobs:
                attempt = lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
                ours.send(str(attempt.pk).encode())
            ours.shutdown(socket.SHUT_WR)
            status = workhorse.serve(theirs, stop or StopFlag())
            return status, received(ours)

    return give


def received(channel):
    channel.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while channel.recv(64):
            count += 1
    return count


def statuses(*jobs):
    return [Job.objects.get(pk=job.pk).status for job in jobs]


def also(monkeypatch, action):
    """Have the trainer do this first."""
    train = noop.train

    def both(config, data_path, out, reporter):
        action(reporter)
        return train(config, data_path, out, reporter)

    monkeypatch.setattr(noop, "train", both)


def test_completed_jobs_follow_each_other_in_one_process(submit, serve):
    jobs = [submit(), submit(), submit()]
    assert serve(*jobs) == (0, 3)
    assert statuses(*jobs) == ["completed"] * 3


@pytest.mark.parametrize("error", [TrainerError("The data are odd."), RuntimeError("a bug"), MemoryError()])
def test_a_failed_job_is_followed_by_none(submit, serve, monkeypatch, error):
    jobs = [submit(), submit()]
    also(monkeypatch, lambda reporter: (_ for _ in ()).throw(error))
    assert serve(*jobs) == (0, 0)
    assert statuses(*jobs) == ["failed", "running"]  # the second was never begun: its claim is the parent's to settle


def test_a_stopped_job_is_followed_by_none(submit, serve, monkeypatch):
    job, stop = submit(), StopFlag()
    stop.set(StopFlag.HAND_BACK)
    also(monkeypatch, lambda reporter: (_ for _ in ()).throw(Stopped))
    assert serve(job, submit(), stop=stop) == (EXIT_STOPPED, 0)


def test_a_job_that_was_completed_while_it_was_asked_to_stop_is_followed_by_none(submit, serve):
    job, stop = submit(), StopFlag()
    stop.set(StopFlag.TIMEOUT)
    assert serve(job, submit(), stop=stop) == (0, 0)
    assert statuses(job) == ["completed"]


def test_a_cancelled_job_is_followed_by_none(submit, serve, monkeypatch):
    job, other = submit(), submit()
    also(monkeypatch, lambda reporter: lifecycle.cancel(job=job))
    assert serve(job, other) == (0, 0)
    assert statuses(job, other) == ["cancelled", "running"]


def test_a_job_that_changed_its_process_is_followed_by_none(submit, serve, traces, caplog):
    traces.words = "environment"
    job = submit()
    with caplog.at_level("INFO", "jobs.workhorse"):
        assert serve(job, submit()) == (0, 0)
    assert statuses(job) == ["completed"]
    assert f"Job {job.pk} changed its process (environment)" in caplog.text


def test_a_deleted_job_ends_the_process(submit, serve, monkeypatch):
    job = submit()
    monkeypatch.setattr(workhorse, "_load", lambda pk: None)
    assert serve(job) == (0, 0)


def test_each_job_has_random_numbers_of_its_own(submit, serve, monkeypatch):
    drawn = []

    def draw(reporter):
        drawn.append((random.random(), numpy.random.random()))
        random.seed(7)
        numpy.random.seed(7)

    random.seed(7)
    numpy.random.seed(7)
    also(monkeypatch, draw)
    assert serve(submit(), submit(), submit()) == (0, 3)
    python, numpys = zip(*drawn, strict=True)
    assert len(set(python)) == len(set(numpys)) == 3


def test_output_and_filters_of_warnings_are_a_jobs_own(submit, serve, monkeypatch):
    monkeypatch.setattr(reporter, "GATHER_SECONDS", 60)  # its thread opens no file of the database's own meanwhile
    descriptors = []

    def speak(_):
        mine = len(descriptors)
        descriptors.append(len(os.listdir("/proc/self/fd")))
        print(f"printed by {mine}")  # noqa: T201
        os.write(1, f"written by {mine}\n".encode())
        warnings.simplefilter("ignore")

    also(monkeypatch, speak)
    outputs, streams = [os.fstat(1), os.fstat(2)], (sys.stdout, sys.stderr)
    filters = list(warnings.filters)
    jobs = [submit(), submit(), submit()]
    assert serve(*jobs) == (0, 3)
    for mine, job in enumerate(jobs):
        text = "\n".join(message for _, message in log_of(job))
        for words in ("printed by", "written by"):
            assert f"{words} {mine}" in text
            assert f"{words} {(mine + 1) % 3}" not in text
    assert ([os.fstat(1), os.fstat(2)], (sys.stdout, sys.stderr)) == (outputs, streams)
    assert warnings.filters == filters
    # The first one made the kept connections. Fewer: what an earlier test has left open was closed meanwhile.
    assert descriptors[2] <= descriptors[1]


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({}, True),
        ({"requires_gpu": True}, False),
        ({"queue": "pytorch-2.1"}, False),
        ({"queue": "an unknown one"}, False),
    ],
)
def test_only_jobs_known_to_leave_nothing_behind_share_a_process(fields, taken):
    assert workhorse.takes(Job(**{"queue": "sklearn", **fields})) is taken
