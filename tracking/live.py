"""Wake-ups: "something new is in the store for this topic", from any process to the sockets of all web processes.

A topic is `run:<id>` or `job:<uuid>`. Pub/sub is at most once, so a wake-up carries nothing: who follows a topic reads
the store from its own cursor, and reads it again every so often even if no wake-up came.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable
from functools import partial

import redis
from django.conf import settings
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

CHANNEL_PREFIX = "automl:live:"
PUBLISH_TIMEOUT = 0.5  # seconds
REST_AFTER_FAILURE = 2.0  # seconds without a try, so that an absent Redis costs a worker one timeout, not one a report


class _Publisher:
    """This process's kept connection to Redis, and when it last failed."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.failed_at = 0.0
        self.client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=PUBLISH_TIMEOUT,
            socket_connect_timeout=PUBLISH_TIMEOUT,
            # One: a connection that a restarted server has closed is only found out by using it.
            retry=Retry(NoBackoff(), 1),
        )


_publisher: _Publisher | None = None
_lock = threading.Lock()


def announce(*topics: str) -> None:
    """Wake those who follow the topics, by one trip to Redis.

    Never raises, and waits a second at most: a lost wake-up costs followers 2 s.
    """
    publisher = _current_publisher()
    if time.monotonic() - publisher.failed_at < REST_AFTER_FAILURE:
        return
    try:
        if len(topics) == 1:
            publisher.client.publish(CHANNEL_PREFIX + topics[0], b"")
        elif topics:
            pipeline = publisher.client.pipeline(transaction=False)
            for topic in topics:
                pipeline.publish(CHANNEL_PREFIX + topic, b"")
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        publisher.failed_at = time.monotonic()
        logger.warning("wake-ups not sent (%d, the first of %s): %s", len(topics), topics[0], error)


def announce_on_commit(topic: str) -> None:
    """Announce once the present transaction has committed; at once when there is none."""
    transaction.on_commit(partial(announce, topic))


class Announcer:
    """A thread that announces what it is told, all topics of the last EVERY seconds by one trip.

    For who writes some thousand times a second and has no time to wait for Redis. A process that forks makes its own.
    """

    EVERY = 0.01  # seconds; the first announcement after a rest goes out at once

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._thread: threading.Thread | None = None

    def announce(self, topics: Iterable[str]) -> None:
        """Wake those who follow the topics, soon."""
        with self._lock:
            self._topics.update(dict.fromkeys(topics))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="announcer", daemon=True)
                self._thread.start()
        if not self._told.is_set():
            self._told.set()

    def _work(self) -> None:
        while True:
            self._told.wait()
            self._told.clear()
            with self._lock:
                topics, self._topics = self._topics, {}
            if topics:
                announce(*topics)
            time.sleep(self.EVERY)


def close() -> None:
    """Close this process's connection (before a fork, say); the next announcement opens one anew."""
    global _publisher
    with _lock:
        if _publisher is not None and _publisher.pid == os.getpid():
            _publisher.client.close()
        _publisher = None


def _current_publisher() -> _Publisher:
    global _publisher
    publisher = _publisher
    if publisher is None or publisher.pid != os.getpid():  # a forked child must not write into its parent's socket
        publisher = _publisher = _Publisher()
    return publisher
