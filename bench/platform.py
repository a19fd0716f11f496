"""Start the platform for a measurement, in a folder of its own, on SQLite or PostgreSQL."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.with_postgres import SERVER_OPTIONS, PostgresServer

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Platform:
    address: str
    data: Path
    environment: dict[str, str]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of its own, which keeps what it acknowledges; yields its DATABASE_URL."""
    with PostgresServer({**SERVER_OPTIONS, "fsync": "on", "full_page_writes": "on"}) as server:
        yield server.url


@contextlib.contextmanager
def platform(database_url: str = "", *arguments: str, is_open: bool = True) -> Iterator[Platform]:
    """`manage.py up`, ready to take jobs; stopped at the end."""
    data = Path(tempfile.mkdtemp(prefix="bench-up-"))
    environment = {**os.environ, "AUTOML_DATA": str(data), "AUTOML_PROFILE": "development"}
    environment["AUTOML_OPEN"] = "1" if is_open else "0"
    environment.pop("DATABASE_URL", None)
    manage = [sys.executable, str(ROOT / "manage.py")]
    if database_url:
        environment["DATABASE_URL"] = database_url
    log = (data / "bench.log").open("wb")
    command = [*manage, "up", "--data", str(data), "--bind", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _ready(data, environment, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(data, ignore_errors=True)


def _ready(data: Path, environment: dict[str, str], process: subprocess.Popen[bytes]) -> Platform:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit((data / "bench.log").read_text())
        with contextlib.suppress(OSError, ValueError):
            found = Platform((data / "address").read_text().strip(), data, environment)
            if found.call("GET", "/health")["status"] == "healthy":
                return found
        time.sleep(0.1)
    raise SystemExit("the platform was not ready within 60 s\n" + (data / "bench.log").read_text()[-3000:])
