"""Counting calls against their users' limits without asking Redis at each."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from api.base.throttling import tightest
from automl_site import rates
from tracking.selectors.rates import own_rates

# Of a limit, this much at most is counted here alone: so far may a user get beyond its limit by each further process.
SHARE = 0.05
MAX_KNOWN = 10_000  # users


@dataclass(slots=True)
class _Window:
    limits: list[rates.Limit]
    usages: list[rates.Usage]  # as Redis told them
    ends: float  # of the first that ends, by time.monotonic()
    owed: int = 0  # calls counted since then, of which Redis has not been told

    def holds(self, owed: int, share: float) -> bool:
        """Whether so many calls may go untold."""
        return all(
            owed <= limit.count * share and usage.used + owed <= limit.count
            for limit, usage in zip(self.limits, self.usages, strict=True)
        )


class Tally:
    """What `api.base.throttling.count` does for the limits of these names, where many calls are counted.

    A small limit (under 1 / `share`) is counted in Redis call by call.
    """

    def __init__(self, names: Sequence[str], share: float = SHARE) -> None:
        self._names, self._share = names, share
        self._windows: dict[int, _Window] = {}
        self._lock = threading.Lock()

    def count(self, user_id: int, calls: int = 1) -> rates.Usage | None:
        """Count calls of the user; where its tightest limit stands after them, None where it has none."""
        own = own_rates(user_id)
        subject = f"user:{user_id}"
        found = [rates.limit_for(name, subject, rate=own.get(name)) for name in self._names]
        limits = [limit for limit in found if limit is not None]
        if not limits:
            return None
        with self._lock:
            return tightest(self._count(user_id, limits, calls))

    def _count(self, user_id: int, limits: list[rates.Limit], calls: int) -> list[rates.Usage]:
        now = time.monotonic()
        window = self._windows.get(user_id)
        if window is not None and (window.limits != limits or now >= window.ends):
            window = None
        owed = calls if window is None else window.owed + calls
        if window is not None and window.holds(owed, self._share):
            window.owed = owed
            return [
                rates.Usage(usage.limit, usage.used + owed, usage.reset_at, usage.reset_at - time.time())
                for usage in window.usages
            ]
        usages = rates.hit(*limits, calls=owed)
        if len(self._windows) >= MAX_KNOWN:
            self._windows.clear()
        self._windows[user_id] = _Window(limits, usages, now + min(usage.retry_after for usage in usages))
        return usages
