"""Counting calls against a limit, in Redis, atomically; a limit that cannot be counted lets the call through.

A window begins with its first call and lasts its period. Rates stand in settings.RATE_LIMITS as "count/period" (s, m,
h, d; "30/5m" too).
"""

import hashlib
import logging
import math
import re
import time
from dataclasses import dataclass
from functools import cache, lru_cache

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d+)/(\d*)([smhd])")

# Adds to every counter and answers [count, milliseconds left] for each: one step, so two processes cannot both be the
# last allowed.
_HIT = """
local answer = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[1])
  local left = redis.call('PTTL', key)
  if left < 0 then
    redis.call('PEXPIRE', key, ARGV[i + 1])
    left = tonumber(ARGV[i + 1])
  end
  answer[2 * i - 1] = count
  answer[2 * i] = left
end
return answer
"""
# Takes a call back; a window that has ended meanwhile is not begun anew.
_UNDO = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
"""


_WARN_EVERY = 60.0  # seconds: every request of an outage would say the same
_warned_at = -math.inf


@dataclass(frozen=True)
class Limit:
    """At most `count` calls in `period` seconds, counted apart for each `subject` (a user's id, an address)."""

    name: str
    subject: str
    count: int
    period: int

    @property
    def key(self) -> str:
        # Hashed: a subject may be anything a caller typed.
        return f"automl:rate:{self.name}:{hashlib.sha256(self.subject.encode(errors='replace')).hexdigest()[:32]}"


@dataclass(frozen=True)
class Usage:
    """Where a limit stands after a call. `reset_at` is in Unix seconds, `retry_after` in seconds."""

    limit: int
    used: int
    reset_at: int
    retry_after: float

    @property
    def remaining(self) -> int:
        return max(self.limit - self.used, 0)

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit


@lru_cache(maxsize=1024)
def parse_rate(rate: str) -> tuple[int, int] | None:
    """ "100/m" -> (100, 60); None for "" (no limit). Raises ValueError for anything else."""
    if not rate:
        return None
    match = _RATE.fullmatch(rate.strip())
    if match is None:
        raise ValueError(f"a rate is written as count/period, for example 100/m; this is {rate!r}")
    count, multiple, unit = match.groups()
    return int(count), int(multiple or 1) * _SECONDS[unit]


def limit_for(name: str, subject: str, *, rate: str | None = None) -> Limit | None:
    """The operator's limit of this name, for this subject (or `rate`, its own); None where there is none."""
    parsed = parse_rate(settings.RATE_LIMITS.get(name, "") if rate is None else rate)
    return Limit(name, subject, *parsed) if parsed else None


@cache
def _connection(url: str) -> redis.Redis:
    # Short: a limit must not hold up the request that it counts.
    return redis.Redis.from_url(url, socket_connect_timeout=0.25, socket_timeout=0.25)


def _warn(error: redis.RedisError) -> None:
    global _warned_at
    now = time.monotonic()
    if now - _warned_at >= _WARN_EVERY:
        _warned_at = now
        logger.warning("rate limits are not counted, Redis is away: %s", error)


def hit(*limits: Limit | None, calls: int = 1) -> list[Usage]:
    """Count `calls` against each limit; the usages, in the same order (None limits are left out).

    Where Redis is away, the answer is as if nothing had been used.
    """
    counted = [limit for limit in limits if limit is not None]
    if not counted:
        return []
    try:
        answer = _connection(settings.REDIS_URL).eval(
            _HIT, len(counted), *(limit.key for limit in counted), calls, *(limit.period * 1000 for limit in counted)
        )
    except redis.RedisError as error:
        _warn(error)
        answer = [number for limit in counted for number in (0, limit.period * 1000)]
    now = time.time()
    return [
        Usage(limit.count, used, math.ceil(now + left / 1000), left / 1000)
        for limit, used, left in zip(counted, answer[::2], answer[1::2], strict=True)
    ]


def undo(*limits: Limit | None) -> None:
    """Take one call back from each limit: it was none that counts."""
    keys = [limit.key for limit in limits if limit is not None]
    if not keys:
        return
    try:
        _connection(settings.REDIS_URL).eval(_UNDO, len(keys), *keys)
    except redis.RedisError as error:
        _warn(error)
