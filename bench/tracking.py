"""This platform's tracking against MLflow's server, tuned (uvloop; 2 and 4 workers), on SQLite and on PostgreSQL.

    python -m bench.tracking [--quick] [--rounds 3] [--only NAME …] [--databases sqlite postgres] [--write]

All servers run at once on this machine and are measured in turn, round by round, by one client. Each figure of ours
is divided by the better of MLflow's two on the same database, which share their runs. MLflow is installed into
`.bench/` when first needed. The 10,000 runs and MLflow's million points go into the tables by bench/fill_*.py.

    point       one point a request, one client: p50
    points      one point a request, 16 clients: requests a second
    batches     1,000 points a request, 4 clients: points a second
    loops       8 runs x 1,000 steps x 5 metrics through each one's own client library: steps a second
    chart       of a series of a million points: ours thinned to 2,000, MLflow's page's sample of 320
    history     all points of that series
    page        100 of 10,000 runs
    filter      100 of them that a condition on a metric chooses, sorted by that metric
    mixed       50 clients for 30 s: 80 % points and batches, 20 % reads; p99
    bytes       on disk for a point, of the million, once the size rests (ours packs them after it has taken them)

Figures are kept in `.bench/tracking.json`, so that measures may be taken in several runs. `--write` puts the table of
the newest ones into docs/benchmarks.md between its markers; `--quick` measures a tenth, to try the script, and keeps
nothing.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import platform as machine
import random
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.fill_mlflow import series_value
from bench.job_overhead import put_between
from bench.load import Connection, Step, drive
from bench.platform import ROOT, postgres
from bench.trackers import BATCH, Ours, Tracker, mlflow, mlflow_python, ours

MARKERS = ("<!-- tracking: begin -->", "<!-- tracking: end -->")
READ_SECONDS = 20.0  # after which a read is not repeated
RESTS = 6  # looks, a second apart
SETTLE_SECONDS = 120.0
DATABASES = ("sqlite", "postgres")
METRICS = ("loss", "accuracy", "lr", "grad_norm", "throughput")


@dataclass(frozen=True)
class Size:
    points: int = 200  # requests of one client
    clients: int = 16
    requests: int = 100  # of each of them
    batches: int = 25  # of each of 4 clients
    steps: int = 1000  # of each of 8 runs
    series: int = 1_000_000
    runs: int = 10_000
    reads: int = 5
    seconds: float = 30.0


QUICK = Size(points=50, requests=20, batches=3, steps=100, series=100_000, runs=500, reads=2, seconds=5.0)


@dataclass(frozen=True)
class Measure:
    """`goal`: ours is to be so many times as good. `less`: a smaller figure is the better one."""

    name: str
    title: str
    unit: str
    goal: Callable[[str], float]
    less: bool
    take: Callable[["Bench", Tracker], Awaitable[float]]
    rounds: int = 0  # 0: as many as asked for


class Bench:
    """What the measures need of a server: a project, and the million points and 10,000 runs, made once."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.projects: dict[tuple[str, str], Any] = {}
        self.long_runs: dict[str, Any] = {}
        self.bytes: dict[str, float] = {}  # a point of the long run
        self.tables: dict[str, Any] = {}

    async def project(self, tracker: Tracker, name: str) -> Any:
        if (tracker.store, name) not in self.projects:
            async with tracker.connect() as connection:
                self.projects[tracker.store, name] = await tracker.new_project(connection, name)
        return self.projects[tracker.store, name]

    async def run(self, tracker: Tracker) -> Any:
        project = await self.project(tracker, "bench")
        async with tracker.connect() as connection:
            return await tracker.new_run(connection, project, "run")

    async def long_run(self, tracker: Tracker) -> Any:
        """A run with one series of a million points."""
        if tracker.store not in self.long_runs:
            project = await self.project(tracker, "bench")
            before = await _settled_bytes(tracker)
            self.long_runs[tracker.store] = await tracker.fill_series(project, self.size.series)
            self.bytes[tracker.store] = (await _settled_bytes(tracker) - before) / self.size.series
        return self.long_runs[tracker.store]

    async def table(self, tracker: Tracker) -> Any:
        """A project of 10,000 runs, each with a point of three metrics."""
        if tracker.store not in self.tables:
            project = await self.project(tracker, "table")
            await tracker.fill_table(project, self.size.runs)
            tracker.settle()
            self.tables[tracker.store] = project
        return self.tables[tracker.store]


# --- The measures ----------------------------------------------------------------------------------------------------
async def point(bench: Bench, tracker: Tracker) -> float:
    run = await bench.run(tracker)
    load = await drive(tracker.connect, [_points(tracker, run, bench.size.points)])
    load.fail_on_errors()
    return load.percentile(0.5) * 1000


