"""Whose turn it is to write: the threads of one process, in the order in which they came."""

import os
import threading
from collections import deque


class Turns:
    """A lock that is handed to whoever has waited longest. Of Python's own, a newcomer may take it before them."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # the thread whose turn it is stays in the parent

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def take(self, timeout: float) -> bool:
        """Whether it had to be waited for. Raises TimeoutError after `timeout` seconds."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return False
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout):
            return True
        with self._lock:
            if mine not in self._waiting:
                return True  # it came in this moment
            self._waiting.remove(mine)
        raise TimeoutError(f"no turn to write within {timeout:g} s")

    def hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
