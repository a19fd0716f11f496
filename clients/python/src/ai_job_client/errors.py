"""What `AIJobClient` raises. Each message is the server's own sentence where there was an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_manager import errors as transport

if TYPE_CHECKING:
    from ai_job_client.types import JobStatus


class AIJobError(Exception):
    """Base of everything that this package raises on purpose, but for the built-in `TimeoutError`."""


class ConnectionFailed(AIJobError, ConnectionError):
    """The server was not reached, or gave no answer. `sent`: it may have taken the request all the same."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class APIError(AIJobError):
    """The server answered with an error.

    `status_code`, `error` (what kind) and `detail` (what is wrong) are the answer's, `errors` all its sentences, and
    `body` the whole answer, decoded.
    """

    def __init__(self, message: str, *, status_code: int, body: Any) -> None:
        fields = body if isinstance(body, dict) else {}
        self.status_code = status_code
        self.error = str(fields.get("error") or "")
        self.detail = str(fields.get("detail") or fields.get("message") or "")
        several = fields.get("errors")
        if not isinstance(several, list):
            several = [self.detail] if self.detail else []
        self.errors: list[str] = [str(each) for each in several]
        self.body = body
        super().__init__(
            f"{self.error or 'Error'} ({status_code}): {'; '.join(self.errors)}" if self.errors else message
        )


class ValidationFailed(APIError):
    """400 or 422: what was asked for is wrong, or not possible now."""


class AuthenticationFailed(APIError):
    """401 or 403: no credentials, wrong ones, or not allowed."""


class NotFound(APIError):
    """404: no such job or model, or not yours to see."""


class Conflict(APIError):
    """409: the thing's present state does not allow it."""


class RateLimited(APIError):
    """429: too many requests, or too many jobs at once. `retry_after`: seconds, if the server said."""

    retry_after: float | None = None


class JobFailed(AIJobError):
    """A job ended without a result: it failed, or was cancelled. `status` is its last status."""

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        super().__init__(f"Job {status['job_id']} {status['status']}: {status.get('error') or 'no reason was given'}")


_BY_STATUS: dict[int, type[APIError]] = {
    400: ValidationFailed,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    409: Conflict,
    422: ValidationFailed,
    429: RateLimited,
}


def of_transport(error: transport.Unavailable | transport.Refused) -> AIJobError:
    """The same failure in this package's terms."""
    if error.status is None:
        return ConnectionFailed(str(error), sent=getattr(error, "sent", True))
    kind = _BY_STATUS.get(error.status, APIError)
    raised = kind(str(error), status_code=error.status, body=error.body)
    if isinstance(raised, RateLimited):
        raised.retry_after = getattr(error, "retry_after", None)
    return raised
