"""Keeps a set of children running, gathers what they print, and stops them in order. It has one thread on purpose:
`PR_SET_PDEATHSIG` is tied to the thread that forked, and code between fork and exec is safe only without others."""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence

from automl_site.supervisor.children import LOUD_AFTER, Child, ChildSpec
from automl_site.supervisor.log import Log

STOP_SECONDS = 9.5  # from the first signal until the last child is killed: `up` promises ten
TICK = 0.5
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.children: list[Child] = []
        self.watchers: list[Callable[[], None]] = []  # called on each tick
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._deadline = 0.0
        self._woken, waker = socket.socketpair()
        self._woken.setblocking(False)
        waker.setblocking(False)
        self._waker = waker
        self._selector.register(self._woken, selectors.EVENT_READ, None)

    # --- Signals ----------------------------------------------------------------------------------------------------

    def take_signals(self) -> None:
        """From now on SIGTERM, SIGINT and SIGHUP stop the children; a second one hastens it."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _STOPPING:
            signal.signal(number, self._asked_to_stop)

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self._signals += 1

    @property
    def stopping(self) -> bool:
        return self._signals > 0

    # --- Children ---------------------------------------------------------------------------------------------------

    def add(self, spec: ChildSpec) -> Child:
        """Start a child and keep it running."""
        child = Child(spec)
        self.children.append(child)
        self._start(child)
        return child

    def restart(self, names: Sequence[str]) -> None:
        """End these children in their own way; the loop starts them again at once."""
        for child in self.children:
            if child.spec.name in names:
                child.deaths = 0
                child.signal(signal.SIGTERM)

    def run(self) -> None:
        """Until a signal asks to stop."""
        while not self.stopping:
            self.tick()
            for watch in self.watchers:
                watch()

    def tick(self, timeout: float = TICK) -> None:
        """Hear the children for at most `timeout` seconds, and start those again that died."""
        now = time.monotonic()
        waits = [max(child.start_at - now, 0.0) for child in self.children if self._is_due(child)]
        self._hear(min([timeout, *waits]))
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._ended(child)
            if self._is_due(child) and time.monotonic() >= child.start_at and not self.stopping:
                self._start(child)

    def _is_due(self, child: Child) -> bool:
        return child.process is None and not child.given_up

    def _start(self, child: Child) -> None:
        self._selector.register(child.start(), selectors.EVENT_READ, child)

    def _hear(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._woken.recv(4096)
                continue
            self._read(key.data, key.fd)

    def _read(self, child: Child, descriptor: int) -> None:
        try:
            chunk = os.read(descriptor, 256 * 1024)
        except BlockingIOError:
            return
        for line in child.lines(chunk, last=not chunk):
            self.log.line(child.spec.name, line)
        if not chunk:
            self._forget_output(child, descriptor)

    def _forget_output(self, child: Child, descriptor: int) -> None:
        try:
            self._selector.unregister(descriptor)
        except KeyError:
            return
        if child.process is not None and child.process.stdout is not None:
            child.process.stdout.close()

    def _ended(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        if process.stdout is not None and not process.stdout.closed:
            self._read(child, process.stdout.fileno())
            if not process.stdout.closed:
                self._forget_output(child, process.stdout.fileno())
        child.kill_group()  # what it left behind in its group must not work on without it
        status = process.returncode
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if self.stopping:
            child.process = None
        elif status == child.spec.gives_up_with:
            child.process, child.given_up = None, True
            self.log.line("up", f"{child.spec.name} {how}: there is nothing for it to do on this machine")
        else:
            pause = child.died()
            loud = " AGAIN AND AGAIN; its own lines above say why." if child.deaths >= LOUD_AFTER else ""
            self.log.line("up", f"{child.spec.name} {how}; it is started again in {pause:.1f} s{loud}")

    # --- The end ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the children round by round, and kill what is left when the time is over or a second signal came."""
        self._signals = max(self._signals, 1)
        deadline = time.monotonic() + STOP_SECONDS
        rounds = sorted({child.spec.stop_round for child in self.children})
        for number in rounds:
            group = [child for child in self.children if child.spec.stop_round == number]
            for child in group:
                child.signal(signal.SIGTERM)
            # Later rounds need a moment of their own.
            until = deadline - 0.5 * (len(rounds) - 1 - rounds.index(number))
            while any(child.process is not None for child in group):
                if time.monotonic() > until or self._signals > 1:
                    for child in group:
                        child.kill_group()
                    until = float("inf")
                self.tick(0.1)
