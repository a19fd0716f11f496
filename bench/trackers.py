"""The tracking servers that bench/tracking.py compares, each behind the same few calls: this platform, and MLflow."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import psycopg

from bench.fill_mlflow import series_value
from bench.load import Connection, Step, drive
from bench.platform import ROOT, Platform, platform

MLFLOW = ("mlflow==3.17.2", "uvloop==0.23.0", "httptools", "psycopg2-binary")
BATCH = 1000  # MLflow takes no more points a request
PAGE = 25_000  # the most points of a history that MLflow answers at once
START_SECONDS = 300.0
# Nobody's limits but the machine's.
RATES = {
    "AUTOML_RATE_TRACKING_MINUTE": "100000000/m",
    "AUTOML_RATE_TRACKING_HOUR": "1000000000/h",
    "AUTOML_RATE_TRACKING_METRICS": "1000000/s",
}

Points = Sequence[tuple[str, int, float]]  # (metric, step, value)


class Tracker(Protocol):
    """A server under test. `sdk_python` runs its client library; the calls are what that library would send."""

    name: str
    address: str
    sdk_python: str
    store: str  # whose it is: two servers with the same store have the same runs

    def connect(self) -> Connection: ...
    async def new_project(self, connection: Connection, name: str) -> Any: ...
    async def new_run(self, connection: Connection, project: Any, name: str) -> Any: ...
    async def log_point(self, connection: Connection, run: Any, metric: str, step: int, value: float) -> None: ...
    async def log_batch(self, connection: Connection, run: Any, points: Points) -> None: ...
    async def fill_series(self, project: Any, points: int) -> Any: ...  # a run with the series `loss`
    async def fill_table(self, project: Any, runs: int) -> None: ...
    def batch_request(self, run: Any, points: Points) -> tuple[str, bytes]: ...  # its path and body
    async def chart(self, connection: Connection, run: Any, metric: str) -> int: ...
    async def history(self, connection: Connection, run: Any, metric: str) -> int: ...
    async def page(self, connection: Connection, project: Any) -> int: ...
    async def filtered(self, connection: Connection, project: Any, metric: str, below: float) -> int: ...
    def stored_bytes(self) -> int: ...
    def settle(self) -> None: ...  # what PostgreSQL does by itself, a minute after many rows have come


class Ours:
    """This platform: one web process, as `manage.py up` starts it."""

    sdk_python = sys.executable

    def __init__(self, name: str, api: Platform, token: str, database: str) -> None:
        self.name, self.address, self.token, self.store = name, api.address, token, name
        self._database, self._data, self._environment = database, api.data, api.environment

    def connect(self) -> Connection:
        return Connection(self.address, {"Authorization": f"Bearer {self.token}"})

    async def new_project(self, connection: Connection, name: str) -> int:
        return int((await connection.call("POST", "/projects/", {"name": name}))["id"])

    async def new_run(self, connection: Connection, project: int, name: str) -> int:
        body = {"name": name, "config": {"lr": 0.1, "batch_size": 32, "model": "resnet"}, "tags": ["bench"]}
        return int((await connection.call("POST", f"/runs/?project_id={project}", body))["id"])

    async def log_point(self, connection: Connection, run: int, metric: str, step: int, value: float) -> None:
        body = b'{"name":"%s","value":%r,"step":%d}' % (metric.encode(), value, step)
        await connection.request("POST", f"/metrics/{run}", body)

    async def log_batch(self, connection: Connection, run: int, points: Points) -> None:
        await connection.request("POST", *self.batch_request(run, points))

    def batch_request(self, run: int, points: Points) -> tuple[str, bytes]:
        series: dict[str, dict[str, list[Any]]] = {}
        for metric, step, value in points:
            columns = series.setdefault(metric, {"steps": [], "values": []})
            columns["steps"].append(step)
            columns["values"].append(value)
        return f"/metrics/{run}/batch", json.dumps({"series": series}).encode()

    async def fill_series(self, project: int, points: int) -> int:
        async with self.connect() as connection:
            run = await self.new_run(connection, project, "long")

        def batch(start: int) -> Step:
            rows = [("loss", step, series_value(step)) for step in range(start, min(start + BATCH, points))]
            return lambda connection: self.log_batch(connection, run, rows)

        load = await drive(self.connect, [map(batch, range(0, points, BATCH))])
        load.fail_on_errors()
        return run

    async def fill_table(self, project: int, runs: int) -> None:
        environment = {**self._environment, "DJANGO_SETTINGS_MODULE": "automl_site.settings"}
        await _run([sys.executable, "-m", "bench.fill_ours", str(project), str(runs)], environment)

    async def chart(self, connection: Connection, run: int, metric: str) -> int:
        path = f"/metrics/{run}/history/{quote(metric)}?max_points=2000"
        return len((await connection.call("GET", path))["values"])

    async def history(self, connection: Connection, run: int, metric: str) -> int:
        return len((await connection.call("GET", f"/metrics/{run}/history/{quote(metric)}"))["values"])

    async def page(self, connection: Connection, project: int) -> int:
        return len(await connection.call("GET", f"/runs/?project_id={project}&limit=100"))

    async def filtered(self, connection: Connection, project: int, metric: str, below: float) -> int:
        query = urlencode(
            {
                "project_id": project,
                "limit": 100,
                "filter": f"metrics.{metric}.last < {below}",
                "sort": f"metrics.{metric}.last",
            }
        )
        return len(await connection.call("GET", f"/runs/?{query}"))

    def stored_bytes(self) -> int:
        if self._database:
            return _postgres_bytes(self._database)
        return _sqlite_bytes(self._data / "db.sqlite3")

    def settle(self) -> None:
        _settle(self._database)


class MLflow:
    """MLflow's server, tuned: uvloop and httptools."""

    def __init__(self, name: str, address: str, python: str, store: str, database: str, file: Path) -> None:
        self.name, self.address, self.sdk_python, self.store = name, address, python, store
        self._database, self._file = database, file

    def connect(self) -> Connection:
        return Connection(self.address)

    async def _call(self, connection: Connection, method: str, path: str, body: Any = None) -> Any:
        return await connection.call(method, f"/api/2.0/mlflow/{path}", body)

    async def new_project(self, connection: Connection, name: str) -> str:
        return str((await self._call(connection, "POST", "experiments/create", {"name": name}))["experiment_id"])

    async def new_run(self, connection: Connection, project: str, name: str) -> str:
        body = {"experiment_id": project, "run_name": name, "start_time": _milliseconds()}
        body["tags"] = [{"key": "kind", "value": "bench"}]
        run = (await self._call(connection, "POST", "runs/create", body))["run"]["info"]["run_id"]
        params = [{"key": "lr", "value": "0.1"}, {"key": "batch_size", "value": "32"}, {"key": "model", "value": "r"}]
        await self._call(connection, "POST", "runs/log-batch", {"run_id": run, "params": params})
        return str(run)

    async def log_point(self, connection: Connection, run: str, metric: str, step: int, value: float) -> None:
        body = b'{"run_id":"%s","key":"%s","value":%r,"timestamp":%d,"step":%d}'
        values = (run.encode(), metric.encode(), value, _milliseconds(), step)
        await connection.request("POST", "/api/2.0/mlflow/runs/log-metric", body % values)

    async def log_batch(self, connection: Connection, run: str, points: Points) -> None:
        await connection.request("POST", *self.batch_request(run, points))

    def batch_request(self, run: str, points: Points) -> tuple[str, bytes]:
        now = _milliseconds()
        metrics = [{"key": key, "value": value, "timestamp": now, "step": step} for key, step, value in points]
        return "/api/2.0/mlflow/runs/log-batch", json.dumps({"run_id": run, "metrics": metrics}).encode()

    async def fill_series(self, project: str, points: int) -> str:
        return await self._fill("series", project, points)

    async def fill_table(self, project: str, runs: int) -> None:
        await self._fill("runs", project, runs)

    async def _fill(self, what: str, project: str, count: int) -> str:
        # -P: with the script's folder on the path, bench/platform.py would be the `platform` that libraries import.
        script = str(ROOT / "bench" / "fill_mlflow.py")
        return await _run([self.sdk_python, "-P", script, self.store, what, project, str(count)])

    async def chart(self, connection: Connection, run: str, metric: str) -> int:
        # What its page asks for: a sample of at most 320 points.
        query = urlencode({"run_ids": run, "metric_key": metric, "max_results": 320})
        path = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{query}"
        return len((await connection.call("GET", path))["metrics"])

    async def history(self, connection: Connection, run: str, metric: str) -> int:
        token, count = "", 0
        while True:
            query = urlencode({"run_id": run, "metric_key": metric, "max_results": PAGE, "page_token": token})
            answer = await self._call(connection, "GET", f"metrics/get-history?{query}")
            count += len(answer.get("metrics", ()))
            token = answer.get("next_page_token", "")
            if not token:
                return count

    async def page(self, connection: Connection, project: str) -> int:
        body = {"experiment_ids": [project], "max_results": 100}
        return len((await self._call(connection, "POST", "runs/search", body))["runs"])

    async def filtered(self, connection: Connection, project: str, metric: str, below: float) -> int:
        body = {"experiment_ids": [project], "max_results": 100, "filter": f"metrics.{metric} < {below}"}
        body["order_by"] = [f"metrics.{metric} ASC"]
        return len((await self._call(connection, "POST", "runs/search", body))["runs"])

    def stored_bytes(self) -> int:
        if self._database:
            return _postgres_bytes(self._database)
        return _sqlite_bytes(self._file)

    def settle(self) -> None:
        _settle(self._database)


