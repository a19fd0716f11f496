"""`manage.py up` in a process of its own, for whoever tests against the whole platform."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import wait_until
from tests.outside import ROOT, outside_the_tests

SCALED = {
    "AUTOML_HEARTBEAT": "0.4",
    "AUTOML_CLAIM_CHECK": "0.15",
    "AUTOML_RECONCILE": "0.4",
    "AUTOML_DEAD_AFTER": "2",
    "AUTOML_STOP_GRACE": "0.6",
    "AUTOML_HAND_BACK_GRACE": "1.2",
}
START_SECONDS = 120.0  # Django and the frameworks, imported on a busy machine
# Scaled-down workers import no framework: most of their start would go there, and the sleeper uses none.
WITHOUT_FRAMEWORKS = {"AUTOML_TEST_TRAINERS": "only"}
WITH_FRAMEWORKS = {"AUTOML_TEST_TRAINERS": "1"}


ONE_FRAMEWORK = ("--queues", "sklearn,sklearn-inference")


class Up:
    """One `manage.py up`, in a session of its own. Its workers import no framework unless the environment says so.

    There are those of one framework only; `"--queues", ""` among the arguments starts all.
    """

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        if "--queues" not in arguments:
            arguments = (*arguments, *ONE_FRAMEWORK)
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
        wait_until(lambda: self._answered() or self.process.poll() is not None, timeout=START_SECONDS, what="readiness")
        assert self.process.poll() is None, self.said()
        return self

    def _answered(self) -> bool:
        return "Ready at" in self.said() and self.healthy()

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

    def healthy(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get("/health")["status"] == "healthy")
        return False

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


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """What a platform on SQLite holds."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
