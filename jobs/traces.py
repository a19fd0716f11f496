"""What a job leaves behind in its process, as far as a process can see it: one that is to run another must be clean."""

import gc
import locale
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from jobs.processes import children_of_this_process

# Connections that are made once and kept: to the database, to Redis, to the file storage.
KEPT_DESCRIPTORS = 32
_PAGE = os.sysconf("SC_PAGE_SIZE")
# The signals that a process may handle, but those two, which each attempt sets.
_SIGNALS = [each for each in signal.valid_signals() if each not in (signal.SIGTERM, signal.SIGINT)]
_LIMITS = [getattr(resource, name) for name in sorted(vars(resource)) if name.startswith("RLIMIT_")]


class Traces:
    """The state of this process at one moment."""

    def __init__(self) -> None:
        self._kept = _state()
        self._memory = resident_bytes()
        self._descriptors = _descriptors()

    def left(self, *, max_growth: int) -> str:
        """What is different now, in a word or two; "" when nothing is.

        Memory may have grown by `max_growth` bytes: allocators keep what they were once given.
        """
        if _working():
            return "threads or processes"
        now = _state()
        for name, before in self._kept.items():
            if now[name] != before:
                return name
        if _descriptors() > self._descriptors + KEPT_DESCRIPTORS:
            return "open files"
        if resident_bytes() > self._memory + max_growth:
            return "memory"
        return ""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _working() -> bool:
    """Python threads and child processes, zombies too.

    Native pools of threads (OpenMP's, polars') do not count: they idle until the next computation, which uses them.
    """
    return threading.active_count() > 1 or bool(children_of_this_process())


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _state() -> dict[str, object]:
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "environment": dict(os.environ),
        "working directory": os.getcwd(),
        "umask": mask,
        "signal handlers": [signal.getsignal(each) for each in _SIGNALS],
        "timers": [any(signal.getitimer(each)) for each in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)],
        "resource limits": [resource.getrlimit(each) for each in _LIMITS],
        "processor affinity": os.sched_getaffinity(0),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "import path": list(sys.path),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": [sys.excepthook, threading.excepthook, sys.gettrace(), sys.getprofile()],
        "garbage collector": gc.isenabled(),
        "logging": [logging.root.level, list(logging.root.handlers), logging.root.manager.disable],
        "locale": locale.setlocale(locale.LC_ALL),
    }
