"""What to do while the database is away: keep going, and say it once it is back."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

# What a lost, refused, restarted or locked database raises; anything else is a bug.
OUTAGE = (OperationalError, InterfaceError)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds
PATIENCE = 600.0

Result = TypeVar("Result")


def until_recorded(
    action: Callable[[], Result], *, what: str, patience: float = PATIENCE, give_up: Callable[[], bool] = lambda: False
) -> Result:
    """Call `action`, which writes to the database, again and again as long as the database is away.

    Raises the last error after `patience` seconds, or once `give_up()` is true.
    """
    deadline = time.monotonic() + patience
    pause = FIRST_PAUSE
    while True:
        try:
            return action()
        except OUTAGE as error:
            forget_connection()
            if give_up() or time.monotonic() > deadline:
                raise
            if pause == FIRST_PAUSE:
                logger.warning("The database is away (%s); %s is tried again until it is back", _first(error), what)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def forget_connection() -> None:
    """Drop this thread's connection, which may be broken: the next query makes a new one."""
    with suppress(DatabaseError, InterfaceError):
        connection.close()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
