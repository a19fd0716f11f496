"""The short way for `POST /metrics/{run_id}` and `/batch`: an ASGI application in front of Django.

It answers plain JSON with a bearer token that can be stored at once. All requests that wait are written by one
transaction (group commit) and answered after it. Whatever else comes (a session, another content type, a bad token, a
body that is refused, a run that is not there, a limit that is reached) goes on to the view with its body, and is
answered there; so there is one place that words refusals.
"""

import asyncio
import logging
import queue
import re
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.db import connection
from rest_framework.exceptions import ParseError

from api.base.dialect import Problem
from api.base.throttling import TRACKING_METRICS
from api.tracking import short_way
from api.tracking.dialect import TRACKING
from api.tracking.fast_bodies import parse
from api.tracking.tally import Tally
from automl_site.bodies import Application, Message, Receive, Send
from automl_site.errors import DomainError
from automl_site.rates import Usage
from tracking.access import logger_of
from tracking.live import Announcer
from tracking.services.ingest import Entry, group_log
from tracking.services.metrics import Idempotency
from tracking.store_group import SeriesCache

logger = logging.getLogger(__name__)

MAX_GROUP = 256  # requests in one transaction
MAX_WAITING = 2_000  # requests; more are told to come again
# Seconds between two commits while requests wait: SQLite's other writers get a turn, and on PostgreSQL what comes
# meanwhile shares the next statement (with 16 clients a tenth more requests).
REST = {"sqlite": 0.002, "postgresql": 0.0005}
HEARTBEAT_EVERY = 10.0  # seconds
MAX_HEARD = 50_000  # runs
_PATH = re.compile(r"/metrics/([0-9]{1,18})(/batch)?/?")
_TYPES = {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
_PASSED_ON = {b"content-encoding", b"transfer-encoding", b"expect"}


@dataclass(slots=True)
class Order:
    """A request that may be answered here."""

    path: str
    run_id: int
    single: bool
    head: short_way.Head
    key: str | None
    body: bytes = b""

    @property
    def heartbeat(self) -> bool:
        return b"x-run-heartbeat" in self.head.headers


@dataclass(slots=True)
class Answer:
    body: bytes
    usage: Usage | None
    used: int  # of the limit, by this request and those before it


@dataclass(slots=True)
class _Waiting:
    order: Order
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer | None]"
    user_id: int = 0
    entry: Entry | None = None
    answer: Answer | None = None


