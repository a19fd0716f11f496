"""A platform for recovery tests: a Valkey server, workers and reconcilers as processes of their own, to be killed.

Periods are a sixth of the real ones, in tests marked `real_periods` the real ones.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection

from automl_site import valkey
from jobs import queue
from jobs.models import FINAL_STATUSES, Attempt, Job, Worker
from jobs.selectors.jobs import log_lines
from jobs.services.submission import training_submit
from jobs.workspace import workspace
from tests.conftest import wait_until
from tests.migrated import lay_migrated
from tests.outside import ROOT
from tests.recovery.up import SCALED, START_SECONDS, WITH_FRAMEWORKS, WITHOUT_FRAMEWORKS, Up
from tracking import live
from tracking.models import User


class Platform:
    """What the tests start, kill and look at. Everything that it started is gone after the test."""

    def __init__(self, folder: Path, *, scaled: bool) -> None:
        self.folder = folder
        self.socket = folder / "v.sock"
        self.redis_url = f"unix://{self.socket}?db=0"
        self.environment = {
            **os.environ,
            **({**SCALED, **WITHOUT_FRAMEWORKS} if scaled else WITH_FRAMEWORKS),
            "DJANGO_SETTINGS_MODULE": "automl_site.settings",
            "AUTOML_DATA": str(settings.DATA_DIR),
            "AUTOML_ROLE": "worker",
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": database_url(),
            "PYTHONUNBUFFERED": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.valkey: subprocess.Popen[bytes] | None = None
        self.user: User | None = None

    # --- Starting and killing ---------------------------------------------------------------------------------------

    def start_valkey(self) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.valkey = valkey.start(socket=self.socket, folder=self.folder / "valkey", **quiet)
        wait_until(self._redis_answers, what="Valkey")

    def _redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}-{command[0]}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *command],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def start_worker(self, kind: str = "training", **environment: str) -> subprocess.Popen[bytes]:
        return self.start("worker", "--kind", kind, **environment)

    def wait_for_worker(self, process: subprocess.Popen[bytes]) -> Worker:
        def registered() -> Worker | None:
            assert process.poll() is None, f"the worker ended with {process.returncode}: {self.logs()}"
            return Worker.objects.filter(pid=process.pid).first()

        return wait_until(registered, timeout=START_SECONDS, what="the worker's registration")

    def worker(self, kind: str = "training", **environment: str) -> subprocess.Popen[bytes]:
        """A worker that is ready."""
        process = self.start_worker(kind, **environment)
        self.wait_for_worker(process)
        return process

    def reconciler(self) -> subprocess.Popen[bytes]:
        return self.start("reconcile")

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        if self.valkey is not None:
            self.valkey.kill()
            self.valkey.wait()

    # --- Orders -----------------------------------------------------------------------------------------------------

    def submit(self, **hyperparameters: Any) -> Job:
        return training_submit(
            user=self.user, model_type="sleeper", data_path="sleeper.csv", hyperparameters=hyperparameters
        )

    # --- Looking ----------------------------------------------------------------------------------------------------

    def wait_for(self, job: Job, *statuses: str, timeout: float = 30.0) -> Job:
        def reached() -> bool:
            job.refresh_from_db()
            assert job.status in statuses or job.status not in FINAL_STATUSES, f"{job.status}: {job.error}"
            return job.status in statuses

        wait_until(reached, timeout=timeout, what="/".join(statuses), told=self.logs)
        return job

    def wait_for_step(self, job: Job, step: int = 1, timeout: float = 30.0) -> None:
        def reached() -> bool:
            job.refresh_from_db()
            return job.metrics.get("step", 0) >= step

        wait_until(reached, timeout=timeout, what=f"step {step}")

    def attempts(self, job: Job) -> list[tuple[str, str]]:
        return list(Attempt.objects.filter(job=job).order_by("number").values_list("status", "reason"))

    def statuses(self, job: Job) -> list[str]:
        return [status for status, _ in self.attempts(job)]

    def log(self, job: Job) -> list[str]:
        return [line.message for line in log_lines(job)]

    def horse(self, worker: subprocess.Popen[bytes]) -> psutil.Process:
        """The worker's forked child: it has the worker's own command line, which an ended one has no more."""
        parent = psutil.Process(worker.pid)

        def found() -> psutil.Process | None:
            return next((child for child in parent.children() if _command(child) == parent.cmdline()), None)

        return wait_until(found, what="the work-horse")

    def children_of(self, job: Job, attempt: int = 1) -> list[int]:
        """The pids of the processes that a sleeper has started, each in a session of its own."""
        path = workspace(job.pk, attempt).checkpoint / "children.json"
        wait_until(path.exists, timeout=30, what="the sleeper's children")
        return json.loads(path.read_text())

    def logs(self) -> str:
        return told_by(self.processes, self.folder)


def told_by(processes: Iterable[subprocess.Popen[bytes]], folder: Path) -> str:
    """What these and their children said in the logs of `folder`, and where those that live are just now."""
    lines, asked = [], 0
    answers = _stacks_in(folder)
    for process in processes:
        if process.poll() is not None:
            lines.append(f"{process.args} ended with {process.returncode}")
            continue
        parent = psutil.Process(process.pid)
        for each in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                command = " ".join(each.cmdline())
                if "manage.py" in command or "supervisor.serve" in command:  # they know the signal
                    lines.append(f"{each.pid} ({each.status()}) is {command}")
                    each.send_signal(signal.SIGUSR1)
                    asked += 1
    deadline = time.monotonic() + 2  # one that is stopped never answers
    while _stacks_in(folder) < answers + asked and time.monotonic() < deadline:
        time.sleep(0.02)
    return "\n".join([*lines, logs_in(folder)])


def logs_in(folder: Path) -> str:
    """The ends of the logs of all that was started."""
    return "\n".join(f"--- {path.name}\n{path.read_text()[-6000:]}" for path in sorted(folder.glob("*.log")))


def _stacks_in(folder: Path) -> int:
    return sum(path.read_text().count("(most recent call first)") for path in folder.glob("*.log"))


def database_url() -> str:
    """The address of this test process's database, for other processes."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    secret = f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else ""
    host = quote(values["HOST"], safe="") if values["HOST"] else ""
    port = f":{values['PORT']}" if values["PORT"] else ""
    return f"postgres://{quote(values['USER'])}{secret}@{host}{port}/{values['NAME']}"


