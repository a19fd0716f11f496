"""Failures that were foreseen, as facts of the domain. They know no HTTP.

A service raises one of these; the dialect of the contract (or the page) that was asked words it once, at the edge.
`message` is shown to the user as it is: plain words, what is wrong, what to do. Anything else that is raised is a bug:
it gets an id and goes to the log.
"""

from collections.abc import Mapping, Sequence
from typing import Any

FieldErrors = Mapping[str, Sequence[str]]


class DomainError(Exception):
    """A foreseen failure. `code` is stable and machine-readable; `details` is JSON-able context."""

    code = "error"
    message = "The request could not be carried out."

    def __init__(self, message: str | None = None, *, details: Mapping[str, Any] | None = None) -> None:
        self.message = message or self.message
        self.details = dict(details or {})
        super().__init__(self.message)


class NotFound(DomainError):
    """There is no such thing, or the caller may not even know of it."""

    code = "not_found"
    message = "Resource not found"


class Forbidden(DomainError):
    """The caller may see the thing but not do this to it."""

    code = "forbidden"
    message = "Not enough permissions"


class Unauthenticated(DomainError):
    """No credentials, or credentials that are wrong, expired or revoked."""

    code = "unauthenticated"
    message = "Could not validate credentials"


class InvalidSpec(DomainError):
    """What was asked for makes no sense. `errors` maps a field's path (`hyperparameters.n_estimators`) to sentences."""

    code = "invalid"
    message = "Validation error"

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: FieldErrors | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.errors = {field: list(sentences) for field, sentences in (errors or {}).items()}

    def first_sentence(self) -> str:
        """One sentence for contracts and log lines that have room for one."""
        for field, sentences in self.errors.items():
            if sentences:
                sentence = sentences[0]
                return sentence if field in sentence or field == "non_field_errors" else f"{field}: {sentence}"
        return self.message


class Conflict(DomainError):
    """The thing's present state does not allow it (a name taken, a job that has ended)."""

    code = "conflict"
    message = "The present state does not allow this."


class NotCancellable(Conflict):
    """The job has ended already."""

    code = "not_cancellable"


class TooLarge(DomainError):
    """More bytes, rows or items than the operator allows; the message names both numbers."""

    code = "too_large"
    message = "The request is too large."


class RateLimited(DomainError):
    """Too many calls. `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: float = 60.0) -> None:
        super().__init__(message or "Too many requests; try again later.", details={"retry_after": retry_after})
        self.retry_after = retry_after


class TooManyPending(RateLimited):
    """The user has as many jobs waiting as allowed; the message has the number."""

    def __init__(self, message: str | None = None, *, retry_after: float = 10.0) -> None:
        super().__init__(message, retry_after=retry_after)


class DatasetError(DomainError):
    """A file that was given as data cannot be read as such. The message names it as the caller wrote it."""

    code = "dataset_error"
    message = "The data set could not be read."


class StorageError(DomainError):
    """The object storage did not do its part; nothing the caller can mend."""

    code = "storage_error"
    message = "The file storage is not available at the moment; try again later."


class Unavailable(DomainError):
    """A part of the platform (database, Redis) is away."""

    code = "unavailable"
    message = "The platform is not available at the moment; try again later."
