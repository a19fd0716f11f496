"""Wake-ups: "something new is in the store for this topic", from any process to the sockets of all web processes.

A topic is `run:<id>` or `job:<uuid>`. Pub/sub is at most once, so a wake-up carries nothing: who follows a topic reads
the store from its own cursor, and reads it again every so often even if no wake-up came.
"""

import logging
import os
import threading
import time
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


def announce(topic: str) -> None:
    """Wake those who follow `topic`. Never raises, and waits a second at most: a lost wake-up costs followers 2 s."""
    publisher = _current_publisher()
    if time.monotonic() - publisher.failed_at < REST_AFTER_FAILURE:
        return
    try:
        publisher.client.publish(CHANNEL_PREFIX + topic, b"")
    except (redis.RedisError, OSError) as error:
        publisher.failed_at = time.monotonic()
        logger.warning("wake-up of %s not sent: %s", topic, error)


def announce_on_commit(topic: str) -> None:
    """Announce once the present transaction has committed; at once when there is none."""
    transaction.on_commit(partial(announce, topic))


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
