"""The background thread that sends: one a process for each server and account, shared by all their runs.

It goes round every second and sends what each run has. When the server is away it waits with exponential back-off and
jitter (or as long as `Retry-After` says), and after some seconds moves what is logged to the disk. When the server
limits the rate it goes round less often, with larger batches.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Iterable
from typing import Protocol

from ai_manager.api import Api, Credentials
from ai_manager.calls import HEARTBEAT_SECONDS
from ai_manager.errors import Throttled, Unavailable
from ai_manager.files import FileSender, Waiting
from ai_manager.notices import say, warn_once
from ai_manager.outbox import Outbox

SPILL_SECONDS = 5.0  # the server may be away so long before points go to the disk
SPILL_EVERY = 1.0
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
LAST_INTERVAL = 30.0
CALM_SECONDS = 60.0  # without a 429, after which the rounds come faster again
REQUESTS_PER_SECOND = 20  # of one process: five of them share what the contract allows a user

_senders: dict[tuple[str, str, str, bool], Sender] = {}
_senders_lock = threading.Lock()


class Endable(Protocol):
    """A run, as far as the end of the process and forks are concerned."""

    def end_at_exit(self) -> None: ...

    def forked(self) -> None: ...


class Sender:
    """Sends what the outboxes of one server and account hold."""

    def __init__(self, api: Api, *, flush_seconds: float, exit_seconds: float, offline: bool = False) -> None:
        self.api = api
        self.offline = offline  # nothing is sent: all goes to the disk
        self.flush_seconds = flush_seconds
        self.exit_seconds = exit_seconds
        self.outboxes: list[Outbox] = []
        self.files = FileSender(Api(api.url, api.credentials))
        self.running_runs: set[Endable] = set()  # which nobody has ended yet
        self._reset()

    def _reset(self) -> None:
        self.running = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._settled = threading.Condition()
        self._thread: threading.Thread | None = None
        self._interval = max(self.flush_seconds, 0.05)
        self._throttled_at = 0.0
        self._away_since: float | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._rounds = 0
        self._round_at = 0.0
        self._closed = False

    # --- For the runs -----------------------------------------------------------------------------------------------

    def add(self, outbox: Outbox) -> None:
        with self._lock:
            self.outboxes.append(outbox)
        self.wake()

    def files_add(self, file: Waiting) -> None:
        """Send a file too; offline it stays on disk, for `ai_manager sync`."""
        if self.offline:
            file.close()
        else:
            self.files.add(file)

    def wake(self) -> None:
        """Go round now; starts the thread where it does not run (the first time, and in a forked child)."""
        if not self.running:
            self._start()
        self._wake.set()

    def _start(self) -> None:
        with self._lock:
            if self.running:
                return
            _flush_at_end_of_child()
            self._thread = threading.Thread(target=self._loop, name="ai_manager-sender", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter is ending: `close` does the rest
                self._thread.start()
                self.running = True

    def wait(self, outboxes: Iterable[Outbox], *, timeout: float) -> bool:
        """Wait until these have nothing left to send. False: after `timeout` seconds some still have.

        A server that has been away for a while is asked once more, and not waited for when it still is.
        """
        waiting = list(outboxes)
        if self.offline:
            return False
        deadline = time.monotonic() + timeout
        rounds = self._rounds
        if self._away_since is not None:
            self._retry_at = 0.0
        self.wake()
        with self._settled:
            while not all(outbox.is_empty for outbox in waiting):
                left = deadline - time.monotonic()
                away_for = time.monotonic() - self._away_since if self._away_since is not None else 0.0
                asked = self._rounds - rounds >= 2  # the first may have been on its way already
                if left <= 0 or (away_for > SPILL_SECONDS and asked) or not self.running:
                    return False
                self._settled.wait(min(left, 0.2))
        return True

    def finish(self, outbox: Outbox) -> None:
        """Send what is left of a run that has ended, in bounded time; the rest goes to the disk, and is sent later."""
        if not self.wait([outbox], timeout=self.exit_seconds):
            outbox.spill()
        elif not self.files.finish(outbox.run, patience=self.exit_seconds):
            warn_once((outbox.run["uid"], "files"), f"Files of run {outbox.name} are still being sent.")
        with self._lock:
            over = self.offline or outbox.is_empty
            if over and outbox in self.outboxes:
                self.outboxes.remove(outbox)
        if over:
            outbox.close()

    @property
    def is_away(self) -> bool:
        """Whether the last request found no server that takes requests."""
        return self._away_since is not None

    # --- The thread -------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._closed:
            self._wake.wait(self._pause())
            self._wake.clear()
            self._round_at = time.monotonic()
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - whatever it is, logging must not end with it
                warn_once(("sender", type(error)), f"Sending failed and will be tried again: {error!r}")
                self._failed(Unavailable(repr(error)))
            with self._settled:
                self._rounds += 1
                self._settled.notify_all()

    def _pause(self) -> float:
        """Seconds until the next round."""
        wait = self._retry_at - time.monotonic()
        if self._away_since is not None or wait > 0:
            return max(0.05, min(SPILL_EVERY, wait))
        # From the beginning of one round to the next: a round of many runs takes time itself.
        interval = max(self._interval, len(self.outboxes) / REQUESTS_PER_SECOND)
        return max(0.0, self._round_at + interval - time.monotonic())

    def _round(self) -> None:
        with self._lock:
            outboxes = list(self.outboxes)
        if self.offline:
            for outbox in outboxes:
                outbox.spill()
            return
        if time.monotonic() >= self._retry_at:
            try:
                for outbox in outboxes:
                    outbox.send(self.api, all_of_it=outbox.ended)
                    outbox.beat(self.api, every=HEARTBEAT_SECONDS)
            except Unavailable as error:
                self._failed(error)
                # The next round goes on here: else a limit that is met each time would starve the last runs.
                self._begin_with(outbox)
            else:
                self._recovered()
        if self._away_since is not None and time.monotonic() - self._away_since >= SPILL_SECONDS:
            for outbox in outboxes:
                outbox.spill()
        self._let_go(outboxes)

    def _begin_with(self, outbox: Outbox) -> None:
        with self._lock:
            if outbox in self.outboxes:
                place = self.outboxes.index(outbox)
                self.outboxes = self.outboxes[place:] + self.outboxes[:place]

    def _let_go(self, outboxes: list[Outbox]) -> None:
        """Forget the runs that are over and wholly sent."""
        for outbox in outboxes:
            if outbox.ended and (outbox.is_empty or outbox.stuck):
                outbox.close()
                with self._lock, contextlib.suppress(ValueError):
                    self.outboxes.remove(outbox)

    def _failed(self, error: Unavailable) -> None:
        now = time.monotonic()
        if isinstance(error, Throttled):
            self._away_since = None  # it is there, and takes what it can
            self._interval = min(self._interval * 2, LAST_INTERVAL)
            self._throttled_at = now
        else:
            self._away_since = self._away_since if self._away_since is not None else now
            warn_once((id(self), "away"), f"{error}. Training goes on; what is logged is kept and sent later.")
        backoff = min(FIRST_BACKOFF * 2**self._failures, LAST_BACKOFF) * random.uniform(0.5, 1.5)  # noqa: S311
        self._failures = min(self._failures + 1, 10)
        self._retry_at = now + max(error.retry_after or 0.0, backoff)

    def _recovered(self) -> None:
        if self._away_since is not None and time.monotonic() - self._away_since > SPILL_SECONDS:
            say(f"{self.api.url} answers again; everything is sent.")
        self._away_since, self._failures, self._retry_at = None, 0, 0.0
        calm = time.monotonic() - self._throttled_at > CALM_SECONDS
        if calm and self._interval > self.flush_seconds:
            self._interval = max(self._interval / 2, self.flush_seconds, 0.05)
            self._throttled_at = time.monotonic()

    # --- The end, and forks -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """End of the process: send what can be sent in time, and put the rest on disk."""
        for run in list(self.running_runs):
            with contextlib.suppress(Exception):
                run.end_at_exit()
        with self._lock:
            outboxes = list(self.outboxes)
        if not self._closed and not self.offline and any(not outbox.is_empty for outbox in outboxes):
            with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: do not wait, but lose nothing either
                self._send_at_exit(outboxes)
        self._close_files()
        self._closed = True
        self._wake.set()
        for outbox in outboxes:
            if outbox.is_empty:
                outbox.close()
                continue
            outbox.spill()
            folder = outbox.folder
            outbox.close()
            if folder is not None:
                root = folder.parent
                warn_once(
                    (id(self), "left", root),
                    f"Not everything could be sent to {self.api.url}; it is kept. Send it with: ai_manager sync {root}",
                )
        self.api.close()

    def _close_files(self) -> None:
        if self._closed:
            return
        if self.files.has() and not self.offline and not self.is_away:
            with contextlib.suppress(KeyboardInterrupt):
                self.files.finish(patience=self.exit_seconds)
        if self.files.has():
            message = f"Not all files could be sent to {self.api.url}; they are kept. Send them with: ai_manager sync"
            warn_once((id(self), "files left"), message)
        self.files.close()

    def _send_at_exit(self, outboxes: list[Outbox]) -> None:
        if self.running:
            self.wait(outboxes, timeout=self.exit_seconds)
            return
        # The thread could not be started any more.
        deadline = time.monotonic() + self.exit_seconds
        with contextlib.suppress(Exception):
            for outbox in outboxes:
                if time.monotonic() < deadline:
                    outbox.send(self.api, all_of_it=True)

    def forked(self) -> None:
        """In a forked child: no thread, no connection, none of the parent's points."""
        for run in self.running_runs:
            run.forked()
        self.running_runs = set()  # the parent's to end
        self._reset()
        self.api.forget()
        self.files.forget()
        for outbox in self.outboxes:
            outbox.forked()
        # A child that never logs has nothing to say.
        self.outboxes = [outbox for outbox in self.outboxes if not outbox.ended]


def sender_for(
    url: str, credentials: Credentials, *, flush_seconds: float, exit_seconds: float, offline: bool = False
) -> Sender:
    """The process's sender for this server and account, made when first needed."""
    key = (url, credentials.account, credentials.password, offline)
    with _senders_lock:
        if key not in _senders:
            api = Api(url, credentials)
            _senders[key] = Sender(api, flush_seconds=flush_seconds, exit_seconds=exit_seconds, offline=offline)
        return _senders[key]


def close_all() -> None:
    """Flush every sender, in bounded time; what `atexit` calls."""
    for sender in list(_senders.values()):
        sender.close()


def _forked() -> None:
    global _senders_lock
    _senders_lock = threading.Lock()
    for sender in _senders.values():
        sender.forked()


def _flush_at_end_of_child() -> None:
    """multiprocessing's children end by os._exit, without atexit; these finalisers are what they run before it.

    Called when a sender starts: between the fork and the child's work multiprocessing forgets all finalisers.
    """
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=100)


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
