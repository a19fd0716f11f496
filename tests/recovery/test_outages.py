"""The database away for a while, and the real periods: what is healthy goes on, what died is noticed in time."""

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.db import connection

from jobs.models import Attempt
from jobs.services.control import job_cancel
from scripts.with_postgres import PostgresServer
from tests.conftest import wait_until
from tests.recovery.conftest import Platform, database_url, is_gone, tree
from tests.recovery.up import Up

pytestmark = [pytest.mark.recovery, pytest.mark.full]


@contextmanager
def database_away() -> Iterator[None]:
    """Nobody else can write to SQLite, nor do anything with PostgreSQL."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")
        return
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (mine,) = cursor.fetchone()
    elsewhere = database_url().rpartition("/")[0] + "/postgres"  # a database may not shut itself
    with psycopg.connect(elsewhere, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s", [name, mine]
        )
        yield
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_nothing_healthy_is_killed_while_the_database_is_away(platform: Platform) -> None:
    platform.reconciler()
    worker = platform.worker()
    job, pending = platform.submit(seconds=5, steps=50), platform.submit(seconds=0.1, steps=1)
    platform.wait_for_step(job, 3)
    horse = platform.horse(worker)
    away_for = 2.5 * float(platform.environment["AUTOML_DEAD_AFTER"])
    with database_away():
        ended = time.monotonic() + away_for
        while time.monotonic() < ended:
            assert worker.poll() is None
            assert not is_gone(horse.pid)
            time.sleep(0.1)
    platform.wait_for(job, "completed", timeout=30)
    platform.wait_for(pending, "completed", timeout=30)
    assert platform.attempts(job) == [("completed", "")]
    assert platform.attempts(pending) == [("completed", "")]
    assert platform.log(job) == [f"step {step} of 50" for step in range(1, 51)]


@pytest.mark.real_periods
def test_with_the_real_periods_a_dead_worker_is_noticed_within_15_s_and_a_cancelled_job_ends_within_5_s(
    platform: Platform,
) -> None:
    platform.reconciler()
    worker = platform.worker()
    second = platform.start_worker()
    job = platform.submit(seconds=600, steps=6000, spawn_children=1)
    platform.wait_for_step(job, 3)
    if Attempt.objects.get(job=job).worker.pid != worker.pid:
        worker, second = second, worker
    worker.kill()
    killed = time.monotonic()
    worker.wait()
    wait_until(lambda: platform.statuses(job) == ["lost", "running"], timeout=30, what="the second attempt")
    assert time.monotonic() - killed < 15
    platform.children_of(job, attempt=2)
    horse = platform.horse(second)
    processes = {*tree(horse.pid), *platform.children_of(job, attempt=2)}
    job.refresh_from_db()
    cancelled = time.monotonic()
    job_cancel(user=platform.user, job=job)
    wait_until(lambda: all(is_gone(pid) for pid in processes), timeout=10, what="the end of the process tree")
    assert time.monotonic() - cancelled < 5


def test_postgresql_away_for_30_seconds_costs_no_job_anything(start: Callable[..., Up]) -> None:
    with PostgresServer() as server:
        up = start("data", DATABASE_URL=server.url, AUTOML_TEST_TRAINERS="1", AUTOML_OPEN="1").ready()
        (up.data / "files" / "x.csv").write_text("a,b\n1,2\n")
        order = {"model_type": "sleeper", "data_path": "x.csv", "hyperparameters": {"seconds": 40, "steps": 400}}
        job = up.post("/jobs/training", order)["job_id"]
        wait_until(lambda: up.get(f"/jobs/{job}/status")["status"] == "running", timeout=30, what="the beginning")
        horses = [process for process in up.family() if "worker --kind training" in " ".join(process.cmdline())]
        server.stop(immediate=True)
        ended = time.monotonic() + 30
        while time.monotonic() < ended:
            assert all(process.is_running() for process in horses)
            time.sleep(0.5)
        server.start()
        wait_until(
            lambda: up.get(f"/jobs/{job}/status")["status"] == "completed", timeout=90, what="the end of the job"
        )
        answer = up.get(f"/jobs/{job}/status")
        assert answer["attempt"] == 1
        assert [process for process in up.family() if process.pid == horses[0].pid]
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(timeout=15) == 0