@contextlib.contextmanager
def ours(name: str, database: str = "") -> Iterator[Ours]:
    os.environ.update(RATES)
    with platform(database, is_open=False) as api:
        person = {"email": "bench@example.com", "username": "bench", "password": "bench-password"}
        api.call("POST", "/auth/register", person)
        token = api.call("POST", "/auth/login", {"username": "bench", "password": "bench-password"})["access_token"]
        yield Ours(name, api, token, database)


@contextlib.contextmanager
def mlflow(name: str, python: str, port: int, workers: Sequence[int], database: str = "") -> Iterator[list[MLflow]]:
    """Its servers, one for each number of workers, on the same store: they are asked in turn, not at once."""
    folder = Path(tempfile.mkdtemp(prefix="bench-mlflow-"))
    store = database.replace("postgres://", "postgresql+psycopg2://") or f"sqlite:///{folder / 'mlflow.db'}"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = []
        for offset, count in enumerate(workers):
            address = stack.enter_context(_mlflow_server(folder, python, port + offset, count, store))
            label = f"mlflow-{count} {name}"
            servers.append(MLflow(label, address, python, store, database, folder / "mlflow.db"))
        yield servers


@contextlib.contextmanager
def _mlflow_server(folder: Path, python: str, port: int, workers: int, store: str) -> Iterator[str]:
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--default-artifact-root", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--uvicorn-opts", "--loop uvloop --http httptools --log-level warning"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("DATABASE_URL", None)
    with (folder / f"log-{workers}").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{address}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"MLflow does not start:\n{(folder / f'log-{workers}').read_text()[-3000:]}")
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def mlflow_python() -> str:
    """The Python of an environment of its own that holds MLflow; made when first needed."""
    folder = ROOT / ".bench" / "mlflow"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *MLFLOW], check=True)
        (folder / "installed").touch()
    return str(python)


async def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What the command prints, once it has ended well."""
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return said.decode().strip()


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def _sqlite_bytes(file: Path) -> int:
    """Of the pages in use: what a file has to spare, earlier measures have left there."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _settle(database: str) -> None:
    if database:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _postgres_bytes(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0


def _milliseconds() -> int:
    return int(time.time() * 1000)
