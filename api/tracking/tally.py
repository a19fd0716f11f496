"""Counting metric posts against their users' limits without asking Redis at each."""

import time
from dataclasses import dataclass

from api.base.throttling import TRACKING_METRICS
from automl_site import rates
from tracking.selectors.rates import own_rates

# Of a limit, this much at most is counted here alone: so far may a user get beyond its limit by each further process.
SHARE = 0.05
MAX_KNOWN = 10_000  # users


@dataclass(slots=True)
class _Window:
    limit: rates.Limit
    usage: rates.Usage  # as Redis told it
    ends: float  # by time.monotonic()
    owed: int = 0  # calls counted since then, of which Redis has not been told


class Tally:
    """What `api.base.throttling.count` does for metric posts, for one thread that counts many of them.

    A small limit (under 1 / SHARE) is counted in Redis call by call.
    """

    def __init__(self) -> None:
        self._windows: dict[int, _Window] = {}

    def count(self, user_id: int, calls: int) -> rates.Usage | None:
        """Count calls of the user; where its limit stands after them, None where it has none."""
        (name,) = TRACKING_METRICS
        limit = rates.limit_for(name, f"user:{user_id}", rate=own_rates(user_id).get(name))
        if limit is None:
            return None
        now = time.monotonic()
        window = self._windows.get(user_id)
        if window is not None and (window.limit != limit or now >= window.ends):
            window = None
        owed = calls if window is None else window.owed + calls
        if window is not None and owed <= limit.count * SHARE and window.usage.used + owed <= limit.count:
            window.owed = owed
            usage = window.usage
            return rates.Usage(usage.limit, usage.used + owed, usage.reset_at, window.ends - now)
        (usage,) = rates.hit(limit, calls=owed)
        if len(self._windows) >= MAX_KNOWN:
            self._windows.clear()
        self._windows[user_id] = _Window(limit, usage, now + usage.retry_after)
        return usage
