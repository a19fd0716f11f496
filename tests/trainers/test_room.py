"""Memory that a training may take, and no more: what is too much for it fails, and is tried with less."""

import resource

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
