"""Wake-ups: what an entry carries, and what happens while Redis is away."""

import json
import time
import zlib

import pytest
import redis
from django.db import transaction
from rq.serializers import JSONSerializer

from jobs import queue, worker
from tests.conftest import wait_until


def test_a_wake_up_carries_a_name_only_and_nothing_is_pickled(redis_client):
    redis_client.flushall()
    assert queue.wake("sklearn")
    (entry,) = redis_client.lrange("rq:queue:sklearn", 0, -1)
    stored = redis_client.hgetall(b"rq:job:" + entry)
    name, instance, args, kwargs = json.loads(zlib.decompress(stored[b"data"]))
    assert (name, instance, args, kwargs) == ("jobs.worker.wake_up", None, [], {})
    assert int(stored[b"timeout"]) == -1
    job = queue.rq_queue("sklearn").fetch_job(entry.decode())
    assert job.serializer is JSONSerializer
    assert job.func is worker.wake_up


@pytest.mark.parametrize("count", [1, 2, 500])
def test_as_many_wake_ups_wait_as_were_put(redis_client, count):
    redis_client.flushall()
    assert queue.wake("sklearn", count)
    assert queue.wake_ups("sklearn") == count
    assert queue.wake_ups("tensorflow") == 0


def test_while_redis_is_away_a_wake_up_is_dropped_soon_and_said_so(settings, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    started = time.monotonic()
    assert not queue.wake("sklearn")
    assert not queue.wake("sklearn", 5)
    assert time.monotonic() - started < 2
    assert "No wake-up for queue sklearn: Redis is away" in caplog.text
    with pytest.raises(redis.RedisError):
        queue.wake_ups("sklearn")


def test_a_connection_that_the_server_has_closed_is_made_anew(redis_client):
    redis_client.flushall()
    assert queue.wake("sklearn")
    redis_client.client_kill_filter(_type="normal", skipme=True)
    assert queue.wake("sklearn")
    wait_until(lambda: queue.wake_ups("sklearn") == 2, what="the second wake-up")
    assert queue.wake_ups("sklearn") == 2


def test_a_process_keeps_its_connection_and_forgets_it_when_told(redis_client):
    first = queue.connection()
    assert queue.connection() is first
    queue.close_connections()
    assert queue.connection() is not first
    queue.close_connections()
    queue.close_connections()  # without one, too


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_waits_for_its_transaction(redis_client):
    with transaction.atomic():
        queue.wake_on_commit("sklearn")
        assert queue.wake_ups("sklearn") == 0
    assert queue.wake_ups("sklearn") == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.wake_on_commit("sklearn")
        _ = 1 / 0
    assert queue.wake_ups("sklearn") == 1
