"""One way from an exception to an answer: exception -> `Problem` -> the dialect's body.

`exception_handler` serves DRF's views, `ProblemMiddleware` the plain ones, `handlers` what no view has seen. What was
not foreseen is left to Django: it is logged with its traceback, and `handlers.server_error` answers.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response

from api.base.dialect import Dialect, Problem, dialect_for, dialects
from api.base.renderers import dumps
from automl_site.disk import is_disk_full
from automl_site.errors import DomainError, InvalidSpec, RateLimited

logger = logging.getLogger(__name__)

# The one table from what happened to what HTTP calls it; a dialect overrides single rows.
STATUSES = {
    "error": 400,
    "malformed": 400,
    "invalid": 400,
    "dataset_error": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "not_cancellable": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "storage_error": 503,
    "unavailable": 503,
}
_DRF_CODES = {
    drf.ParseError: "malformed",
    drf.AuthenticationFailed: "unauthenticated",
    drf.NotAuthenticated: "unauthenticated",
    drf.PermissionDenied: "forbidden",
    drf.NotFound: "not_found",
    drf.MethodNotAllowed: "method_not_allowed",
    drf.NotAcceptable: "not_acceptable",
    drf.UnsupportedMediaType: "unsupported_media_type",
    drf.Throttled: "rate_limited",
}
DATABASE_AWAY = "The database is not available at the moment; try again in a few seconds."
DISK_FULL = "The server's disk is full, so nothing was saved; try again once its operator has freed some space."
REDIS_AWAY = "The job queue is not available at the moment; try again in a few seconds."
_SENTENCES = {
    "unauthenticated": "Could not validate credentials",
    "forbidden": "Not enough permissions",
    "not_found": "Resource not found",
}


def _flatten(errors: Any, path: str = "") -> dict[str, list[str]]:
    """DRF's nested errors as dotted paths: {"nodes": {0: {"config": [...]}}} -> {"nodes.0.config": [...]}."""
    if isinstance(errors, Mapping):
        flat: dict[str, list[str]] = {}
        for key, value in errors.items():
            # A nested serializer's general complaints belong to the field that holds it.
            name = path if path and key == "non_field_errors" else f"{path}.{key}" if path else str(key)
            for found, sentences in _flatten(value, name).items():
                flat.setdefault(found, []).extend(sentences)
        return flat
    if isinstance(errors, Sequence) and not isinstance(errors, str):
        flat = {}
        for index, value in enumerate(errors):
            name = f"{path}.{index}" if isinstance(value, Mapping) else path
            for found, sentences in _flatten(value, name).items():
                flat.setdefault(found, []).extend(sentences)
        return flat
    return {path or "non_field_errors": [errors]}


def _status(code: str, dialect: Dialect | None) -> int:
    return (dialect.statuses if dialect else {}).get(code, STATUSES.get(code, 400))


def _problem(code: str, message: str, dialect: Dialect | None, **rest: Any) -> Problem:
    headers = dict(rest.pop("headers", {}))
    if code == "unauthenticated":
        headers.setdefault("WWW-Authenticate", 'Bearer realm="api"')
    return Problem(code, _status(code, dialect), message, headers=headers, **rest)


def _rate_limited(message: str, wait: float, dialect: Dialect | None) -> Problem:
    seconds = max(math.ceil(wait), 1)
    return _problem(
        "rate_limited", message, dialect, details={"retry_after": seconds}, headers={"Retry-After": str(seconds)}
    )


def _from_drf(error: drf.APIException, dialect: Dialect | None) -> Problem:
    if isinstance(error, drf.ValidationError):
        return _problem("invalid", InvalidSpec.message, dialect, errors=_flatten(error.detail))
    if isinstance(error, drf.Throttled):
        return _rate_limited(RateLimited().message, getattr(error, "wait", None) or 60, dialect)
    code = next((code for kind, code in _DRF_CODES.items() if isinstance(error, kind)), "error")
    # Which of several reasons made a credential bad is nobody's business.
    message = _SENTENCES["unauthenticated"] if code == "unauthenticated" else str(error.detail)
    if isinstance(error, drf.PermissionDenied) and error.get_codes() == "permission_denied":
        message = _SENTENCES["forbidden"] if str(error.detail) == str(drf.PermissionDenied.default_detail) else message
    return _problem(code, message, dialect)


def problem_from(error: BaseException, dialect: Dialect | None) -> Problem | None:
    """What went wrong, as the dialect numbers it; None for what nobody foresaw."""
    if isinstance(error, RateLimited):
        return _rate_limited(error.message, error.retry_after, dialect)
    if isinstance(error, InvalidSpec):
        return _problem(error.code, error.message, dialect, errors=error.errors, details=error.details)
    if isinstance(error, DomainError):
        return _problem(error.code, error.message, dialect, details=error.details)
    if isinstance(error, drf.APIException):
        return _from_drf(error, dialect)
    if isinstance(error, Http404):
        return _problem("not_found", _SENTENCES["not_found"], dialect)
    if isinstance(error, PermissionDenied):
        return _problem("forbidden", str(error) or _SENTENCES["forbidden"], dialect)
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return _problem("too_large", f"The request body has more bytes than the {limit:,} that are taken.", dialect)
    if isinstance(error, SuspiciousOperation | BadRequest):
        return _problem("malformed", "The request could not be read.", dialect)
    if isinstance(error, DjangoValidationError):
        errors = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        return _problem("invalid", InvalidSpec.message, dialect, errors=errors)
    if isinstance(error, DataError):
        logger.warning("the database refused a value", exc_info=error)
        return _problem("invalid", "A value is outside of what can be stored.", dialect)
    if is_disk_full(error):
        logger.error("the disk is full", exc_info=error)
        return _problem("unavailable", DISK_FULL, dialect, headers={"Retry-After": "30"})
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("the database is away", exc_info=error)
        return _problem("unavailable", DATABASE_AWAY, dialect, headers={"Retry-After": "5"})
    if isinstance(error, redis.ConnectionError | redis.TimeoutError) or _takes_no_writes(error):
        logger.error("Redis is away: %s", error)
        return _problem("unavailable", REDIS_AWAY, dialect, headers={"Retry-After": "5"})
    return None


def _takes_no_writes(error: BaseException) -> bool:
    """Whether Redis says that it takes no writes until it can write its own file again."""
    return isinstance(error, redis.ResponseError) and str(error).startswith("MISCONF")


def internal_problem(request: HttpRequest) -> Problem:
    """A 500: nothing but the id under which the log has the traceback."""
    request_id = getattr(request, "id", "")
    return Problem("internal", 500, "Internal server error", details={"request_id": request_id} if request_id else {})


def dialect_of(request: HttpRequest) -> Dialect:
    """The dialect to answer a client in. Paths of no contract (/docs, /nope) use tracking's, the plainest."""
    return dialect_for(request.path_info) or dialects()["tracking"]


def problem_response(problem: Problem, dialect: Dialect) -> HttpResponse:
    """The answer of a view that is not DRF's."""
    return HttpResponse(
        dumps(dialect.body(problem)),
        status=problem.status,
        content_type="application/json",
        headers=dict(problem.headers),
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook. None lets what nobody foresaw go up to Django, which logs it and asks `handlers.server_error`."""
    dialect = dialect_of(context["request"])
    problem = problem_from(error, dialect)
    if problem is None:
        return None
    return Response(dialect.body(problem), status=problem.status, headers=dict(problem.headers))
