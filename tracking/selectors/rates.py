"""Users' own rate limits, as every call asks for them."""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

FRESH = 5.0  # seconds after which what an operator has changed takes effect in this process
_NONE: Mapping[str, str] = {}

_known: dict[Any, dict[str, str]] = {}
_read_at = float("-inf")


def own_rates(user_id: int | None) -> Mapping[str, str]:
    """The user's own rates by their name ("" is no limit); what is not in it is the deployment's.

    The table has a few rows, and is asked for on every call: it is kept whole for FRESH seconds.
    """
    global _known, _read_at
    if user_id is None:
        return _NONE
    now = time.monotonic()
    if now - _read_at > FRESH:
        from tracking.models import UserRate

        found: dict[Any, dict[str, str]] = defaultdict(dict)
        # No user asks: this is for the platform's own counting.
        for owner, name, rate in UserRate.objects.values_list("user_id", "name", "rate"):
            found[owner][name] = rate
        _known, _read_at = dict(found), now
    return _known.get(user_id, _NONE)


def forget_rates() -> None:
    """Read the table anew at the next call."""
    global _read_at
    _read_at = float("-inf")
