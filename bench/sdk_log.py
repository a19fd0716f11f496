"""What `run.log` of the ai_manager client costs the training loop, and what 20 runs at once ask of the server.

    .venv/bin/python -m bench.sdk_log                            the cost of a call, with a server and without one
    .venv/bin/python -m bench.sdk_log --runs 20 --seconds 600    runs at 10 logs a second, on a real platform

The first logs five floats with the clock read around each call, the sender at work beside it. The second starts the
platform with its default rate limits, counts its answers, and compares what is stored with what was logged.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.platform import platform
from tests.clients.server import PASSWORD, USERNAME, TrackingServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients" / "python" / "src"))

LOGS_PER_SECOND = 10
VALUES = {"loss": 0.5, "accuracy": 0.85, "lr": 0.001, "grad_norm": 1.25, "throughput": 1234.5}


def cost_of_a_call(run: Any, *, calls: int, pause: float) -> list[float]:
    """Microseconds of each call. `pause`: seconds between two, as a training step takes them."""
    values, clock, costs = dict(VALUES), time.perf_counter_ns, []
    for step in range(calls):
        values["loss"] = step * 0.5
        started = clock()
        run.log(values, step=step)
        costs.append((clock() - started) / 1000)
        if pause:
            time.sleep(pause)
    return costs


def quantiles(costs: list[float]) -> str:
    ordered = statistics.quantiles(costs, n=100)
    return (
        f"p50 {ordered[49]:6.2f} µs   p95 {ordered[94]:6.2f} µs   p99 {ordered[98]:7.2f} µs   max {max(costs):9.1f} µs"
    )


def costs() -> None:
    from ai_manager import AIManager

    server = TrackingServer()
    for name, mode, calls, pause in (
        ("tight loop, server there", "online", 200_000, 0.0),
        ("a step of 1 ms, server there", "online", 5_000, 0.001),
        ("tight loop, offline", "offline", 200_000, 0.0),
        ("a step of 1 ms, offline", "offline", 5_000, 0.001),
    ):
        manager = AIManager("bench", server.url, USERNAME, PASSWORD, mode=mode, system_metrics=0)
        with manager.run(name=name) as run:
            measured = cost_of_a_call(run, calls=calls, pause=pause)
            print(f"{name:<30} {quantiles(measured)}", flush=True)
    server.stop()


def many_runs(*, runs: int, seconds: float) -> None:
    """Runs of one process, each in a thread, on a real platform."""
    from ai_manager import AIManager, api

    statuses: dict[int, int] = {}
    judge = api.Api._judge

    def counting(self: Any, method: str, path: str, answer: Any, content: bytes) -> Any:
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        return judge(self, method, path, answer, content)

    api.Api._judge = counting  # type: ignore[method-assign]
    with platform() as here:
        here.call("POST", "/auth/register", {"email": "a@example.com", "username": "ann", "password": "password"})
        manager = AIManager("bench", here.address, "ann", "password", system_metrics=0)
        started = [manager.run(name=f"run {number}") for number in range(runs)]
        lag: list[float] = []
        logged = [0] * runs

        def train(number: int) -> None:
            begun = time.monotonic()
            while time.monotonic() - begun < seconds:
                started[number].log(VALUES, step=logged[number])
                logged[number] += 1
                time.sleep(max(0.0, begun + logged[number] / LOGS_PER_SECOND - time.monotonic()))

        threads = [threading.Thread(target=train, args=(number,)) for number in range(runs)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.25)
            # The oldest point that still waits in memory: how far the server is behind.
            oldest = min((run._outbox.rows[0][0] for run in started if run._outbox.rows), default=time.time())
            lag.append(time.time() - oldest)
        for run in started:
            run.finish()
        stored = 0
        for run in started:
            summary = manager.api.call("GET", f"/metrics/{run.id}/summary")
            stored += sum(item["total_points"] for item in summary)
    requests = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(f"{runs} runs, {LOGS_PER_SECOND} logs/s each, {seconds:.0f} s: {requests}")
    print(f"points logged {sum(logged) * len(VALUES)}, stored {stored}")
    print(
        f"lag p50 {statistics.median(lag):.2f} s, p95 {statistics.quantiles(lag, n=20)[18]:.2f} s, max {max(lag):.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help="so many runs at once, on a real platform")
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    logging.getLogger("ai_manager").addHandler(logging.NullHandler())
    os.environ["AI_MANAGER_CAPTURE"] = "0"
    with tempfile.TemporaryDirectory(prefix="bench-spool-") as folder:
        os.environ["AI_MANAGER_DIR"] = folder
        if options.runs:
            many_runs(runs=options.runs, seconds=options.seconds)
        else:
            costs()


if __name__ == "__main__":
    main()