async def points(bench: Bench, tracker: Tracker) -> float:
    clients = [_points(tracker, await bench.run(tracker), bench.size.requests) for _ in range(bench.size.clients)]
    load = await drive(tracker.connect, clients)
    load.fail_on_errors()
    return load.rate


async def batches(bench: Bench, tracker: Tracker) -> float:
    def steps(run: Any) -> list[Step]:
        return [_batch(tracker, run, number * BATCH) for number in range(bench.size.batches)]

    load = await drive(tracker.connect, [steps(await bench.run(tracker)) for _ in range(4)])
    load.fail_on_errors()
    return load.rate * BATCH


async def loops(bench: Bench, tracker: Tracker) -> float:
    kind = "ours" if isinstance(tracker, Ours) else "mlflow"
    # -P: with the script's folder on the path, bench/platform.py would be the `platform` that libraries import.
    command = [tracker.sdk_python, "-P", str(ROOT / "bench" / "loops.py"), kind, tracker.address, str(bench.size.steps)]
    environment = {**os.environ, "AI_MANAGER_API_KEY": getattr(tracker, "token", ""), "MLFLOW_DISABLE_TELEMETRY": "1"}
    environment["PYTHONPATH"] = str(ROOT / "clients" / "python" / "src")
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise SystemExit(f"{tracker.name}: the client ended with {process.returncode}")
    return 8 * bench.size.steps / float(said.split()[-1])


async def chart(bench: Bench, tracker: Tracker) -> float:
    return await _reads(bench, tracker, tracker.chart, await bench.long_run(tracker), "loss")


async def history(bench: Bench, tracker: Tracker) -> float:
    return await _reads(bench, tracker, tracker.history, await bench.long_run(tracker), "loss")


async def page(bench: Bench, tracker: Tracker) -> float:
    return await _reads(bench, tracker, tracker.page, await bench.table(tracker))


async def filtered(bench: Bench, tracker: Tracker) -> float:
    return await _reads(bench, tracker, tracker.filtered, await bench.table(tracker), "loss", 0.5)


async def mixed(bench: Bench, tracker: Tracker) -> float:
    project = await bench.table(tracker)

    def steps(run: Any, seed: int) -> Any:
        chance = random.Random(seed)  # noqa: S311
        for number in range(10**9):
            kind = chance.random()
            if kind < 0.6:
                yield _point(tracker, run, number)
            elif kind < 0.8:
                yield _batch(tracker, run, number, 50)
            elif kind < 0.9:
                yield lambda connection: tracker.page(connection, project)
            else:
                yield lambda connection: tracker.chart(connection, run, "loss")

    runs = [await bench.run(tracker) for _ in range(50)]
    first = await drive(tracker.connect, [[_point(tracker, run, 0)] for run in runs])  # a chart wants a point
    first.fail_on_errors()
    load = await drive(tracker.connect, [steps(run, seed) for seed, run in enumerate(runs)], until=bench.size.seconds)
    if load.errors:
        print(f"{tracker.name}: {len(load.errors)} errors under load, e.g. {load.errors[0]}", file=sys.stderr)
        if isinstance(tracker, Ours):
            raise SystemExit("no error is allowed")
    return load.percentile(0.99) * 1000


async def stored(bench: Bench, tracker: Tracker) -> float:
    await bench.long_run(tracker)
    return bench.bytes[tracker.store]


MEASURES = (
    Measure("point", "one point a request, 1 client, p50", "ms", lambda _: 10, True, point),
    Measure("points", "one point a request, 16 clients", "requests/s", lambda _: 25, False, points),
    Measure("batches", "1,000 points a request, 4 clients", "points/s", lambda _: 50, False, batches),
    Measure("loops", "8 runs × 1,000 steps × 5 metrics, by SDK", "steps/s", lambda _: 20, False, loops, rounds=1),
    Measure("chart", "chart of 1M points", "ms", lambda database: 100 if database == "sqlite" else 20, True, chart),
    Measure("history", "history of 1M points", "ms", lambda _: 50, True, history, rounds=1),
    Measure("page", "100 of 10,000 runs", "ms", lambda _: 10, True, page),
    Measure("filter", "… filtered and sorted by a metric", "ms", lambda _: 10, True, filtered),
    Measure("mixed", "50 mixed clients, p99", "ms", lambda _: 5, True, mixed, rounds=1),
    Measure("bytes", "bytes a point", "bytes", lambda _: 10, True, stored, rounds=1),
)


def _point(tracker: Tracker, run: Any, step: int) -> Step:
    return lambda connection: tracker.log_point(connection, run, "loss", step, series_value(step))


def _points(tracker: Tracker, run: Any, count: int) -> list[Step]:
    return [_point(tracker, run, step) for step in range(count)]


