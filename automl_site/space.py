"""Giving the space of deleted rows back to the file system."""

import time

from django.db import DEFAULT_DB_ALIAS, connections

FREE_SHARE = 4  # a quarter of the file may stay free: what is written next takes it
FREE_PAGES = 4_096
PAGES_A_STEP = 500  # a transaction; writers wait for no more than that
REST = 0.005  # seconds between two steps


def prepare_new_database(*, using: str, **_: object) -> None:
    """Make a new SQLite file one that can give space back, before its first table; a receiver of pre_migrate.

    Not by a connection's `init_command`: the PRAGMA is a write, for which every new connection would wait.
    """
    connection = connections[using]
    if connection.vendor == "sqlite" and not connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
            cursor.execute("VACUUM")


def shrink_database(*, seconds: float, alias: str = DEFAULT_DB_ALIAS) -> int:
    """Shorten SQLite's file by free pages, for at most about `seconds`; how many. PostgreSQL cares for itself.

    A file that was made without `auto_vacuum` keeps its size.
    """
    connection = connections[alias]
    if connection.vendor != "sqlite":
        return 0
    deadline = time.monotonic() + seconds
    removed = 0
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            (free,) = cursor.execute("PRAGMA freelist_count").fetchone()
            (pages,) = cursor.execute("PRAGMA page_count").fetchone()
            if free <= max(FREE_PAGES, pages // FREE_SHARE):
                break
            # As a script: `execute` stops after the first page, because the statement gives rows without columns.
            connection.connection.executescript(f"PRAGMA incremental_vacuum({PAGES_A_STEP})")
            (left,) = cursor.execute("PRAGMA freelist_count").fetchone()
            if left >= free:
                break  # the file was made without auto_vacuum
            removed += free - left
            time.sleep(REST)
    return removed
