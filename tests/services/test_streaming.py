"""Answers that are made while they are sent: bounded, closed in the end, and broken off aloud."""

import asyncio
import gc
import http.client
import io
import logging
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.http import HttpRequest, HttpResponseBase
from django.test import Client
from django.urls import path

from automl_site import static_files, streaming
from automl_site.handler import PooledHandler
from automl_site.streaming import FilePieces, streamed
from tests.conftest import wait_until

Serve = Callable[[Any], Any]


class Producer:
    """Pieces that know how many of them were made, in which threads, and whether they were closed."""

    def __init__(self, count: int, *, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.count, self.fails_at, self.error = count, fails_at, error
        self.made = 0
        self.threads: set[int] = set()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        if self.made == self.fails_at:
            raise self.error or ValueError("no more of it")
        if self.made == self.count:
            raise StopIteration
        self.made += 1
        return b"%d," % (self.made - 1)

    def close(self) -> None:
        self.closed = True


served: Iterator[bytes] = iter(())  # what the page answers with
view_threads: set[int] = set()


def view(request: HttpRequest) -> HttpResponseBase:
    view_threads.add(threading.get_ident())
    return streamed(request, served, headers={"Content-Type": "text/plain"})


urlpatterns = [path("stream", view)]


@pytest.fixture(autouse=True)
def only_these_pages(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.ALLOWED_HOSTS = ["*"]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    def use(pieces: Iterator[bytes]) -> Iterator[bytes]:
        monkeypatch.setattr(sys.modules[__name__], "served", pieces)
        return pieces

    return use


async def asked(send: Any, gone: asyncio.Event, method: str = "GET") -> None:
    """One request of an asynchronous server's; the client leaves when `gone` is set."""
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": "/stream", "query_string": b"token=secret",
        "headers": [(b"host", b"testserver")],
    }  # fmt: skip
    begun = False

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    await PooledHandler()(scope, receive, send)


async def test_a_piece_is_made_when_the_one_before_has_been_sent_in_the_views_own_thread(serve: Serve) -> None:
    made = serve(Producer(50))
    view_threads.clear()
    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            sent.append(message["body"])
            assert made.made == len(sent)

    await asked(send, asyncio.Event())
    assert b"".join(sent) == b"".join(b"%d," % number for number in range(50))
    assert made.threads == view_threads
    assert len(view_threads) == 1
    assert made.closed


async def test_an_answer_larger_than_memory_should_hold_takes_one_piece_of_it(tmp_path: Path, serve: Serve) -> None:
    size = 64 * 1024**2
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    source = (tmp_path / "large").open("rb")
    serve(FilePieces(source))
    received = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    gc.collect()
    tracemalloc.start()
    await asked(send, asyncio.Event())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert received == size
    assert peak < 8 * streaming.FILE_PIECE_BYTES
    assert source.closed


@pytest.mark.parametrize("after", [0, 3])
async def test_a_client_that_goes_away_stops_the_pieces_and_closes_them(serve: Serve, after: int) -> None:
    made = serve(Producer(10**9))
    gone = asyncio.Event()
    bodies = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal bodies
        bodies += message["type"] == "http.response.body"
        if bodies >= after:
            gone.set()
            await asyncio.Event().wait()  # a client that reads no more

    await asyncio.wait_for(asked(send, gone), 20)
    assert made.closed
    assert made.made <= after + 1


@pytest.mark.parametrize("error", [ValueError("rot at /secret/place"), TypeError("not a number")])
async def test_an_error_in_the_middle_is_logged_and_the_answer_is_never_ended(
    serve: Serve, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    made = serve(Producer(10, fails_at=2, error=error))
    messages: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    with pytest.raises(streaming.AnswerCutOff):
        await asked(send, asyncio.Event())
    assert b"".join(message.get("body", b"") for message in messages) == b"0,1,"
    assert all(message.get("more_body", True) for message in messages)  # what would tell the client that it has all
    assert made.closed
    [record] = [record for record in caplog.records if record.name == "automl_site.streaming"]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "The answer to /stream broke off"
    assert record.exc_info is not None and record.exc_info[1] is error


async def test_head_makes_no_piece_and_closes_them(serve: Serve) -> None:
    made = serve(Producer(10))
    messages: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await asked(send, asyncio.Event(), "HEAD")
    assert (messages[0]["status"], made.made, made.closed) == (200, 0, True)
    assert (b"Content-Type", b"text/plain") in messages[0]["headers"]


@pytest.mark.django_db  # the end of an answer looks after its connection
def test_a_synchronous_server_reads_the_same_pieces_and_closes_them(serve: Serve) -> None:
    made = serve(Producer(3))
    answer = Client().get("/stream")
    first = next(iter(answer))
    assert (first, made.made, made.closed) == (b"0,", 1, False)
    answer.close()
    assert made.closed


def test_an_error_reaches_a_synchronous_server_too(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    made = serve(Producer(3, fails_at=1))
    answer = Client().get("/stream")
    with pytest.raises(streaming.AnswerCutOff):
        b"".join(answer)
    assert made.closed
    assert "The answer to /stream broke off" in caplog.text


@pytest.mark.parametrize(("count", "read"), [(None, b"3456789"), (4, b"3456"), (0, b""), (99, b"3456789")])
def test_a_files_pieces_are_what_was_asked_for(count: int | None, read: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(streaming, "FILE_PIECE_BYTES", 3)
    source = io.BytesIO(b"0123456789")
    source.seek(3)
    pieces = list(FilePieces(source, count))
    assert b"".join(pieces) == read
    assert all(0 < len(piece) <= 3 for piece in pieces)
    assert source.closed


# --- A real server --------------------------------------------------------------------------------------------------


@pytest.fixture
def port(settings: Any) -> Iterator[int]:
    settings.MIDDLEWARE = ["automl_site.static_files.StaticFilesMiddleware"]
    config = uvicorn.Config(PooledHandler(), port=0, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, what="the server")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_a_client_sees_that_an_answer_broke_off(serve: Serve, port: int) -> None:
    serve(Producer(10, fails_at=2))
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", "/stream")
    with pytest.raises(http.client.IncompleteRead) as cut:
        client.getresponse().read()
    assert cut.value.partial == b"0,1,"
    client.close()


def test_the_pieces_are_closed_when_a_socket_is(serve: Serve, port: int) -> None:
    made = serve(Producer(10**9))
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", "/stream")
    client.getresponse().read(10)
    client.close()
    wait_until(lambda: made.closed, what="closing")


@pytest.mark.parametrize(("autorefresh", "piece"), [(True, 2**18), (False, 2**18), (False, 100)])
def test_static_files_are_sent_without_a_warning(
    settings: Any,
    autorefresh: bool,
    piece: int,
    request: pytest.FixtureRequest,
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.WHITENOISE_AUTOREFRESH = autorefresh
    monkeypatch.setattr(static_files, "FILE_PIECE_BYTES", piece)
    monkeypatch.setattr(streaming, "FILE_PIECE_BYTES", piece)
    client = http.client.HTTPConnection("127.0.0.1", request.getfixturevalue("port"), timeout=20)

    def get(method: str = "GET", name: str = "css/app.css", **headers: str) -> tuple[int, bytes, Any]:
        client.request(method, f"/static/{name}", headers={"Accept-Encoding": "identity", **headers})
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers

    whole = (settings.BASE_DIR / "static/css/app.css").read_bytes()
    status, body, headers = get()
    assert (status, body, headers["Content-Length"]) == (200, whole, str(len(whole)))
    assert get(Range="bytes=3-9")[:2] == (206, whole[3:10])
    assert get("HEAD")[:2] == (200, b"")
    assert get(**{"If-None-Match": headers["ETag"]})[:2] == (304, b"")
    assert get("POST")[0] == 405
    assert get(name="none.css")[0] == 404
    client.close()
    assert [str(warning.message) for warning in recwarn if "iterators" in str(warning.message)] == []
