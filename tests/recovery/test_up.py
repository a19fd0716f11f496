"""`manage.py up` as an operator uses it: started, stopped, killed, started again."""

import contextlib
import signal
import socket
import stat
import time
import urllib.error
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until
from tests.recovery.up import SCALED, START_SECONDS, WITH_FRAMEWORKS, Up, gone

pytestmark = pytest.mark.recovery


CHILDREN = ("valkey-server", "supervisor.serve", "worker --kind training", "worker --kind inference", "reconcile")


def test_up_comes_from_nothing_refuses_a_second_one_replaces_what_dies_and_stops_within_ten_seconds(
    start: Callable[..., Up],
) -> None:
    up = start("da ta é", fresh=True).ready()
    assert stat.S_IMODE((up.data / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((up.data / "valkey").stat().st_mode) == 0o700
    assert (up.data / "files").is_dir()

    second = start("da ta é")
    assert second.process.wait(timeout=START_SECONDS) == 1
    assert f"process {up.process.pid} holds it and serves {up.address}" in second.said()
    assert up.healthy()

    first = {part: up.child(part) for part in CHILDREN}
    for child in first.values():
        child.kill()
    for part, child in first.items():
        replaced = partial(is_replaced, up, part, child)
        wait_until(replaced, timeout=START_SECONDS, what=f"a new {part}")
    wait_until(up.healthy, timeout=START_SECONDS, what="health after the restart")

    family = up.family()
    before = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=30) == 0
    assert time.monotonic() - before < 10
    wait_until(lambda: gone(family), timeout=20, what="the end of all children")


def is_replaced(up: Up, part: str, first: psutil.Process) -> bool:
    with contextlib.suppress(StopIteration, psutil.Error):
        return up.child(part).pid != first.pid
    return False


@pytest.mark.full
def test_a_platform_that_is_started_again_keeps_its_secrets(start: Callable[..., Up]) -> None:
    up = start("data", **WITH_FRAMEWORKS).ready()
    secret = (up.data / "secret_key").read_text()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=30) == 0
    again = start("data").ready()
    assert (again.data / "secret_key").read_text() == secret


def test_a_taken_port_is_named_with_another_choice(start: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = start("data", "--bind", f"127.0.0.1:{port}", fresh=True)
        assert up.process.wait(timeout=START_SECONDS) == 1
        assert f"127.0.0.1:{port}" in up.said() and "--bind" in up.said()


@pytest.mark.full
def test_an_up_that_is_sigkilled_leaves_nothing_running_and_the_next_one_goes_on(start: Callable[..., Up]) -> None:
    up = start("data", **SCALED).ready()
    (up.data / "files" / "x.csv").write_text("a,b\n1,2\n")
    job = up.post(
        "/jobs/training", {"model_type": "sleeper", "data_path": "x.csv", "hyperparameters": {"seconds": 3.0}}
    )["job_id"]

    def status() -> str:
        return str(up.get(f"/jobs/{job}/status")["status"])

    wait_until(lambda: status() == "running", timeout=START_SECONDS, what="the job's beginning")
    family = up.family()
    up.process.kill()
    up.process.wait()
    wait_until(lambda: gone(family), timeout=20, what="the end of every child and grandchild")
    up = start("data", **SCALED).ready()
    wait_until(lambda: status() == "completed", timeout=60, what="the job's end after the restart")
    assert up.get(f"/jobs/{job}/status")["attempt"] == 2


@pytest.mark.full
def test_a_folder_whose_path_is_too_long_for_a_socket_works(start: Callable[..., Up]) -> None:
    up = start("x" * 120).ready()
    assert not (up.data / "valkey" / "v.sock").exists()
    assert up.get("/health/redis")["status"] == "healthy"


@pytest.mark.full
def test_daphne_serves_too(start: Callable[..., Up]) -> None:
    up = start("data", "--server", "daphne").ready()
    assert up.get("/health")["status"] == "healthy"
    assert up.child("daphne").is_running()


@pytest.mark.full
def test_open_mode_is_on_only_on_loopback(start: Callable[..., Up]) -> None:
    up = start("data", "--bind", "0.0.0.0:0").ready()
    with pytest.raises(urllib.error.HTTPError) as refused:
        up.get("/jobs")
    assert refused.value.code == 401


@pytest.mark.full
def test_one_role_alone_needs_services_that_others_share(start: Callable[..., Up]) -> None:
    up = start("data", "--only", "worker")
    assert up.process.wait(timeout=START_SECONDS) == 1
    assert "DATABASE_URL" in up.said()


@pytest.mark.full
def test_one_role_alone_refuses_a_database_that_is_not_migrated_with_the_command_to_run(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    shared = {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}", "REDIS_URL": "redis://127.0.0.1:1/0"}
    up = start("data", "--only", "reconciler", **shared)
    assert up.process.wait(timeout=START_SECONDS) == 1
    assert "manage.py migrate" in up.said()
