"""Many clients, many jobs, and workers that are killed all the time: every job is done, and done once."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from tests.conftest import wait_until
from tests.recovery.up import Up, rows

pytestmark = [pytest.mark.recovery, pytest.mark.full, pytest.mark.real_periods]

CLIENTS, JOBS = 50, 2_000
KILL_EVERY = 10.0  # seconds
ORDER = {"model_type": "noop", "data_path": "x.csv"}


def ask_for_the_end(up: Up) -> bool:
    # Not whether none is pending or running: between these two questions a lost one goes from the one to the other.
    return sum(up.get(f"/jobs?status={end}&limit=0")["total"] for end in ("completed", "failed", "cancelled")) == JOBS


def submit_all(up: Up) -> list[str]:
    """The ids of all jobs, submitted by all clients at once."""

    def client(_: int) -> list[str]:
        return [up.post("/jobs/training", ORDER)["job_id"] for _ in range(JOBS // CLIENTS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(itertools.chain.from_iterable(pool.map(client, range(CLIENTS))))


class Killer(threading.Thread):
    """Kills one of the training workers every KILL_EVERY seconds, until it is told to end."""

    def __init__(self, up: Up) -> None:
        super().__init__(daemon=True)
        self.up = up
        self.over = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        for turn in itertools.count():
            if self.over.wait(KILL_EVERY):
                return
            workers = [each for each in self.up.family() if is_training_worker(each, self.up.process.pid)]
            if workers:
                victim = workers[turn % len(workers)]
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
                    self.killed.append(victim.pid)


def is_training_worker(process: psutil.Process, supervisor: int) -> bool:
    with suppress(psutil.Error):
        return process.ppid() == supervisor and "worker --kind training" in " ".join(process.cmdline())
    return False


def test_of_two_thousand_jobs_each_ends_once_while_workers_are_killed(start: Callable[..., Up]) -> None:
    up = start("data", "--workers", "2", AUTOML_OPEN="1", AUTOML_TEST_TRAINERS="1").ready()
    (up.data / "files" / "x.csv").write_text("a,b\n1,2\n")
    killer = Killer(up)
    killer.start()
    submitted = submit_all(up)
    wait_until(lambda: ask_for_the_end(up), timeout=900, what="the end of all jobs", told=up.said)
    killer.over.set()
    killer.join()
    assert len(set(submitted)) == JOBS
    assert killer.killed
    database = up.data / "db.sqlite3"
    assert rows(database, "SELECT status, COUNT(*) FROM jobs_job GROUP BY status") == [("completed", JOBS)]
    completed = rows(database, "SELECT COUNT(*), COUNT(DISTINCT job_id) FROM jobs_attempt WHERE status = 'completed'")
    assert completed == [(JOBS, JOBS)]
    assert rows(database, "SELECT COUNT(*), COUNT(DISTINCT job_id) FROM jobs_trainedmodel") == [(JOBS, JOBS)]
    # What was begun otherwise was begun by a worker that was killed.
    others = rows(database, "SELECT status, COUNT(*) FROM jobs_attempt WHERE status != 'completed' GROUP BY status")
    assert dict(others).keys() <= {"lost"}
    assert sum(count for _, count in others) <= len(killer.killed)
