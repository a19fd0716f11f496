"""Following what grows: a run's stream, a job's state and log, from the store to any number of readers.

For all readers of one thing in a process, one `Feed` reads the store: on a wake-up (tracking/live.py), when the
connection that brings wake-ups is made anew, and every POLL seconds. Its messages are encoded once, and handed to each
reader's bounded queue.

`Feed.follow` gives a reader what comes after its own position. As long as that lies behind the feed's, the reader reads
the store for itself; once level it joins, and skips what it has had. So it misses nothing and sees nothing twice, and
one that cannot keep up (its queue is full) falls back to reading for itself, at its own pace.

Feeds belong to the event loop they were made in. Store reads run in threads.
"""

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import orjson
import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tracking.live import CHANNEL_PREFIX

logger = logging.getLogger(__name__)

POLL = 2.0  # seconds between two reads of the store when no wake-up comes
REST = 0.05  # seconds between two reads when wake-ups come faster than that
PAGE = 500  # messages read at a time
QUEUE = 2000  # messages that wait for one reader
RECONNECT = 1.0  # seconds between tries to reach Redis
CONNECT_TIMEOUT = 2.0  # seconds
HEALTH_CHECK = 15  # seconds between pings on the connection that brings wake-ups

# A few threads of our own: a long read may not keep HTTP requests waiting, nor take many database connections.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that uses the database."""
    return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)(*arguments)


@dataclass(frozen=True)
class State:
    """What a thing is like now, beside its messages. `is_final`: nothing comes after what the store holds already."""

    message: Mapping[str, Any] | None = None
    is_final: bool = False