class Ingest:
    """The ASGI application around another one, which gets what is not for this."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._committer = Committer()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        order = order_of(scope)
        if order is None:
            await self.application(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # the client has gone
        order.body = body
        if self._committer.is_full:
            await _refuse(send, order)
            return
        answer = await self._committer.answer(order)
        if answer is None:
            await self.application(scope, _again(body, receive), send)
        else:
            limits = short_way.limit_headers(answer.usage, answer.used)
            await short_way.send_json(send, 201, answer.body, [*_headers(order), *limits])


class Committer:
    """A thread of its own that writes what waits, group by group."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cache = SeriesCache()
        self._tally = Tally(TRACKING_METRICS)
        self._announcer = Announcer()
        self._heard: dict[int, float] = {}  # run -> when its last heartbeat was written

    @property
    def is_full(self) -> bool:
        return self._waiting.qsize() >= MAX_WAITING

    async def answer(self, order: Order) -> Answer | None:
        """Once the order is on disk; None if the view is to answer it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer | None] = loop.create_future()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="ingest", daemon=True)
            self._thread.start()
        self._waiting.put(_Waiting(order, loop, future))
        return await future

    def _work(self) -> None:
        while True:
            group = [self._waiting.get()]
            while len(group) < MAX_GROUP and not self._waiting.empty():
                group.append(self._waiting.get())
            try:
                self._write(group)
            except Exception as error:  # noqa: BLE001  (the view answers each by itself, and says what is wrong)
                logger.warning("a group of %d metric requests was not written: %s", len(group), error)
                for waiting in group:
                    waiting.answer = None
                connection.close()  # kept otherwise: to open one costs more than to write
            _deliver(group)
            if not self._waiting.empty():
                time.sleep(REST[connection.vendor])

    def _write(self, group: Sequence[_Waiting]) -> None:
        for waiting in group:
            _check(waiting)
            if waiting.entry is not None:
                waiting.entry.heartbeat = waiting.order.heartbeat and self._is_due(waiting.order.run_id)
        allowed = self._within_limits([waiting for waiting in group if waiting.entry is not None])
        entries = [waiting.entry for waiting, _, _ in allowed if waiting.entry is not None]
        if not entries:
            return
        answers = group_log(entries, self._cache)
        told = set()
        for (waiting, usage, used), answer in zip(allowed, answers, strict=True):
            if answer is not None:
                waiting.answer = Answer(orjson.dumps(answer), usage, used)
                told.add(f"run:{waiting.order.run_id}")
        self._announcer.announce(told)

    def _within_limits(self, group: Sequence[_Waiting]) -> list[tuple[_Waiting, Usage | None, int]]:
        """Count the requests of each user at once; those within the limit, in their order."""
        by_user: dict[int, list[_Waiting]] = defaultdict(list)
        for waiting in group:
            by_user[waiting.user_id].append(waiting)
        allowed: list[tuple[_Waiting, Usage | None, int]] = []
        for user_id, theirs in by_user.items():
            usage = self._tally.count(user_id, len(theirs))
            before = usage.used - len(theirs) if usage is not None else 0
            for number, waiting in enumerate(theirs, 1):
                if usage is None or before + number <= usage.limit:
                    allowed.append((waiting, usage, before + number))
        return allowed

    def _is_due(self, run_id: int) -> bool:
        """Whether a heartbeat of the run is to be written: one of each batch would double what is written."""
        now = time.monotonic()
        if now - self._heard.get(run_id, -HEARTBEAT_EVERY) < HEARTBEAT_EVERY:
            return False
        if len(self._heard) >= MAX_HEARD:
            self._heard.clear()
        self._heard[run_id] = now
        return True


def _check(waiting: _Waiting) -> None:
    """Set the entry of an order that can be stored; what is refused here is refused again, in words, by the view."""
    order = waiting.order
    user_id = logger_of(token=order.head.token, run_id=order.run_id)
    if user_id is None:
        return
    try:
        parts = parse(order.body, single=order.single)
        key = None
        if order.key is not None:
            key = Idempotency.of(user_id=user_id, key=order.key, path=order.path, body=order.body)
    except (DomainError, ParseError):
        return
    if parts:
        waiting.user_id = user_id
        waiting.entry = Entry(run_id=order.run_id, parts=parts, single=order.single, idempotency=key)


def _deliver(group: Sequence[_Waiting]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = defaultdict(list)
    for waiting in group:
        by_loop[waiting.loop].append(waiting)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, theirs)
        except RuntimeError:  # the loop is closed: nobody waits any more
            logger.debug("the event loop ended before its metrics were answered")


def _resolve(group: Sequence[_Waiting]) -> None:
    for waiting in group:
        if not waiting.future.done():
            waiting.future.set_result(waiting.answer)


# --- HTTP ------------------------------------------------------------------------------------------------------------
def order_of(scope: Message) -> Order | None:
    """The order in a request's head, if it may be answered here."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope.get("query_string"):
        return None
    match = _PATH.fullmatch(scope["path"])
    head = short_way.head_of(scope) if match is not None else None
    if match is None or head is None:
        return None
    length = head.headers.get(b"content-length", b"")
    if (
        head.headers.get(b"content-type", b"").lower() not in _TYPES
        or not length.isdigit()
        or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        or _PASSED_ON & head.headers.keys()
    ):
        return None
    key = head.headers.get(b"idempotency-key")
    return Order(
        path=scope["path"],
        run_id=int(match[1]),
        single=match[2] is None,
        head=head,
        key=None if key is None else key.decode("latin-1"),
    )


async def _read(receive: Receive) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What brings the body once more, and then what comes after it."""
    rest = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        message = next(rest, None)
        return message if message is not None else await receive()

    return replay


def _headers(order: Order) -> list[short_way.Header]:
    allow = b"GET, POST, HEAD, OPTIONS" if order.single else b"POST, OPTIONS"
    return short_way.answer_headers(order.head, allow=allow)


async def _refuse(send: Send, order: Order) -> None:
    message = "More metrics wait than can be written at the moment; send them again in a second."
    body = orjson.dumps(TRACKING.body(Problem("unavailable", 503, message)))
    await short_way.send_json(send, 503, body, [*_headers(order), (b"retry-after", b"1")])
