"""Many writers and readers of a run's stream at once: no gaps, numbers in the order of the commits, none skipped."""

import random
import threading
from collections import Counter

import pytest
from django.db import connection, transaction

from tests.conftest import examples
from tracking import store, stream
from tracking.models import MetricSegment, Run
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create, run_status_set
from tracking.stream import LogEntry, Point

WRITERS = 6
APPENDS = examples(full=25, brief=10)
NAMES = ["a", "b", "c", "d", "e"]


class Threads:
    """Threads that begin together; `join` raises what one of them raised."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def start(self, work, *arguments):
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - told by join
                self.errors.append(error)
            finally:
                connection.close()

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def join(self, timeout=60.0):
        for thread in self.threads:
            thread.join(timeout)
        assert not any(thread.is_alive() for thread in self.threads)
        if self.errors:
            raise self.errors[0]


def write(run_ids, seed, written):
    chance = random.Random(seed)
    for number in range(APPENDS):
        run_id = chance.choice(run_ids)
        names = chance.sample(NAMES, chance.randint(1, 4))
        points = [Point(name, seed * 1000 + number) for name in names]
        logs = [LogEntry("INFO", f"{seed}.{number}.{i}") for i in range(chance.randint(0, 3))]
        with transaction.atomic():
            last = stream.append(run_id=run_id, points=points, logs=logs)
            # What came before is there already: this transaction holds the run's row, nobody else can be ahead.
            head = Run.objects.values_list("seq", flat=True).get(pk=run_id)
        assert head == last
        written.append((run_id, len(points) + len(logs), Counter(names)))


def follow(run_id, seen, writers_done):
    while True:
        over = writers_done.is_set()
        while messages := stream.read(run_id=run_id, after=seen[-1] if seen else 0, limit=7):
            for message in messages:
                assert message["id"] == (seen[-1] if seen else 0) + 1, "the reader skipped or repeated a message"
                seen.append(message["id"])
        if over:
            return


@pytest.mark.django_db(transaction=True)
def test_writers_and_readers_at_once_skip_nothing(user):
    runs = [run_create(project=jobs_project(user), name=f"run {i}", config={}, tags=[]) for i in range(2)]
    run_ids = [run.pk for run in runs]
    written: list[tuple[int, int, Counter[str]]] = []
    seen: dict[int, list[int]] = {run_id: [] for run_id in run_ids}
    writers_done = threading.Event()
    writers, readers = Threads(), Threads()
    for run_id in run_ids:
        readers.start(follow, run_id, seen[run_id], writers_done)
    for seed in range(WRITERS):
        writers.start(write, run_ids, seed, written)
    try:
        writers.join()
    finally:
        writers_done.set()
    readers.join()

    assert len(written) == WRITERS * APPENDS
    for run in runs:
        run.refresh_from_db()
        assert run.seq == sum(count for run_id, count, _ in written if run_id == run.pk)
        assert seen[run.pk] == list(range(1, run.seq + 1))
        logged = sum((names for run_id, _, names in written if run_id == run.pk), Counter())
        assert {summary.name: summary.count for summary in store.summaries(run.pk)} == logged
        for name, columns in store.read_series(run.pk).items():
            # Points without a step got distinct ones.
            assert sorted(columns.steps.tolist()) == list(range(logged[name]))
    ranges = sorted(MetricSegment.objects.values_list("first_id", "count"))
    assert all(first + count <= following for (first, count), (following, _) in zip(ranges, ranges[1:], strict=False))


@pytest.mark.django_db(transaction=True)
def test_a_status_is_taken_by_one_of_many(user):
    run = run_create(project=jobs_project(user), name="run", config={}, tags=[])
    outcomes: list[bool] = []
    threads = Threads()
    barrier = threading.Barrier(5)

    def cancel() -> None:
        barrier.wait()
        outcomes.append(run_status_set(run_id=run.pk, status="cancelled"))

    for _ in range(5):
        threads.start(cancel)
    threads.join()
    assert sorted(outcomes) == [False, False, False, False, True]
    assert [m["type"] for m in stream.read(run_id=run.pk, after=0)] == ["run"]