class Source(Protocol):
    """What a feed reads. The methods are called in threads."""

    @property
    def key(self) -> str:
        """Its name: sources of one key share a feed."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics (tracking/live.py) that wake its readers."""

    def head(self) -> int:
        """The id of its newest message, 0 when there is none."""

    def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` messages after id `after`, in the order of their ids, each with `type` and `id`."""

    def state(self) -> State:
        """Its state; read before the messages, so that the messages read after a final state are all there are."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded message. `id` is None for states, which replace each other."""

    id: int | None
    type: str
    text: str


@dataclass(eq=False)
class _Reader:
    """Frames that wait for one reader who is level with its feed."""

    position: int
    frames: deque[Frame] = field(default_factory=deque)
    is_behind: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, frames: Sequence[Frame]) -> None:
        new = [frame for frame in frames if frame.id is not None and frame.id > self.position]
        if new and not self.is_behind:
            if len(self.frames) + len(new) > QUEUE:
                self.is_behind = True
            else:
                self.frames.extend(new)
                self.position = new[-1].id or self.position
        self.changed.set()


class Feed:
    """What the readers of one source in this event loop share."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.users = 0
        self.wake = asyncio.Event()
        self._cursor = 0  # id of the last message handed to the readers
        self._state: Frame | None = None
        self._is_final = False
        self._readers: set[_Reader] = set()
        self._pump: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Take the present as the starting point and begin to read. Does nothing when that was done."""
        async with self._starting:
            if self._pump is None:
                self._cursor, state = await in_thread(self._present)
                self._take_state(state)
                self._pump = asyncio.create_task(self._keep_reading(), name=f"feed {self.source.key}")

    async def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    async def follow(self, position: int) -> AsyncGenerator[Frame]:
        """The state, then all messages after id `position` and each new state, until the source has ended.

        Database failures are waited out.
        """
        shown: Frame | None = None
        reader: _Reader | None = None
        try:
            while True:
                if self._state is not None and self._state is not shown:
                    shown = self._state
                    yield shown
                if reader is None:
                    if position < self._cursor:
                        for frame in await self._read_or_wait(position):
                            position = frame.id or position
                            yield frame
                        continue
                    # Level: nothing was awaited since the comparison, so nothing was handed out in between.
                    reader = _Reader(position)
                    self._readers.add(reader)
                reader.changed.clear()
                if reader.frames:
                    frame = reader.frames.popleft()
                    position = frame.id or position
                    yield frame
                elif reader.is_behind:
                    self._readers.discard(reader)
                    reader = None
                elif self._is_final:
                    return
                elif self._state is shown:
                    await reader.changed.wait()
        finally:
            if reader is not None:
                self._readers.discard(reader)

    async def _read_or_wait(self, position: int) -> list[Frame]:
        try:
            frames = await in_thread(self._read, position)
        except DatabaseError as error:
            logger.warning("%s not read: %s", self.source.key, error)
            frames = []
        if not frames:
            await asyncio.sleep(POLL)
        return frames

    async def _keep_reading(self) -> None:
        while not self._is_final:
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it can swallow a cancellation.
                async with asyncio.timeout(POLL):
                    await self.wake.wait()
            self.wake.clear()
            try:
                await self._catch_up()
            except DatabaseError as error:
                logger.warning("%s not read: %s", self.source.key, error)
            except Exception:
                logger.exception("%s not read", self.source.key)
            await asyncio.sleep(REST)

    async def _catch_up(self) -> None:
        state = await in_thread(self.source.state)
        while frames := await in_thread(self._read, self._cursor):
            self._cursor = frames[-1].id or self._cursor
            for reader in self._readers:
                reader.give(frames)
        self._take_state(state)
        for reader in self._readers:
            reader.changed.set()

    def _present(self) -> tuple[int, State]:
        state = self.source.state()
        return self.source.head(), state

    def _read(self, after: int) -> list[Frame]:
        return [Frame(each["id"], each["type"], encode(each)) for each in self.source.read(after, PAGE)]

    def _take_state(self, state: State) -> None:
        self._is_final = state.is_final
        if state.message is None:
            return
        text = encode(state.message)
        if self._state is None or text != self._state.text:
            self._state = Frame(None, state.message["type"], text)


class Hub:
    """The feeds of one event loop, and the one connection to Redis that wakes them."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._by_topic: defaultdict[str, set[Feed]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def feed(self, source: Source) -> AsyncIterator[Feed]:
        """The started feed of `source`, shared with its other readers; it ends with the last of them."""
        feed = self._feeds.get(source.key)
        if feed is None:
            feed = self._feeds[source.key] = Feed(source)
            for topic in source.topics:
                self._by_topic[topic].add(feed)
        feed.users += 1
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="live wake-ups")
        try:
            await feed.start()
            yield feed
        finally:
            feed.users -= 1
            if feed.users == 0:
                await self._close(feed)

    async def _close(self, feed: Feed) -> None:
        del self._feeds[feed.source.key]
        for topic in feed.source.topics:
            self._by_topic[topic].discard(feed)
            if not self._by_topic[topic]:
                del self._by_topic[topic]
        listener = None
        if not self._feeds:
            listener, self._listener = self._listener, None
        await feed.stop()
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen(self) -> None:
        is_away = False
        while True:
            client = redis.asyncio.Redis.from_url(
                settings.REDIS_URL,
                socket_timeout=None,  # with one, redis-py writes under asyncio.wait_for: see `_keep_reading`
                socket_connect_timeout=CONNECT_TIMEOUT,
                health_check_interval=HEALTH_CHECK,
                retry=Retry(NoBackoff(), 0),  # we connect anew ourselves, and read the store when we have
            )
            try:
                async with client, client.pubsub() as subscription:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        await subscription.psubscribe(CHANNEL_PREFIX + "*")
                    while True:
                        message = await subscription.get_message(timeout=HEALTH_CHECK)
                        if message is not None:
                            is_away = False
                            self._wake(message)
            except (redis.RedisError, OSError) as error:
                if not is_away:
                    logger.warning("wake-ups are away, the store is read every %g s: %s", POLL, error)
                is_away = True
            except Exception:
                logger.exception("wake-ups failed")
            await asyncio.sleep(RECONNECT)

    def _wake(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "pmessage":
            woken: Iterable[Feed] = self._by_topic.get(message["channel"].decode().removeprefix(CHANNEL_PREFIX), ())
        else:  # "psubscribe": whatever was announced before it is lost
            woken = self._feeds.values()
        for feed in woken:
            feed.wake.set()


def encode(message: Mapping[str, Any]) -> str:
    """The message as JSON."""
    try:
        return orjson.dumps(message).decode()
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits
        return json.dumps(message)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The running event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
