"""Wake-ups: an RQ entry says only that a queue has work; which job that is, the database says.

An entry that is lost, doubled or left over therefore does no harm. The reconciler keeps as many as there are pending
jobs.
"""

import logging
import os
from functools import cache

import redis
import rq
from django.conf import settings
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.serializers import JSONSerializer

logger = logging.getLogger(__name__)

# The dotted name that an entry carries. Workers of ours do not call it: they claim (jobs/worker.py).
WAKE_UP = "jobs.worker.wake_up"


@cache
def _connection(pid: int) -> redis.Redis:
    """One kept connection pool a process; keyed by the pid, because a forked child must not share a socket."""
    # One retry, at once: a connection that a restarted server closed is found out only by using it. redis-py's default
    # of three with growing pauses would hold up a submission for seconds while Redis is away.
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=5, retry=Retry(NoBackoff(), 1)
    )


def connection() -> redis.Redis:
    return _connection(os.getpid())


def close_connections() -> None:
    """Close this process's connections (before a fork)."""
    if _connection.cache_info().currsize:
        connection().close()
    _connection.cache_clear()


def rq_queue(name: str, *, using: redis.Redis | None = None) -> rq.Queue:
    return rq.Queue(name, connection=using or connection(), serializer=JSONSerializer, default_timeout=-1)


def wake(queue_name: str, count: int = 1) -> bool:
    """Put `count` wake-ups into a queue. False when Redis is away: the reconciler will do it when it is back."""
    try:
        queue = rq_queue(queue_name)
        if count == 1:
            queue.enqueue_call(WAKE_UP, timeout=-1, result_ttl=0, failure_ttl=60)
        else:
            entries = [rq.Queue.prepare_data(WAKE_UP, timeout=-1, result_ttl=0, failure_ttl=60) for _ in range(count)]
            queue.enqueue_many(entries)
    except redis.RedisError as error:
        logger.warning("No wake-up for queue %s: Redis is away (%s)", queue_name, error)
        return False
    return True


def wake_on_commit(queue_name: str) -> None:
    """`wake` once the present transaction has committed: a worker must find the row that it is woken for."""
    transaction.on_commit(lambda: wake(queue_name))


def wake_ups(queue_name: str) -> int:
    """How many wake-ups wait in a queue. Raises redis.RedisError when Redis is away."""
    return rq_queue(queue_name).count
