"""What is deleted gives its space back."""

import os
import time
from pathlib import Path

import pytest
from django.db import ConnectionHandler, connection

from automl_site import space


@pytest.fixture
def database(db, tmp_path, monkeypatch):
    """A file of its own, opened as the platform opens its database."""
    path = tmp_path / "db.sqlite3"
    made = ConnectionHandler(
        {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(path),
                "OPTIONS": {"timeout": 20, "init_command": "PRAGMA journal_mode=WAL"},
            }
        }
    )
    monkeypatch.setattr(space, "connections", made)
    space.prepare_new_database(using="default")
    monkeypatch.setattr(space, "FREE_PAGES", 100)
    yield made["default"], path
    made["default"].close()


def size(connection, path: Path) -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return os.path.getsize(path)


def test_the_file_shrinks_when_most_of_it_is_free(database):
    connection, path = database
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE rows (payload BLOB)")
        for _ in range(100):
            cursor.execute("INSERT INTO rows VALUES (randomblob(100000))")
        full = size(connection, path)
        assert full > 10_000_000
        assert space.shrink_database(seconds=5) == 0
        cursor.execute("DELETE FROM rows WHERE rowid > 10")
    assert size(connection, path) == full
    assert space.shrink_database(seconds=5) > 1_500
    assert size(connection, path) < full / 5


def test_a_file_of_before_keeps_its_size_and_ends_the_attempt(database):
    connection, path = database
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA auto_vacuum=NONE")
        cursor.execute("VACUUM")
        cursor.execute("CREATE TABLE rows (payload BLOB)")
        cursor.execute("INSERT INTO rows VALUES (zeroblob(5000000))")
        cursor.execute("DELETE FROM rows")
    assert space.shrink_database(seconds=5) == 0


def test_who_opens_the_database_waits_for_no_writer(database):
    connection, path = database
    other = ConnectionHandler({"default": {**connection.settings_dict}})["default"]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with other.cursor() as second:
            second.execute("SELECT 1")
        assert time.monotonic() - begun < 5  # the timeout, after which a connection gives up, is 20
        cursor.execute("ROLLBACK")
    other.close()


def test_the_database_of_these_tests_was_made_to_give_space_back(db):
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            assert cursor.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # INCREMENTAL
    assert space.shrink_database(seconds=5) == 0
