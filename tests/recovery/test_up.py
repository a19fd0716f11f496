"""`manage.py up` as an operator uses it: started, stopped, killed, started again."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import wait_until
from tests.recovery.conftest import SCALED, WITH_FRAMEWORKS, WITHOUT_FRAMEWORKS

pytestmark = pytest.mark.recovery
ROOT = Path(__file__).resolve().parent.parent.parent
STARTS = 120.0  # seconds; a loaded machine is slow to import


def outside_the_tests() -> dict[str, str]:
    """The environment of a user's shell: nothing that the tests set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AUTOML_") and k not in SERVICES}
    return {**clean, "DJANGO_SETTINGS_MODULE": "automl_site.settings"}


class Up:
    """One `manage.py up`, in a session of its own. Its workers import no framework unless the environment says so."""

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        self.log = data.parent / f"{len(list(data.parent.glob('*.log')))}.log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up", "--data", str(data), "--bind", ":0", *arguments],
                env={**outside_the_tests(), **WITHOUT_FRAMEWORKS, **environment},
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def ready(self) -> "Up":
        wait_until(lambda: self._answered() or self.process.poll() is not None, timeout=STARTS, what="readiness")
        assert self.process.poll() is None, self.said()
        return self

    def _answered(self) -> bool:
        if "Ready at" not in self.said():
            return False
        return bool(self.get("/health")["status"] == "healthy")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        return (self.data / "address").read_text().strip()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, part: str) -> psutil.Process:
        """The child whose command line has `part`."""
        return next(p for p in self.family() if part in " ".join(p.cmdline()) and p.ppid() == self.process.pid)

    def stop(self) -> None:
        """Kill it and all that it started, which takes less time than an end in good order."""
        if self.process.poll() is None:
            family = self.family()
            self.process.kill()
            self.process.wait()
            wait_until(lambda: gone(family), timeout=20, what="the end of every child and grandchild")


SERVICES = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "SECRET_KEY")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a data folder that was used before: to make it anew would take most of each start."""
    folder = tmp_path_factory.mktemp("migrated")
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(command, env={**outside_the_tests(), "AUTOML_DATA": str(folder)}, check=True)
    return folder / "db.sqlite3"


@pytest.fixture
def start(tmp_path: Path, migrated: Path) -> Iterator[Callable[..., Up]]:
    """start("name", *arguments, **environment) -> Up; all are stopped at the end. `fresh`: in an empty folder."""
    started: list[Up] = []

    def begin(name: str = "data", *arguments: str, fresh: bool = False, **environment: str) -> Up:
        data = tmp_path / name
        if not fresh and not data.exists():
            data.mkdir()
            shutil.copy(migrated, data)
        started.append(Up(data, *arguments, **environment))
        return started[-1]

    yield begin
    for up in started:
        up.stop()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_up_comes_from_nothing_keeps_its_secrets_and_stops_within_ten_seconds(start: Callable[..., Up]) -> None:
    up = start("da ta é", fresh=True, **WITH_FRAMEWORKS).ready()
    key = up.data / "secret_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((up.data / "valkey").stat().st_mode) == 0o700
    assert (up.data / "files").is_dir()
    family = up.family()
    before = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=30) == 0
    assert time.monotonic() - before < 10
    wait_until(lambda: gone(family), timeout=20, what="the end of all children")
    secret = key.read_text()
    again = start("da ta é").ready()
    assert (again.data / "secret_key").read_text() == secret


def test_a_second_up_on_the_same_folder_says_so_and_stops(start: Callable[..., Up]) -> None:
    first = start().ready()
    second = start()
    assert second.process.wait(timeout=STARTS) == 1
    assert f"process {first.process.pid} holds it and serves {first.address}" in second.said()
    assert first.get("/health")["status"] == "healthy"


def test_a_taken_port_is_named_with_another_choice(start: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = start("data", "--bind", f"127.0.0.1:{port}")
        assert up.process.wait(timeout=STARTS) == 1
        assert f"127.0.0.1:{port}" in up.said() and "--bind" in up.said()


def test_an_up_that_is_sigkilled_leaves_nothing_running_and_the_next_one_goes_on(start: Callable[..., Up]) -> None:
    up = start("data", **SCALED).ready()
    (up.data / "files" / "x.csv").write_text("a,b\n1,2\n")
    job = up.post(
        "/jobs/training", {"model_type": "sleeper", "data_path": "x.csv", "hyperparameters": {"seconds": 3.0}}
    )["job_id"]

    def status() -> str:
        return str(up.get(f"/jobs/{job}/status")["status"])

    wait_until(lambda: status() == "running", timeout=STARTS, what="the job's beginning")
    family = up.family()
    up.process.kill()
    up.process.wait()
    wait_until(lambda: gone(family), timeout=20, what="the end of every child and grandchild")
    up = start("data", **SCALED).ready()
    wait_until(lambda: status() == "completed", timeout=60, what="the job's end after the restart")
    assert up.get(f"/jobs/{job}/status")["attempt"] == 2


def test_every_child_that_dies_is_started_again(start: Callable[..., Up]) -> None:
    up = start().ready()
    victims = ["valkey-server", "supervisor.serve", "worker --kind training", "worker --kind inference", "reconcile"]
    first = {victim: up.child(victim) for victim in victims}
    for child in first.values():
        child.kill()

    def replaced(victim: str) -> bool:
        with contextlib.suppress(StopIteration, psutil.Error):
            return up.child(victim).pid != first[victim].pid
        return False

    for victim in victims:
        wait_until(lambda victim=victim: replaced(victim), timeout=STARTS, what=f"a new {victim}")
    wait_until(lambda: _healthy(up), timeout=STARTS, what="health after the restart")


def _healthy(up: Up) -> bool:
    with contextlib.suppress(OSError):
        return bool(up.get("/health")["status"] == "healthy")
    return False


@pytest.mark.full
def test_a_folder_whose_path_is_too_long_for_a_socket_works(start: Callable[..., Up]) -> None:
    up = start("x" * 120).ready()
    assert not (up.data / "valkey" / "v.sock").exists()
    assert up.get("/health/redis")["status"] == "healthy"


def test_daphne_serves_too(start: Callable[..., Up]) -> None:
    up = start("data", "--server", "daphne").ready()
    assert up.get("/health")["status"] == "healthy"
    assert up.child("daphne").is_running()


def test_open_mode_is_on_only_on_loopback(start: Callable[..., Up]) -> None:
    up = start("data", "--bind", "0.0.0.0:0").ready()
    with pytest.raises(urllib.error.HTTPError) as refused:
        up.get("/jobs")
    assert refused.value.code == 401


def test_one_role_alone_needs_services_that_others_share(start: Callable[..., Up]) -> None:
    up = start("data", "--only", "worker")
    assert up.process.wait(timeout=STARTS) == 1
    assert "DATABASE_URL" in up.said()


def test_one_role_alone_refuses_a_database_that_is_not_migrated_with_the_command_to_run(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    shared = {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}", "REDIS_URL": "redis://127.0.0.1:1/0"}
    up = start("data", "--only", "reconciler", **shared)
    assert up.process.wait(timeout=STARTS) == 1
    assert "manage.py migrate" in up.said()
