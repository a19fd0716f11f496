"""How soon a point that was acknowledged is at the sockets that follow its run, and whether many sockets lose any.

    python -m bench.live [--seconds 30] [--sockets 500] [--databases sqlite postgres]

First 2 sockets follow a run that gets 1,000 points a second, 20 a request: from the answer's arrival to the message's,
p50 and p99 (goal: p99 under 100 ms). Then 500 sockets follow a run that gets 5 points a second: each has to get every
point once, in order. All on this machine, the sockets in one process, so their own work is in the figures.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.platform import postgres
from bench.trackers import Ours, ours

POINTS = 20  # a request
RATE = 1_000  # points a second
SLOW_RATE = 5
PATIENCE = 30.0  # seconds for what was sent to arrive


class Follower:
    """A socket on a run: the steps it got, in their order, and when. `seen`: by time.perf_counter()."""

    def __init__(self, tracker: Ours, run: int) -> None:
        self._address = f"{tracker.address.replace('http', 'ws', 1)}/ws/{run}"
        self._token = tracker.token
        self._socket: ClientConnection | None = None
        self.steps: list[int] = []
        self.seen: list[float] = []

    async def open(self) -> None:
        self._socket = await connect(f"{self._address}?token={self._token}&last_id=0", open_timeout=PATIENCE)

    async def read(self, count: int) -> None:
        """Until `count` points have come; less if none comes for PATIENCE seconds."""
        if self._socket is None:
            raise RuntimeError("not connected")
        with contextlib.suppress(TimeoutError):
            while len(self.steps) < count:
                async with asyncio.timeout(PATIENCE):
                    message = json.loads(await self._socket.recv())
                if message["type"] == "metric":
                    self.seen.append(time.perf_counter())
                    self.steps.append(message["step"])

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


async def follow(
    tracker: Ours, *, sockets: int, a_request: int, rate: float, seconds: float
) -> tuple[list[Follower], list[float]]:
    """The followers of a run that gets so many points a second; and when each step's request had been answered."""
    requests = round(seconds * rate / a_request)
    answered: list[float] = []
    async with tracker.connect() as connection:
        run = await tracker.new_run(connection, await tracker.new_project(connection, "live"), "live")
    followers = [Follower(tracker, run) for _ in range(sockets)]
    for start in range(0, sockets, 20):  # a listener takes so many at once
        await asyncio.gather(*(follower.open() for follower in followers[start : start + 20]))
    async with (
        tracker.connect() as connection
    ):  # the server has closed the first one, which had nothing to say meanwhile
        reading = asyncio.gather(*(follower.read(requests * a_request) for follower in followers))
        began = time.perf_counter()
        for number in range(requests):
            await asyncio.sleep(max(0.0, began + number * a_request / rate - time.perf_counter()))
            steps = range(number * a_request, (number + 1) * a_request)
            await tracker.log_batch(connection, run, [("loss", step, 1 / (step + 1)) for step in steps])
            answered += [time.perf_counter()] * a_request
        await reading
        await asyncio.gather(*(follower.close() for follower in followers))
    return followers, answered


def lost(followers: Sequence[Follower], count: int) -> int:
    """How many points did not come to a socket, or not once, or not in their order."""
    return sum(
        sum(a != b for a, b in zip(f.steps, range(count), strict=False)) + count - len(f.steps) for f in followers
    )


async def measure(tracker: Ours, options: Any) -> None:
    followers, answered = await follow(tracker, sockets=2, a_request=POINTS, rate=RATE, seconds=options.seconds)
    # The message may come before the answer has been read: that is no time at all.
    waits = [
        max(0.0, seen - answered[step]) * 1000
        for each in followers
        for step, seen in zip(each.steps, each.seen, strict=True)
    ]
    cuts = statistics.quantiles(waits, n=100)
    print(
        f"{tracker.name}: 2 sockets, {RATE:,} points/s: acknowledged → delivered p50 {cuts[49]:.1f} ms, "
        f"p99 {cuts[98]:.1f} ms, max {max(waits):.1f} ms; lost {lost(followers, len(answered))}",
        flush=True,
    )
    followers, answered = await follow(
        tracker, sockets=options.sockets, a_request=1, rate=SLOW_RATE, seconds=options.seconds
    )
    print(
        f"{tracker.name}: {options.sockets} sockets, {SLOW_RATE} points/s: {len(answered)} points to each, "
        f"lost {lost(followers, len(answered))}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    for database in options.databases:
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(postgres()) if database == "postgres" else ""
            asyncio.run(measure(stack.enter_context(ours(f"ours {database}", url)), options))


if __name__ == "__main__":
    main()
