"""What a job costs before it does any work, and what it costs a training.

    python -m bench.job_overhead [--latency-jobs 200] [--throughput-jobs 300] [--rounds 3] [--write]

(a) No-op jobs through HTTP submit -> run -> result row, on SQLite and on PostgreSQL, with one training worker, beside
    plain RQ (bare ASGI submit, one forking worker, no database), in one run, rounds interleaved:
    - latency: one job at a time on an idle worker, from the moment the POST was answered to the trainer's first line;
    - throughput: all jobs submitted by 4 clients at once, from the first request to the last result. Both sides are
      asked for the last job's result only, every 50 ms, and for the others once it is there.
(b) One training of about 30 s, through a job and from a shell, in turn: ratio of the whole times.

`--write` puts the table into docs/benchmarks.md between its markers.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform as machine
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.platform import ROOT, Platform, platform, postgres

CLIENTS = 4
MARKERS = ("<!-- job_overhead: begin -->", "<!-- job_overhead: end -->")


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- The platform ----------------------------------------------------------------------------------------------------
def submit_noop(api: Platform) -> tuple[str, float]:
    """(job's id, when the POST was answered)."""
    (api.data / "files").mkdir(exist_ok=True)
    answer = api.call("POST", "/jobs/training", {"model_type": "noop", "data_path": "/data/noop.csv"})
    return answer["job_id"], time.time()


def wait_ended(api: Platform, job_id: str, pause: float = 0.005) -> None:
    while True:
        status = api.call("GET", f"/jobs/{job_id}/status")
        if status["status"] == "completed":
            return
        if status["status"] != "pending" and status["status"] != "running":
            raise SystemExit(f"{job_id} ended as {status}")
        time.sleep(pause)


def first_lines(api: Platform, job_ids: Sequence[str]) -> dict[str, float]:
    """When each job's trainer wrote its first line: the time that the line carries, read from the database."""
    script = (
        "import json, sys, django; django.setup()\n"
        "from django.db.models import Min\n"
        "from jobs.models import Job\n"
        "rows = Job.objects.annotate(first=Min('run__log_lines__time')).values_list('id', 'first')\n"
        "print(json.dumps({f'job_{pk}': first.timestamp() for pk, first in rows if first}))\n"
    )
    environment = {**api.environment, "DJANGO_SETTINGS_MODULE": "automl_site.settings"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, check=True)
    times = json.loads(done.stdout)
    return {job_id: times[job_id] for job_id in job_ids}


def platform_latency(api: Platform, count: int) -> list[float]:
    accepted = {}
    for _ in range(count):
        job_id, when = submit_noop(api)
        accepted[job_id] = when
        wait_ended(api, job_id)
    first = first_lines(api, list(accepted))
    return [first[job_id] - when for job_id, when in accepted.items()]


def platform_throughput(api: Platform, count: int) -> float:
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        submitted = list(pool.map(lambda _: submit_noop(api), range(count)))
    # One worker takes them in their order: while the last one waits, there is no need to count the others.
    wait_ended(api, submitted[-1][0], pause=0.05)
    while (
        api.call("GET", "/jobs?status=pending&limit=1")["total"]
        or api.call("GET", "/jobs?status=running&limit=1")["total"]
    ):
        time.sleep(0.05)
    return count / (time.monotonic() - started)


# --- Plain RQ --------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def plain_rq(workers: int = 1) -> Iterator[tuple[str, Callable[[str], dict | None]]]:
    """A bare submit endpoint and forking RQ workers; yields (address, look up a result)."""
    import redis
    import rq

    with valkey_server() as socket:
        url = f"unix://{socket}?db=0"
        connection = redis.Redis.from_url(url)

        def result(job_id: str) -> dict | None:
            found = rq.job.Job.fetch(job_id, connection=connection).latest_result()
            return found.return_value if found else None

        command = [sys.executable, "-m", "bench.plain_rq"]
        with serving(command, [[*command, "work"]] * workers, {"BENCH_REDIS_URL": url}) as address:
            yield address, result


@contextlib.contextmanager
def valkey_server() -> Iterator[Path]:
    """A Valkey server of its own; yields its socket."""
    import redis

    from automl_site import valkey

    folder = Path(tempfile.mkdtemp(prefix="bench-valkey-"))
    server = valkey.start(socket=folder / "v.sock", folder=folder / "aof", stdout=subprocess.DEVNULL)
    connection = redis.Redis.from_url(f"unix://{folder / 'v.sock'}?db=0")
    try:
        while True:
            with contextlib.suppress(redis.ConnectionError):
                if connection.ping():
                    break
            time.sleep(0.02)
        yield folder / "v.sock"
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def serving(command: Sequence[str], workers: Sequence[Sequence[str]], settings: dict[str, str]) -> Iterator[str]:
    """`command serve PORT` and these workers, as processes; yields the address once it takes orders."""
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    port = random.randint(20000, 40000)
    children = [
        subprocess.Popen(each, env=environment, cwd=ROOT) for each in ([*command, "serve", str(port)], *workers)
    ]
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180  # an environment that was just installed compiles itself first
        while True:
            try:
                rq_submit(address)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield address
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(timeout=20)


def rq_submit(address: str) -> tuple[str, float]:
    with urllib.request.urlopen(urllib.request.Request(address, b"{}"), timeout=10) as answer:
        return json.loads(answer.read())["job_id"], time.time()


def rq_latency(address: str, result: Callable[[str], dict | None], count: int) -> list[float]:
    latencies = []
    for _ in range(count):
        job_id, accepted = rq_submit(address)
        while (done := result(job_id)) is None:
            time.sleep(0.005)
        latencies.append(done["started"] - accepted)
    return latencies


def rq_throughput(address: str, result: Callable[[str], dict | None], count: int) -> float:
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        ids = [job_id for job_id, _ in pool.map(lambda _: rq_submit(address), range(count))]
    # As for the platform: asking for all of them again and again would take one of the cores from the worker.
    for job_id in (ids[-1], *ids):
        while result(job_id) is None:
            time.sleep(0.05)
    return count / (time.monotonic() - started)


# --- A training ------------------------------------------------------------------------------------------------------
TRAINING = {"n_estimators": 900, "random_state": 1, "n_jobs": 1}


def write_table(path: Path, rows: int = 6000, columns: int = 30) -> None:
    from sklearn.datasets import make_classification

    features, labels = make_classification(rows, columns, n_informative=12, n_classes=3, random_state=0)
    header = ",".join([*(f"x{i}" for i in range(columns)), "label"])
    lines = [",".join([*(f"{v:.6f}" for v in row), f"c{label}"]) for row, label in zip(features, labels, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")


def job_training(api: Platform) -> float:
    """Seconds from the claim to the result row."""
    body = {"model_type": "random_forest", "data_path": "/data/bench.csv", "hyperparameters": TRAINING}
    job_id = api.call("POST", "/jobs/training", body)["job_id"]
    started = time.monotonic()
    while (status := api.call("GET", f"/jobs/{job_id}/status"))["status"] in ("pending", "running"):
        time.sleep(0.05)
    if status["status"] != "completed":
        raise SystemExit(f"the training ended as {status}")
    return time.monotonic() - started


def shell_training(table: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        settings = [part for name, value in TRAINING.items() for part in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "trainers", "random_forest", "--data", str(table), "--out", out, *settings]
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - started


# --- The report ------------------------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-jobs", type=int, default=200)
    parser.add_argument("--throughput-jobs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    latencies: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    ratios: list[tuple[float, float]] = []
    each = max(options.latency_jobs // options.rounds + 1, 1)
    with contextlib.ExitStack() as stack:
        address, result = stack.enter_context(plain_rq())
        sqlite = stack.enter_context(platform())
        server = stack.enter_context(platform(stack.enter_context(postgres())))
        for api in (sqlite, server):
            (api.data / "files").mkdir(exist_ok=True)
            (api.data / "files" / "noop.csv").write_text("a,b\n1,2\n")
        rq_latency(address, result, 5)
        for api in (sqlite, server):
            platform_latency(api, 5)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            latencies.setdefault("plain RQ", []).extend(rq_latency(address, result, each))
            rates.setdefault("plain RQ", []).append(rq_throughput(address, result, options.throughput_jobs))
            for name, api in (("SQLite", sqlite), ("PostgreSQL", server)):
                latencies.setdefault(name, []).extend(platform_latency(api, each))
                rates.setdefault(name, []).append(platform_throughput(api, options.throughput_jobs))
        table = sqlite.data / "files" / "bench.csv"
        write_table(table)
        for number in range(options.rounds):
            print(f"training {number + 1} of {options.rounds}", file=sys.stderr)
            ratios.append((job_training(sqlite), shell_training(table)))
    text = report(latencies, rates, ratios)
    print(text)
    if options.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARKERS, text)


def report(latencies: dict[str, list[float]], rates: dict[str, list[float]], ratios: list[tuple[float, float]]) -> str:
    plain = statistics.median(rates["plain RQ"])
    lines = [
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores, Python {machine.python_version()}.",
        "",
        "| no-op jobs, one worker | accepted → first line, p50 | p95 | n | jobs/s (median) | against plain RQ |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in latencies.items():
        rate = statistics.median(rates[name])
        p50, p95 = percentile(values, 0.5) * 1000, percentile(values, 0.95) * 1000
        lines.append(f"| {name} | {p50:.1f} ms | {p95:.1f} ms | {len(values)} | {rate:.1f} | {rate / plain:.2f} |")
    jobs = [job for job, _ in ratios]
    shells = [shell for _, shell in ratios]
    ratio = statistics.median(job / shell for job, shell in ratios)
    lines += [
        "",
        "| a random forest, 6,000 × 30, 900 trees | through a job (SQLite) | from a shell | ratio (median of pairs) |",
        "|---|---|---|---|",
        f"| whole time, median of {len(ratios)} | {statistics.median(jobs):.2f} s | {statistics.median(shells):.2f} s "
        f"| {ratio:.3f} |",
    ]
    return "\n".join(lines)


def put_between(path: Path, markers: tuple[str, str], text: str) -> None:
    """Replace what stands between the two markers of a page."""
    head, rest = path.read_text().split(markers[0])
    _, tail = rest.split(markers[1])
    path.write_text(f"{head}{markers[0]}\n{text}\n{markers[1]}{tail}")


if __name__ == "__main__":
    main()
