"""What is deleted gives its space back."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.db import ConnectionHandler

from automl_site import space

ON_SQLITE = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")


@pytest.fixture
def database(db, tmp_path, monkeypatch):
    """A file of its own, opened as the platform opens its database."""
    path = tmp_path / "db.sqlite3"
    made = ConnectionHandler({"default": {**settings.DATABASES["default"], "NAME": str(path), "TEST": {}}})
    monkeypatch.setattr(space, "connections", made)
    monkeypatch.setattr(space, "FREE_PAGES", 100)
    yield made["default"], path
    made["default"].close()


def size(connection, path: Path) -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return os.path.getsize(path)


@pytest.mark.skipif(not ON_SQLITE, reason="PostgreSQL's own vacuum does it")
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


@pytest.mark.skipif(not ON_SQLITE, reason="PostgreSQL's own vacuum does it")
def test_a_file_of_before_keeps_its_size_and_ends_the_attempt(database):
    connection, path = database
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA auto_vacuum=NONE")
        cursor.execute("VACUUM")
        cursor.execute("CREATE TABLE rows (payload BLOB)")
        cursor.execute("INSERT INTO rows VALUES (zeroblob(5000000))")
        cursor.execute("DELETE FROM rows")
    assert space.shrink_database(seconds=5) == 0


@pytest.mark.skipif(ON_SQLITE, reason="there it has work to do")
def test_postgresql_is_left_alone(db):
    assert space.shrink_database(seconds=5) == 0
