"""What to do while the database or the file storage is away: keep going, and say it once it is back."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from automl_site.disk import is_disk_full
from automl_site.errors import StorageError
from datasets_app.storage.base import retried
from trainers.protocol import Stopped

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


def until_stored(
    action: Callable[[], Result],
    *,
    what: str,
    patience: float,
    should_stop: Callable[[], bool],
    tell: Callable[[str], None] = lambda sentence: None,
    is_back: Callable[[], object] = lambda: None,
) -> Result:
    """Call `action`, which needs the file storage, again and again as long as the storage is away.

    `tell` gets one sentence for the user when the waiting begins. `is_back` is called before each further try, and
    raises StorageError while the storage is away: for an action that holds a lock meanwhile. `patience` is in seconds.

    Raises:
        StorageError: after `patience` seconds; at once where this machine's disk is full, which waiting does not mend.
        Stopped: `should_stop()` became true.
    """
    deadline = time.monotonic() + patience
    pause = FIRST_PAUSE
    while True:
        try:
            with retried():
                if pause > FIRST_PAUSE:
                    is_back()
                return action()
        except StorageError as error:
            if is_disk_full(error) or time.monotonic() >= deadline:
                logger.error("The file storage did not come back; %s is given up", what, exc_info=error)
                raise
        if pause == FIRST_PAUSE:
            tell(f"The file storage is not available; {what} is tried again for up to {patience:g} seconds.")
        if should_stop():
            raise Stopped
        time.sleep(min(pause, max(deadline - time.monotonic(), 0.0)))
        pause = min(pause * 2, LONGEST_PAUSE)


def forget_connection() -> None:
    """Drop this thread's connection, which may be broken: the next query makes a new one."""
    with suppress(DatabaseError, InterfaceError):
        connection.close()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
