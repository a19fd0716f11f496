"""Whether the platform's parts answer.

A part that hangs is told from one that works within a second, and holds up nobody else.
"""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.base.fields import utc_z
from api.base.throttling import ContractThrottle

logger = logging.getLogger(__name__)

API_VERSION = "1.0.0"  # of the contracts; the platform's own version is automl_site.__version__
TIMEOUT = 1.0  # seconds


@cache
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT / 2, socket_timeout=TIMEOUT / 2)


def redis_latency_ms() -> float | None:
    """How long Redis takes to answer a ping, in milliseconds; None when it does not."""
    begun = time.perf_counter()
    try:
        _redis(settings.REDIS_URL).ping()
    except redis.RedisError as error:
        logger.warning("Redis does not answer: %s", error)
        return None
    return round((time.perf_counter() - begun) * 1000, 3)


# Its own threads: a hanging database must not take the request's thread along. While they all hang, the next answer is
# "no" at once.
_DATABASE_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="health")
_waiting: set[Future[bool]] = set()


def _select_one() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    finally:
        connection.close()


def database_answers() -> bool:
    """Whether the database answers a SELECT within a second."""
    _waiting.difference_update({future for future in _waiting if future.done()})
    if len(_waiting) >= 2:
        return False
    future = _DATABASE_THREADS.submit(_select_one)
    _waiting.add(future)
    try:
        return future.result(timeout=TIMEOUT)
    except FutureTimeout:
        logger.error("the database does not answer")
    except Exception as error:  # noqa: BLE001  whatever it is, the database is not well
        logger.error("the database does not answer: %s", error)
    return False


def health() -> tuple[dict[str, Any], int]:
    """The union of the documents' bodies and its status.

    `degraded` without Redis, `unhealthy` (503) without the database.
    """
    services = {
        "redis": "healthy" if redis_latency_ms() is not None else "unhealthy",
        "api": "healthy",
        "database": "healthy" if database_answers() else "unhealthy",
    }
    status = "healthy"
    if services["redis"] != "healthy":
        status = "degraded"
    if services["database"] != "healthy":
        status = "unhealthy"
    body = {"status": status, "timestamp": utc_z(timezone.now()), "version": API_VERSION, "services": services}
    return body, 503 if status == "unhealthy" else 200


class HealthOut(serializers.Serializer):
    status = serializers.ChoiceField(choices=["healthy", "degraded", "unhealthy"])
    timestamp = serializers.DateTimeField()
    version = serializers.CharField()
    services = serializers.DictField(child=serializers.CharField())


class RedisHealthOut(serializers.Serializer):
    status = serializers.ChoiceField(choices=["healthy", "unhealthy"])
    latency_ms = serializers.FloatField(allow_null=True)


class _OpenView(APIView):
    """Asked by load balancers and monitors: no credentials are looked at, nothing is counted."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


class HealthView(_OpenView):
    """Whether the platform works."""

    @extend_schema(responses={200: HealthOut, 503: HealthOut})
    def get(self, request: Request) -> Response:
        body, status = health()
        return Response(body, status=status)


class LlmHealthView(HealthView):
    """The same under /api/v1, with that contract's limits on its headers."""

    throttle_classes = [ContractThrottle]


class RedisHealthView(_OpenView):
    """Whether Redis answers, and how fast."""

    @extend_schema(responses={200: RedisHealthOut, 503: RedisHealthOut})
    def get(self, request: Request) -> Response:
        latency = redis_latency_ms()
        status = "unhealthy" if latency is None else "healthy"
        return Response({"status": status, "latency_ms": latency}, status=503 if latency is None else 200)
