"""How much memory the machine has, and how a training takes it: no more than there is, and again what it has freed."""

import contextlib
import ctypes
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

SHARE = 0.9  # of what is free; the rest is for the files that the machine reads and writes meanwhile
_CGROUP = Path("/sys/fs/cgroup")

# Of glibc's mallopt(3): its parameters, the most it takes for them, and how far it raises them by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_USUAL = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}


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
def training_memory() -> Iterator[None]:
    """Around a training on the CPU: `bounded`, and what it frees is kept for what it takes next.

    What is kept is in pieces, of which a checkpoint cannot be made: where memory is short, call `give_back`.
    """
    with bounded(), _kept():
        yield


def is_short() -> bool:
    """Whether more than half of the memory that this process may take is taken."""
    limit, held = resource.getrlimit(resource.RLIMIT_DATA)[0], _kilobytes(Path("/proc/self/status"), "VmData")
    return held is not None and limit != resource.RLIM_INFINITY and held > limit / 2


def give_back() -> None:
    """Let malloc give to the system what is free, and what will be, by its own rules."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, usual in _USUAL.items():
            libc.mallopt(parameter, usual)
        libc.malloc_trim(0)


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


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Let malloc give nothing back to the system before the end of this.

    A step frees the tensors that the next one takes again. Those above 32 MB go back at once by glibc's own rules, and
    come anew as pages that the system has to fill with zeros: a sixth of the time of a ResNet's training. Other C
    libraries, which have no such rules, are left as they are.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter in _USUAL:
            libc.mallopt(parameter, _MOST)
    try:
        yield
    finally:
        give_back()


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