@pytest.fixture
def platform(
    request: pytest.FixtureRequest,
    transactional_db: None,
    make_user: Any,
    files_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Platform]:
    """A Valkey server and a user; the test starts the workers and reconcilers that it needs."""
    here = Platform(tmp_path, scaled="real_periods" not in request.keywords)
    here.start_valkey()
    monkeypatch.setattr(settings, "REDIS_URL", here.redis_url)
    queue.close_connections()
    live.close()
    (files_root / "sleeper.csv").write_text("a,b\n1,2\n")
    here.user = make_user("ann")
    yield here
    here.stop()
    queue.close_connections()
    live.close()


@pytest.fixture
def start(tmp_path: Path, migrated_cache: Path) -> Iterator[Callable[..., Up]]:
    """start("name", *arguments, **environment) -> Up; all are stopped at the end. `fresh`: in an empty folder."""
    started: list[Up] = []

    def begin(name: str = "data", *arguments: str, fresh: bool = False, **environment: str) -> Up:
        data = tmp_path / name
        if not fresh and not data.exists():
            data.mkdir()
            lay_migrated(data / "db.sqlite3", cache=migrated_cache)
        started.append(Up(data, *arguments, **environment))
        return started[-1]

    yield begin
    for up in started:
        up.stop()


def is_gone(pid: int) -> bool:
    """No such process, or a zombie that nobody has collected yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def tree(pid: int) -> list[int]:
    """The pids of a process and of everything below it."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended in this moment
        return []
