"""SQLite's writers wait in turn: the threads of a process in their order, processes by chance, and nobody for ever."""

import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, transaction

from automl_site.sqlite import base
from automl_site.sqlite.base import DatabaseWrapper
from automl_site.sqlite.turns import Turns
from tests.conftest import wait_until

TIMEOUT = 20.0


def settings_of(path: Path, timeout: float = TIMEOUT) -> dict[str, Any]:
    return {
        "ENGINE": "automl_site.sqlite", "NAME": str(path), "AUTOCOMMIT": True, "TIME_ZONE": None, "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False, "OPTIONS": {"timeout": timeout},
    }  # fmt: skip


@pytest.fixture
def connect(tmp_path: Path, django_db_blocker: Any) -> Iterator[Callable[..., DatabaseWrapper]]:
    """Makes connections to one database with a table `rows`; each may be used by any thread."""
    made: list[DatabaseWrapper] = []

    def one(timeout: float = TIMEOUT) -> DatabaseWrapper:
        connection = DatabaseWrapper(settings_of(tmp_path / "db.sqlite3", timeout), "turns")
        connection.inc_thread_sharing()
        made.append(connection)
        return connection

    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as first:
        first.execute("PRAGMA journal_mode=WAL")
        first.execute("CREATE TABLE rows (value INTEGER UNIQUE)")
    with django_db_blocker.unblock():
        yield one
    for connection in made:
        connection.close()


@pytest.fixture(autouse=True)
def own_turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    turns = Turns()
    monkeypatch.setattr(base, "_turns", turns)
    return turns


def insert(connection: DatabaseWrapper, value: int) -> None:
    connection.ensure_connection()
    connection.begin()
    try:
        connection.connection.execute("INSERT INTO rows VALUES (?)", [value])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def values(connection: DatabaseWrapper) -> list[int]:
    return [value for (value,) in connection.connection.execute("SELECT value FROM rows ORDER BY rowid")]


def test_threads_write_in_the_order_in_which_they_came(
    connect: Callable[..., DatabaseWrapper], own_turns: Turns
) -> None:
    first = connect()
    first.ensure_connection()
    first.begin()
    threads = []
    for number in range(12):
        threads.append(threading.Thread(target=insert, args=(connect(), number)))
        threads[-1].start()
        wait_until(lambda number=number: len(own_turns._waiting) == number + 1, what="the wait")  # type: ignore[misc]
    first.commit()
    for thread in threads:
        thread.join(20)
    assert values(first) == list(range(12))


def test_who_waits_longer_than_the_timeout_is_told_and_its_turn_goes_to_the_next(
    connect: Callable[..., DatabaseWrapper], own_turns: Turns
) -> None:
    first, patient = connect(), connect()
    first.ensure_connection()
    first.begin()
    with pytest.raises(OperationalError, match="locked"):
        insert(connect(timeout=0.05), 1)
    thread = threading.Thread(target=insert, args=(patient, 2))
    thread.start()
    wait_until(lambda: len(own_turns._waiting) == 1, what="the wait")
    first.rollback()
    thread.join(20)
    assert values(first) == [2]


def test_a_process_that_writes_for_too_long_costs_the_waiting_ones_a_failure_and_no_turn(
    connect: Callable[..., DatabaseWrapper], tmp_path: Path
) -> None:
    hasty = connect(timeout=0.05)
    with closing(sqlite3.connect(tmp_path / "db.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            insert(hasty, 1)
        other.execute("ROLLBACK")
    insert(hasty, 2)
    assert values(hasty) == [2]
    assert hasty.connection.execute("PRAGMA busy_timeout").fetchone() == (50,)


def test_a_transaction_that_fails_or_is_closed_in_its_middle_gives_its_turn_back(
    connect: Callable[..., DatabaseWrapper], own_turns: Turns
) -> None:
    one = connect()
    insert(one, 1)
    with pytest.raises(sqlite3.IntegrityError):
        insert(one, 1)
    assert not own_turns._taken
    one.begin()
    one.close()
    assert not own_turns._taken
    insert(one, 2)
    assert values(one) == [1, 2]


def test_after_a_commit_that_failed_the_turn_is_kept_until_the_rollback(
    connect: Callable[..., DatabaseWrapper], own_turns: Turns
) -> None:
    one = connect()
    one.ensure_connection()
    one.connection.execute("PRAGMA foreign_keys=ON")
    one.connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    one.connection.execute("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    one.begin()
    one.connection.execute("INSERT INTO children VALUES (7)")
    with pytest.raises(Exception, match="FOREIGN KEY"):
        one.commit()
    assert own_turns._taken
    one.rollback()
    assert not own_turns._taken


def test_a_forked_child_has_its_own_turns(own_turns: Turns) -> None:
    own_turns.take(0.1)
    child = os.fork()
    if child == 0:
        os._exit(0 if own_turns.take(0.1) is False else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(TimeoutError):
        own_turns.take(0.01)


WRITES = 20


def write_often(path: Path, begun: Any, ended: Any) -> None:
    """As a process of its own: WRITES transactions, one right after the other."""
    connection = DatabaseWrapper(settings_of(path), "turns")
    connection.ensure_connection()
    begun.set()
    for _ in range(WRITES):
        connection.begin()
        connection.commit()
    ended.set()
    connection.close()


def test_a_process_gets_its_turns_beside_another_whose_threads_always_wait(
    connect: Callable[..., DatabaseWrapper], tmp_path: Path
) -> None:
    over = threading.Event()
    taken: list[float] = []

    def write_slowly(connection: DatabaseWrapper) -> None:
        connection.ensure_connection()
        while not over.is_set():
            connection.begin()
            time.sleep(0.01)
            connection.commit()
            taken.append(time.monotonic())

    threads = [threading.Thread(target=write_slowly, args=(connect(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    spawning = multiprocessing.get_context("spawn")
    begun, ended = spawning.Event(), spawning.Event()
    process = spawning.Process(target=write_often, args=(tmp_path / "db.sqlite3", begun, ended))
    process.start()
    assert begun.wait(60)
    before = len(taken)
    assert ended.wait(60)
    others = len(taken) - before
    over.set()
    for thread in threads:
        thread.join(20)
    process.join(20)
    assert 0 < others <= 3 * WRITES  # 1 to 5; as SQLite waits by itself, 120 and more


@pytest.mark.django_db(transaction=True)
def test_djangos_transactions_take_turns(own_turns: Turns) -> None:
    from django.db import connection

    if connection.vendor != "sqlite":
        assert not own_turns._taken
        return
    with transaction.atomic():
        assert own_turns._taken
        with transaction.atomic():
            assert own_turns._taken
        assert own_turns._taken
    assert not own_turns._taken
