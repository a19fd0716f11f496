"""SQLite, whose writers wait in turn.

SQLite lets whoever asks at the right moment write next, and who waits asks ever more seldom, in the end every 100 ms:
of fifty that write at once some wait for many seconds, and one that waits for longer than the timeout fails. Here the
threads of a process take turns, and who has the turn asks every millisecond, so that processes come in by chance, but
soon.
"""

import sqlite3
import time
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

from automl_site.sqlite.turns import Turns

ASK_EVERY = 0.001  # seconds
REST = 0.002  # seconds between two turns while threads wait: other processes get in between

_turns = Turns()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, but for how a transaction that writes begins and ends."""

    _has_turn = False

    def begin(self) -> None:
        """Begin a transaction that writes. Raises OperationalError after the connection's timeout."""
        timeout = float(self.settings_dict["OPTIONS"]["timeout"])
        deadline = time.monotonic() + timeout
        try:
            waited = _turns.take(timeout)
        except TimeoutError as error:
            raise OperationalError(f"database is locked: {error}") from None
        self._has_turn = True
        try:
            if waited:
                time.sleep(REST)
            with self.wrap_database_errors:
                _begin(self.connection, deadline)
        except BaseException:
            self._end_turn()
            raise

    def _start_transaction_under_autocommit(self) -> None:
        self.begin()

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._end_turn()  # after a failure it is kept: a rollback follows

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            _turns.hand_on()


def _begin(connection: Any, deadline: float) -> None:
    """Ask until nobody else writes, or until the deadline."""
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(ASK_EVERY)
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout)}")
