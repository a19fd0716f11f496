"""Process trees: how none of a worker's processes outlives it, and how all of a job's are killed.

Four things hold the tree together (Linux):
- a child asks the kernel to be killed when its parent dies (`die_with_parent`);
- a worker is a subreaper: what a job's processes leave behind becomes the worker's child, wherever it moved to;
- a job's processes carry a mark in their environment, by which they are found when the worker is no more;
- a guard, a tiny process beside each worker, sees the worker's end of a pipe close and kills what carries the mark.

    python -m jobs.processes MARK      is the guard; it is started by `Guard`
"""

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARK_VARIABLE = "AUTOML_WORKER_MARK"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; end at once if `parent_pid` is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died between the fork and the call
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def descendants(pid: int, *, spare: Iterable[int] = ()) -> list[int]:
    """The pids below `pid`, those of `spare` and what is below them left out. Empty when `pid` is gone."""
    children: dict[int, list[int]] = {}
    for child, parent, state in _processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(child)
    spared = set(spare)
    found: list[int] = []
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in spared:
                found.append(child)
                todo.append(child)
    return found


def _processes() -> Iterable[tuple[int, int, str]]:
    """(pid, its parent's pid, state) of every process; states Z and X are dead ones."""
    for pid in _pids():
        with suppress(OSError):
            state, parent = _stat(pid)
            yield pid, parent, state


def _stat(pid: int) -> tuple[str, int]:
    """State and parent's pid. The command may hold spaces and brackets: they stand after its last bracket."""
    state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    return state, int(parent)


def kill_descendants(*, spare: Iterable[int] = (), timeout: float = 5.0) -> list[int]:
    """SIGKILL everything below this process until nothing is left, also what is forked meanwhile. Returns what is left.

    This process must be an adopter of orphans: a killed parent's children are then found in the next round.
    """
    spare = set(spare)
    if children_of_this_process() <= spare:  # the usual case, told without a look at every process
        return []
    deadline = time.monotonic() + timeout
    while left := descendants(os.getpid(), spare=spare):
        for each in left:
            _kill(each)
        if time.monotonic() > deadline:
            return left
        time.sleep(0.005)
    return []


def children_of_this_process() -> set[int]:
    """Their pids, zombies too. Everything below an adopter of orphans hangs on one of these."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            found.update(int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split())
        except FileNotFoundError:  # a kernel without that file, or a thread that ended
            found.update(child for child, parent, _ in _processes() if parent == os.getpid())
    return found


def reap_orphans(*, except_for: Iterable[int] = ()) -> None:
    """Collect the exit statuses of ended children that nobody waits for (adopted orphans)."""
    for pid in children_of_this_process() - set(except_for):
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def kill_marked(mark: str, *, sessions: Iterable[int] = ()) -> list[int]:
    """SIGKILL every process that carries `mark` or is in one of these sessions, but this one. Returns their pids."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    chosen = set(sessions)
    killed = []
    for pid in _pids():
        if pid == os.getpid():
            continue
        with suppress(OSError):
            # A forked process shows the environment that its program was started with, hence the sessions.
            marked = wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if marked or os.getsid(pid) in chosen:
                killed.append(pid)
                _kill(pid)
    return killed


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Is there a process of that id, a zombie not counted?"""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def machine_id() -> str:
    """The same for all processes of this machine until it is started anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory, on this machine and in this control group."""
    total = _counter(Path("/proc/vmstat"))
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                total += _counter(Path(f"/sys/fs/cgroup{path}/memory.events"))
            elif controllers == "memory":
                total += _counter(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    return total


def _counter(path: Path) -> int:
    with suppress(OSError):
        if found := re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE):
            return int(found.group(1))
    return 0


class Guard:
    """Kills the processes of a worker that was itself killed. Lives in a session of its own; ends with the worker."""

    def __init__(self, mark: str) -> None:
        read_end, self._write_end = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-S", "-m", "jobs.processes", mark],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        os.close(read_end)
        self.mark = mark
        self.pid = self._process.pid

    def watch(self, session: int) -> None:
        """Processes of this session die with the worker, also those that carry no mark."""
        with suppress(BrokenPipeError):
            os.write(self._write_end, f"{session}\n".encode())

    def forget(self) -> None:
        """In a forked child: close the pipe, which only the worker may hold open."""
        os.close(self._write_end)

    def stop(self) -> None:
        """The worker ends in good order: nothing of its is left, so the guard finds nothing."""
        os.close(self._write_end)
        self._process.wait()


def _guard(mark: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    session = 0
    with open(0, "rb", buffering=0) as pipe:
        while line := _last_line(pipe.fileno()):
            session = int(line)
    for _ in range(100):  # a tree that forks faster than it is killed is met again
        if not kill_marked(mark, sessions=[session] if session else []):
            return
        time.sleep(0.02)


def _last_line(descriptor: int) -> bytes:
    """The last whole line of what waits in the pipe; b"" once the other end is closed."""
    select.select([descriptor], [], [])
    lines = os.read(descriptor, 65536).split()
    return lines[-1] if lines else b""


if __name__ == "__main__":
    _guard(sys.argv[1])
