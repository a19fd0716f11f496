"""What somebody else does in the middle of a transaction of ours, on a connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection

# Seconds in which the other side would get through if nothing held it; where it is held, the test waits as long.
HELD = 0.5
LONGEST = 60.0  # seconds that it may take once nothing holds it any more


class Meanwhile:
    """`work` in a thread; `error` is what it raised, None if nothing."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Let it get as far as it can; a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()
            self._thread.join(HELD)

    def end(self) -> None:
        self._thread.join(LONGEST)
        assert self._thread.ident is not None and not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error
        finally:
            connection.close()
