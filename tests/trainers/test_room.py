"""Memory that a training may take, and no more: what is too much for it fails, and is tried with less."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainers import room

MEGABYTE = 2**20


def test_what_is_free_is_part_of_what_the_machine_has() -> None:
    free = room.free_bytes()
    assert free is not None
    assert 0 < free < room.machine_bytes()


def test_an_allocation_beyond_what_is_free_fails_and_the_bound_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(room, "free_bytes", lambda: 200 * MEGABYTE)
    with room.bounded():
        assert np.ones(100 * MEGABYTE, np.uint8).all()
        with pytest.raises(MemoryError):
            np.ones(400 * MEGABYTE, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert np.ones(400 * MEGABYTE, np.uint8).all()


def test_an_own_limit_of_the_process_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    own = (12_345 * MEGABYTE, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: own)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    monkeypatch.setattr(room, "free_bytes", lambda: 10**6 * MEGABYTE)
    with room.bounded():
        pass
    assert limits == [own, own]


def test_where_the_system_does_not_tell_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: None)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("a limit was set"))
    with room.bounded():
        pass


COUNT_FAULTS = """
import resource
from trainers import room

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        b"x" * (64 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 2**20

found = [faults()]
with room.training_memory():
    faults()
    found += [faults(), resident()]
    room.give_back()
    found += [resident(), faults()]
print(*found, resident(), faults())
"""


def test_a_training_takes_again_what_it_has_freed_and_gives_all_back_at_its_end() -> None:
    # In a process of its own: once an allocation has failed, glibc goes on in an arena that keeps nothing so large.
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS], capture_output=True, text=True, check=True)
    before, inside, held, *others = map(int, done.stdout.split())
    assert inside < before / 10  # of so many pages of zeros
    for left, after in (others[:2], others[2:]):  # where memory is short, and at the end
        assert left < held - 48
        assert after > before / 2


def test_memory_is_short_when_half_of_what_there_is_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    status = Path("/proc/self/status").read_text()
    held = int(status.split("VmData:")[1].split()[0]) * 1024
    for share, short in ((1.5, True), (4, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, share=share: (int(held * share), resource.RLIM_INFINITY))
        assert room.is_short() is short
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert not room.is_short()