def _batch(tracker: Tracker, run: Any, start: int, size: int = BATCH) -> Step:
    steps = range(start, start + size // len(METRICS))
    rows = [(metric, step, series_value(step)) for step in steps for metric in METRICS]
    # Encoded before the clock runs: that is the client's work, and both have the same two cores.
    path, body = tracker.batch_request(run, rows)
    return lambda connection: connection.request("POST", path, body)


async def _reads(bench: Bench, tracker: Tracker, read: Callable[..., Awaitable[int]], *arguments: Any) -> float:
    """Median time of a read, in ms; the first one warms up, but counts where it took READ_SECONDS or longer."""

    async def step(connection: Connection) -> None:
        if not await read(connection, *arguments):
            raise SystemExit(f"{tracker.name}: {read.__name__} answered nothing")

    load = await drive(tracker.connect, [[step] * (bench.size.reads + 1)], until=READ_SECONDS)
    load.fail_on_errors()
    return statistics.median(load.times[1:] or load.times) * 1000


async def _settled_bytes(tracker: Tracker) -> int:
    """What the database takes once it has not changed for RESTS looks."""
    sizes = [tracker.stored_bytes()]
    deadline = time.monotonic() + SETTLE_SECONDS
    while len(set(sizes[-RESTS:])) > 1 or len(sizes) < RESTS:
        if time.monotonic() > deadline:
            raise SystemExit(f"{tracker.name}: the size of its database does not come to rest")
        await asyncio.sleep(1)
        sizes.append(tracker.stored_bytes())
    return sizes[-1]


# --- The report ------------------------------------------------------------------------------------------------------
Results = dict[tuple[str, str], list[float]]  # (measure, tracker) -> a figure a round


async def measure(
    trackers: Sequence[Tracker], chosen: Sequence[Measure], bench: Bench, rounds: int, *, kept: bool
) -> Results:
    """The figures; `kept`: each measure's are kept as soon as it is done."""
    results: Results = {}
    for each in chosen:
        for _ in range(each.rounds or rounds):
            for tracker in trackers:
                figure = await each.take(bench, tracker)
                print(f"{each.name:8} {tracker.name:24} {figure:14,.2f} {each.unit}", file=sys.stderr)
                results.setdefault((each.name, tracker.name), []).append(figure)
        if kept:
            keep(results)
    return results


async def _within(seconds: float, work: Awaitable[Results]) -> Results:
    """The work's results. After so many seconds it is given up, and the servers are stopped."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise SystemExit(f"not done after {seconds / 60:g} minutes; choose fewer measures or rounds") from None


def keep(results: Results) -> Results:
    """Put the figures among those of earlier runs. All of them."""
    file = ROOT / ".bench" / "tracking.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {" / ".join(key): figures for key, figures in results.items()}
    file.write_text(json.dumps(kept, indent=1))
    return {tuple(key.split(" / ")): figures for key, figures in kept.items()}


def report(results: Results) -> str:
    lines = [
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores, Python {machine.python_version()}; medians.",
        "",
        "| | database | ours | MLflow, 2 workers | 4 workers | times as good as the better | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in MEASURES:
        for database in DATABASES:
            if (each.name, f"ours {database}") not in results:
                continue
            mine, *theirs = (
                statistics.median(results[each.name, f"{name} {database}"]) for name in ("ours", "mlflow-2", "mlflow-4")
            )
            better = min(theirs) if each.less else max(theirs)
            ratio = better / mine if each.less else mine / better
            goal = each.goal(database)
            met = "met" if ratio >= goal else "**missed**"
            figures = " | ".join(f"{figure:,.4g}" if figure < 100 else f"{figure:,.0f}" for figure in (mine, *theirs))
            lines.append(f"| {each.title} ({each.unit}) | {database} | {figures} | {ratio:,.3g} | {goal:g}, {met} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in MEASURES], default=[])
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--minutes", type=float, default=60.0, help="after so many, end without a result")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # else the servers would go on without us
    chosen = [each for each in MEASURES if not options.only or each.name in options.only]
    python = mlflow_python()
    port = random.randint(20_000, 40_000)  # noqa: S311 (a port, not a secret)
    trackers: list[Tracker] = []
    with contextlib.ExitStack() as stack:
        for database in options.databases:
            urls = ["", ""]
            if database == "postgres":
                urls = [stack.enter_context(postgres()) for _ in urls]
            trackers.append(stack.enter_context(ours(f"ours {database}", urls[0])))
            trackers += stack.enter_context(mlflow(database, python, port, (2, 4), urls[1]))
            port += 2
        bench = Bench(QUICK if options.quick else Size())
        work = measure(trackers, chosen, bench, options.rounds, kept=not options.quick)
        results = asyncio.run(_within(options.minutes * 60, work))
    text = report(results if options.quick else keep(results))
    print(text)
    if options.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARKERS, text)


if __name__ == "__main__":
    main()
