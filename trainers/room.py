"""How much memory the machine has, and a bound that makes an allocation fail where there is no more."""

import contextlib
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

SHARE = 0.9  # of what is free; the rest is for the files that the machine reads and writes meanwhile
_CGROUP = Path("/sys/fs/cgroup")


def machine_bytes() -> int:
    """The memory of the machine, or what its container may use of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup("memory.max")
    return total if limit is None else min(total, limit)


def free_bytes() -> int | None:
    """What can still be had of it without writing to a swap; None where the system does not tell."""
    free = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if free is None or limit is None or used is None:
        return free
    return min(free, max(limit - used, 0))


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Let this process take SHARE of the memory that is free; beyond that, allocations fail.

    Without a bound, Linux promises what it does not have, and kills the process that takes it at its word: nobody could
    try less. Where the system does not tell what is free, nothing is bounded.
    """
    free, held = free_bytes(), _kilobytes(Path("/proc/self/status"), "VmData")
    if free is None or held is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # set by torchrun
    bound = held + int(SHARE * free) // processes
    for limit in (soft, hard):
        if limit != resource.RLIM_INFINITY:
            bound = min(bound, limit)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _cgroup(name: str) -> int | None:
    try:
        text = (_CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _kilobytes(path: Path, name: str) -> int | None:
    """The bytes that a line "name:   1234 kB" tells."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
