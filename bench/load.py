"""A load generator: keep-alive HTTP/1.1 connections on one event loop, with little of its own cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import orjson


class Refused(Exception):
    """An answer that is no success."""


class Connection:
    """One connection to `address`; one request at a time."""

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        lines = [f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self._head = "".join(f"{line}\r\n" for line in lines)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's body. Raises Refused for a status of 400 or above."""
        if self._reader is None or self._writer is None:
            raise RuntimeError("not connected")
        typed = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{typed}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            answer = await self._chunks()
        else:
            answer = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if int(lines[0].split()[1]) >= 400:
            raise Refused(f"{method} {path}: {lines[0]} {answer[:300]!r}")
        return answer

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        answer = await self.request(method, path, orjson.dumps(body) if body is not None else b"")
        return orjson.loads(answer) if answer else None

    async def _chunks(self) -> bytes:
        if self._reader is None:
            raise RuntimeError("not connected")
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)


@dataclass
class Load:
    """What a load test saw. Times are in seconds."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def fail_on_errors(self) -> None:
        if self.errors:
            raise SystemExit(f"{len(self.errors)} requests failed, e.g. {self.errors[0]}")


Step = Callable[[Connection], Awaitable[Any]]


async def drive(connect: Callable[[], Connection], clients: Sequence[Iterable[Step]], *, until: float = 0.0) -> Load:
    """Let each client take its steps one after the other, all clients at once.

    `until`: seconds after which no further step begins; 0: all are taken. A step that fails is counted, not timed.
    """
    load = Load()
    started = time.perf_counter()

    async def client(steps: Iterable[Step]) -> None:
        async with connect() as connection:
            for step in steps:
                began = time.perf_counter()
                if until and began - started > until:
                    return
                try:
                    await step(connection)
                except (Refused, OSError, asyncio.IncompleteReadError) as error:
                    load.errors.append(str(error))
                    if not isinstance(error, Refused):
                        return  # the connection is gone
                else:
                    load.times.append(time.perf_counter() - began)

    await asyncio.gather(*(client(steps) for steps in clients))
    load.seconds = time.perf_counter() - started
    return load
