"""The ASGI handler: threads and connections are used again, and who waits is served in turn."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from automl_site.handler import IDLE_THREADS, PooledHandler
from automl_site.streaming import streamed
from tests.conftest import wait_until

AT_ONCE = 2


class Place:
    """What the views leave and wait for."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.connections: list[int] = []
        self.begun: list[str] = []
        self.at_work = 0
        self.most = 0
        self.lock = threading.Lock()
        self.open = threading.Event()


place = Place()


def quick(request: HttpRequest) -> HttpResponse:
    place.threads.append(threading.get_ident())
    place.connections.append(id(connection.connection))
    return HttpResponse(request.GET.get("number", ""))


def slow(request: HttpRequest) -> HttpResponse:
    with place.lock:
        place.begun.append(request.GET.get("number", ""))
        place.at_work += 1
        place.most = max(place.most, place.at_work)
    assert place.open.wait(20)
    with place.lock:
        place.at_work -= 1
    return HttpResponse("done")


def stream(request: HttpRequest) -> HttpResponseBase:
    def pieces() -> Any:
        yield b"first"
        assert place.open.wait(20)
        yield b"last"

    return streamed(request, pieces(), headers={})


def failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("of no use")


urlpatterns = [
    path("quick", quick),
    path("slow", slow),
    path("health", quick),
    path("stream", stream),
    path("failing", failing),
]


@pytest.fixture
def handler(settings: Any, monkeypatch: pytest.MonkeyPatch) -> PooledHandler:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.ALLOWED_HOSTS = ["*"]
    settings.REQUESTS_AT_ONCE = AT_ONCE
    monkeypatch.setattr(f"{__name__}.place", Place())
    return PooledHandler()


async def asked(
    handler: PooledHandler, where: str, gone: asyncio.Event | None = None, sent: Callable[[bytes], None] | None = None
) -> tuple[int, bytes]:
    """Status and body; the client leaves when `gone` is set."""
    route, _, query = where.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": f"/{route}", "query_string": query.encode(),
        "headers": [(b"host", b"testserver")],
    }  # fmt: skip
    begun = False
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")
        if sent is not None:
            sent(body)

    await handler(scope, receive, send)
    return status, body


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what=what)


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("request")}


def waiting(handler: PooledHandler) -> int:
    return len(handler._turns._waiters or ())


async def test_requests_one_after_the_other_share_a_thread(handler: PooledHandler) -> None:
    for number in range(5):
        assert await asked(handler, f"quick?number={number}") == (200, str(number).encode())
        await until(lambda: len(handler._idle) == 1, "the thread's return")
    assert len(set(place.threads)) == 1
    assert place.threads[0] != threading.get_ident()


async def test_no_more_than_so_many_are_served_at_once(handler: PooledHandler) -> None:
    requests = [asyncio.create_task(asked(handler, "slow")) for _ in range(6)]
    await until(lambda: place.at_work == AT_ONCE and waiting(handler) == 4, "requests that wait")
    place.open.set()
    assert await asyncio.gather(*requests) == [(200, b"done")] * 6
    assert place.most == AT_ONCE


@pytest.mark.usefixtures("handler")
async def test_who_came_first_is_served_first(settings: Any) -> None:
    settings.REQUESTS_AT_ONCE = 1
    one = PooledHandler()
    requests = []
    for number in range(6):
        requests.append(asyncio.create_task(asked(one, f"slow?number={number}")))
        await until(lambda number=number: len(place.begun) + waiting(one) == number + 1, "its wait")  # type: ignore[misc]
    place.open.set()
    await asyncio.gather(*requests)
    assert place.begun == [str(number) for number in range(6)]


async def test_health_is_told_while_others_wait(handler: PooledHandler) -> None:
    requests = [asyncio.create_task(asked(handler, "slow")) for _ in range(AT_ONCE + 1)]
    await until(lambda: place.at_work == AT_ONCE, "views at work")
    assert (await asked(handler, "health"))[0] == 200
    place.open.set()
    await asyncio.gather(*requests)


async def test_to_send_a_stream_takes_nobodys_turn(handler: PooledHandler) -> None:
    first = asyncio.Event()
    streams = [
        asyncio.create_task(asked(handler, "stream", sent=lambda body: first.set() if body else None))
        for _ in range(AT_ONCE)
    ]
    await asyncio.wait_for(first.wait(), 20)
    assert (await asked(handler, "quick"))[0] == 200
    place.open.set()
    assert await asyncio.gather(*streams) == [(200, b"firstlast")] * AT_ONCE


async def test_whose_client_has_left_lends_its_thread_to_nobody_before_its_view_has_ended(
    handler: PooledHandler,
) -> None:
    gone = asyncio.Event()
    left = asyncio.create_task(asked(handler, "slow", gone))
    await until(lambda: place.at_work == 1, "the view's begin")
    gone.set()
    for _ in range(3):
        assert (await asyncio.wait_for(asked(handler, "quick"), 20))[0] == 200
    place.open.set()
    await asyncio.gather(left, return_exceptions=True)
    await until(lambda: place.at_work == 0, "the view's end")


async def test_a_view_that_fails_gives_its_turn_back(handler: PooledHandler) -> None:
    for _ in range(AT_ONCE + 1):
        assert (await asked(handler, "failing"))[0] == 500
    assert (await asyncio.wait_for(asked(handler, "quick"), 20))[0] == 200


async def test_of_many_threads_no_more_are_kept_than_so_many(
    handler: PooledHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert IDLE_THREADS > AT_ONCE
    others = threads()
    monkeypatch.setattr("automl_site.handler.IDLE_THREADS", 3)
    place.open.set()
    await asyncio.gather(*(asked(handler, "slow") for _ in range(8)))
    await until(lambda: len(handler._idle) == 3, "the threads' return")
    await until(lambda: len(threads() - others) == 3, "the others' end")
