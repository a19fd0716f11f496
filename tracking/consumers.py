"""The sockets' frame: who may follow, from where, and how it ends; and `/ws/{run_id}` of the tracking contract.

The handshake is always accepted; a refusal is a close code, because browsers do not show a page why a handshake failed.
"""

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django.db import Error as DatabaseError

from automl_site.errors import DomainError, Forbidden, InvalidSpec, NotFound, Unauthenticated
from tracking import stream
from tracking.feeds import Source, State, encode, hub, in_thread
from tracking.models import Run, User
from tracking.selectors.runs import run_get
from tracking.sockets import accepted_subprotocol, websocket_user

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SEND_TIMEOUT = 15.0  # seconds that one message may wait for a reader who takes nothing
CLOSE_TIMEOUT = 2.0  # seconds
RECHECK = 30.0  # seconds between two looks at whether the reader still may
MAX_REASON = 123  # bytes, by RFC 6455
_MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Close:
    code: int
    reason: str = ""


NORMAL = Close(1000)
# Servers may only send 1000 and 3000 to 4999. 44xx and 45xx say what the HTTP status of the same digits would.
TOO_SLOW = Close(4408, "Too slow: messages were not taken in time. Reconnect with last_id.")
UNAVAILABLE = Close(4503, "The platform is not available at the moment; reconnect later.")
_CODES: tuple[tuple[type[DomainError], int], ...] = (
    (InvalidSpec, 4400),
    (Unauthenticated, 4401),
    (Forbidden, 4403),
    (NotFound, 4404),
)


@dataclass(frozen=True)
class Subscription:
    """What a socket follows. `head`: the newest message's id now. `types`: only messages of these, None for all."""

    source: Source
    head: int
    types: frozenset[str] | None = None


class LiveSocket(ABC):
    """An ASGI application that sends what its subscription has after `?last_id=` (left out: from now on), and follows.

    One instance serves all connections.
    """

    @abstractmethod
    def subscribe(self, *, user: User, scope: Scope) -> Subscription:
        """What this user gets to see under this URL. Called in a thread, again every RECHECK seconds.

        Raises:
            NotFound, Forbidden: with what the socket is closed.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        # Before the handshake is answered: what happens once the client knows that it is connected must not be missed.
        opening = asyncio.create_task(self._permitted(scope))
        await asyncio.wait([opening])
        await send({"type": "websocket.accept", "subprotocol": accepted_subprotocol(scope)})
        tasks = [
            asyncio.create_task(part)
            for part in (_until_disconnect(receive), self._serve(scope, send, opening), self._until_forbidden(scope))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        close = next((_outcome(task) for task in tasks if task in done), None)
        if close is not None:
            await _close(send, close)

    async def _serve(self, scope: Scope, send: Send, opening: "asyncio.Task[Subscription]") -> Close | None:
        """Send until what is followed has ended; None when the other end is gone."""
        try:
            subscription = await opening
            async with (
                hub().feed(subscription.source) as feed,
                aclosing(feed.follow(_position(scope, subscription.head))) as frames,
            ):
                async for frame in frames:
                    if subscription.types is None or frame.type in subscription.types:
                        await _send_text(send, frame.text)
            await _send_text(send, encode({"type": "end"}))
        except _NotTaken:
            return TOO_SLOW
        except _Gone:
            return None
        return NORMAL

    async def _permitted(self, scope: Scope) -> Subscription:
        user = await websocket_user(scope)
        if user is None:
            raise Unauthenticated()
        return await in_thread(lambda: self.subscribe(user=user, scope=scope))

    async def _until_forbidden(self, scope: Scope) -> None:
        """Raises once the reader may no longer see it: signed out, deactivated, no longer a member, deleted."""
        while True:
            await asyncio.sleep(RECHECK)
            try:
                await self._permitted(scope)
            except DatabaseError as error:
                logger.warning("permission not checked again: %s", error)


class UnknownSocket(LiveSocket):
    """Any path that is no socket's."""

    def subscribe(self, *, user: User, scope: Scope) -> Subscription:
        raise NotFound()


class RunSource:
    """The stream of a run."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.key = f"run:{run_id}"
        self.topics: Sequence[str] = (self.key,)

    def head(self) -> int:
        return Run.objects.filter(pk=self.run_id).values_list("seq", flat=True).first() or 0

    def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        return stream.read(run_id=self.run_id, after=after, limit=limit)

    def state(self) -> State:
        return State()  # a finished run may go on: its stream never ends


class RunSocket(LiveSocket):
    """`/ws/{run_id}`: the run's metric points and its changes; its log lines too with `?logs=1`."""

    def subscribe(self, *, user: User, scope: Scope) -> Subscription:
        text = scope["url_route"]["kwargs"]["run_id"]
        if not (text.isascii() and text.isdigit()):
            raise NotFound()
        run = run_get(user=user, run_id=int(text[:20]))
        types = {"metric", "run"} | ({"log"} if query(scope, "logs") == "1" else set())
        return Subscription(source=RunSource(run.pk), head=run.seq, types=frozenset(types))


def query(scope: Scope, name: str) -> str | None:
    """A parameter of the socket's URL."""
    return parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get(name, [None])[0]


def _position(scope: Scope, head: int) -> int:
    text = query(scope, "last_id")
    if text is None:
        return head
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _MAX_ID):
        raise InvalidSpec("last_id must be a whole number, 0 or more")
    # An id from the future is another run's, or of a database that was set back: from now on.
    return min(int(text), head)


async def _until_disconnect(receive: Receive) -> None:
    """Return when the other end is gone. What clients send is not for us."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


class _NotTaken(Exception):
    """The other end took no message for SEND_TIMEOUT seconds."""


class _Gone(Exception):
    """The other end is gone."""


async def _send_text(send: Send, text: str) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT):
            await send({"type": "websocket.send", "text": text})
    except TimeoutError as error:
        raise _NotTaken from error
    except (OSError, RuntimeError) as error:  # how servers say that the connection is closed
        raise _Gone from error


async def _close(send: Send, close: Close) -> None:
    reason = close.reason.encode()[:MAX_REASON].decode(errors="ignore")
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await send({"type": "websocket.close", "code": close.code, "reason": reason})
    except (OSError, RuntimeError) as error:
        logger.debug("socket was gone before it was closed: %s", error)


def _outcome(task: "asyncio.Task[Close | None]") -> Close | None:
    """How to close after this task; None when the other end is gone."""
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, DomainError):
        return Close(next((code for kind, code in _CODES if isinstance(error, kind)), 4400), error.message)
    if isinstance(error, DatabaseError):
        logger.warning("socket not served: %s", error)
        return UNAVAILABLE
    error_id = secrets.token_hex(6)
    logger.error("socket failed (%s)", error_id, exc_info=error)
    return Close(4500, f"Internal server error ({error_id})")
