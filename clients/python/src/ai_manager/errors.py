"""What the client raises. Only `AIManager(...)`, `manager.run(...)` and the command line do; logging never raises."""

from __future__ import annotations

from typing import Any


class AIManagerError(Exception):
    """Base of everything that this package raises on purpose."""


class SettingsError(AIManagerError):
    """An argument or an environment variable is missing or cannot be read; the message names it."""


class Unavailable(AIManagerError):
    """The server cannot be reached, is overloaded, or limits the rate: the same request may succeed later.

    `retry_after`: seconds that the server asked to wait, if it did. `sent`: the request may have reached the server, so
    that what it asked for may have happened. `status` and `body`: the answer, where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        sent: bool = True,
        status: int | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.sent = sent
        self.status = status
        self.body = body


class Throttled(Unavailable):
    """429: too many requests of this user."""


class AuthenticationError(Unavailable):
    """The credentials were refused. Later requests may succeed: somebody may mend the account or the key."""


class Refused(AIManagerError):
    """The server answered, and will answer the same again: what was asked for is wrong, forbidden or gone.

    `body`: the answer, decoded where it was JSON.
    """

    def __init__(self, message: str, *, status: int, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
