"""How fast two workers get through no-op jobs: this platform, plain RQ, and Celery's prefork pool.

    python -m bench.queue [--jobs 1000] [--rounds 3] [--quick] [--write]

All run at once on this machine and are measured in turn, round by round: four clients submit all jobs over HTTP, from
the first request to the last result. Of plain RQ (two forking workers) and Celery (one worker, two processes, in an
environment of its own in `.bench/`, made when first needed) a bare ASGI endpoint takes the orders, and nothing is
written to a database; ours checks, stores, runs and logs each job as a training.

`--write` puts the table into docs/benchmarks.md between its markers; `--quick` tries the script with a few jobs.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform as machine
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from bench.job_overhead import (
    plain_rq,
    platform_throughput,
    put_between,
    rq_throughput,
    serving,
    valkey_server,
)
from bench.platform import ROOT, platform, postgres

WORKERS = 2
CELERY = ("celery[redis]==5.7.0", "uvicorn", "uvloop==0.23.0")
MARKERS = ("<!-- queue: begin -->", "<!-- queue: end -->")


@contextlib.contextmanager
def celery() -> Iterator[tuple[str, Callable[[str], dict | None]]]:
    """A bare submit endpoint and a Celery worker; yields (address, look up a result)."""
    with valkey_server() as socket:
        connection = redis.Redis.from_url(f"unix://{socket}?db=0")

        def result(job_id: str) -> dict | None:
            stored = connection.get(f"celery-task-meta-{job_id}")
            return json.loads(stored)["result"] if stored else None

        command = [celery_python(), "-m", "bench.plain_celery"]
        work = [*command, "work", str(WORKERS)]
        with serving(command, [work], {"BENCH_CELERY_URL": f"redis+socket://{socket}"}) as address:
            yield address, result


def celery_python() -> str:
    """The Python of an environment of its own that holds Celery; made when first needed."""
    folder = ROOT / ".bench" / "celery"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *CELERY], check=True)
        (folder / "installed").touch()
    return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    jobs, rounds = (50, 1) if options.quick else (options.jobs, options.rounds)
    rates: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        sides: dict[str, Callable[[int], float]] = {}
        for name, plain in (("plain RQ", plain_rq(WORKERS)), ("Celery, prefork", celery())):
            address, result = stack.enter_context(plain)
            sides[name] = lambda count, address=address, result=result: rq_throughput(address, result, count)
        for name, url in (("this platform, SQLite", ""), ("this platform, PostgreSQL", postgres())):
            database = url if isinstance(url, str) else stack.enter_context(url)
            api = stack.enter_context(platform(database, "--workers", str(WORKERS)))
            Path(api.data / "files").mkdir(exist_ok=True)
            (api.data / "files" / "noop.csv").write_text("a,b\n1,2\n")
            sides[name] = lambda count, api=api: platform_throughput(api, count)
        for measure in sides.values():
            measure(20)  # connections are made, frameworks imported
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for name, measure in sides.items():
                rates.setdefault(name, []).append(measure(jobs))
    text = report(rates, jobs)
    print(text)
    if options.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARKERS, text)


def report(rates: dict[str, list[float]], jobs: int) -> str:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    lines = [
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores, Python {machine.python_version()}.",
        "",
        f"| {jobs} no-op jobs, {WORKERS} workers | jobs/s, median of {len(rates['plain RQ'])} | against plain RQ "
        "| against Celery |",
        "|---|---|---|---|",
    ]
    for name, rate in medians.items():
        ratios = [f"{rate / medians[other]:.2f}" for other in ("plain RQ", "Celery, prefork")]
        lines.append(f"| {name} | {rate:.1f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
