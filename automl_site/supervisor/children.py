"""Child processes of the supervisor: how each is started, stopped, restarted and heard."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FIRST_PAUSE = 0.2  # seconds before a child that died is started again
LONGEST_PAUSE = 10.0
STEADY_AFTER = 30.0  # a child that ran this long starts afresh with the shortest pause
LOUD_AFTER = 4  # deaths in a row after which the log says so loudly

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class ChildSpec:
    """What to run. Children stop in the order of `stop_round`: 0 first."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_round: int = 0
    shielded: bool = False  # SIGINT is ignored: a Ctrl-C that reaches it must not end it before the others
    keep: Sequence[int] = ()  # file descriptors that it inherits
    gives_up_with: int | None = None  # an exit status after which another start would end the same way


@dataclass
class Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    start_at: float = 0.0  # when to start it (again), by time.monotonic()
    given_up: bool = False
    rest: bytes = b""  # the beginning of a line that is not whole yet
    history: list[float] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> int:
        """Start it; the file descriptor of what it prints."""
        parent = os.getpid()
        shielded = self.spec.shielded

        def before_exec() -> None:
            # The supervisor has one thread, so Python code may run here. If it is SIGKILLed, the kernel ends the child;
            # had it died already between fork and here, nobody would: hence the look at the parent's pid.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            if shielded:
                signal.signal(signal.SIGINT, signal.SIG_IGN)

        self.process = subprocess.Popen(  # noqa: S603  (our own commands)
            self.spec.command,
            env=dict(self.spec.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self.spec.keep,
            preexec_fn=before_exec,  # noqa: PLW1509
        )
        self.started = time.monotonic()
        assert self.process.stdout is not None  # noqa: S101  (asked for above)
        os.set_blocking(self.process.stdout.fileno(), False)
        return self.process.stdout.fileno()

    def died(self) -> float:
        """Note that it died; how many seconds to wait before it is started again."""
        if time.monotonic() - self.started > STEADY_AFTER:
            self.deaths = 0
        self.deaths += 1
        pause = min(FIRST_PAUSE * 2 ** (self.deaths - 1), LONGEST_PAUSE)
        self.start_at = time.monotonic() + pause
        self.process = None
        return pause

    def signal(self, number: int) -> None:
        if self.running and self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL for it and what it left in its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def lines(self, chunk: bytes, *, last: bool = False) -> list[str]:
        """The whole lines that `chunk` completes."""
        *whole, self.rest = (self.rest + chunk).split(b"\n")
        if self.rest and (last or len(self.rest) > 64 * 1024):
            whole.append(self.rest)
            self.rest = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]
