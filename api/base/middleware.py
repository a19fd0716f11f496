"""What happens to every request before and after its view."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from api.base import handlers
from api.base.dialect import Problem, dialect_for
from api.base.problems import problem_from, problem_response
from api.base.throttling import count_refused, is_uncounted
from automl_site.errors import DomainError, RateLimited
from automl_site.logs import request_id
from automl_site.origins import open_mode_refusal

CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
GetResponse = Callable[[HttpRequest], Any]


class _Middleware:
    """`before` may answer in the view's place, `after` sees every answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.before(request)
        return self.after(request, self.get_response(request) if answer is None else answer)

    def before(self, request: HttpRequest) -> HttpResponse | None:
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response


class RequestIdMiddleware(_Middleware):
    """Gives each request an id (the caller's own, where it sent a sane one), for the log and for X-Request-ID."""

    def before(self, request: HttpRequest) -> None:
        given = request.headers.get("X-Request-ID", "")
        request.id = given if CLIENT_ID.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        request_id.set(request.id)  # type: ignore[attr-defined]

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response["X-Request-ID"] = request.id  # type: ignore[attr-defined]
        return response


def _refuse(request: HttpRequest, code: str, status: int, message: str) -> HttpResponse:
    dialect = dialect_for(request.path_info)
    if dialect is None:
        return handlers.page(request, status, message)
    return problem_response(Problem(code, status, message), dialect)


class OpenModeGuardMiddleware(_Middleware):
    """In open mode, answers only this machine's own programs and pages."""

    def before(self, request: HttpRequest) -> HttpResponse | None:
        if not settings.OPEN_MODE:
            return None
        refusal = open_mode_refusal(host=request.META.get("HTTP_HOST", ""), origin=request.META.get("HTTP_ORIGIN", ""))
        return _refuse(request, "forbidden", 403, refusal) if refusal else None


class ProblemMiddleware(_Middleware):
    """Words the failures of plain views as those of DRF's, and refuses NUL in addresses (PostgreSQL fails on it)."""

    def before(self, request: HttpRequest) -> HttpResponse | None:
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return _refuse(request, "malformed", 400, "The address must not contain NUL characters.")
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        dialect = dialect_for(request.path_info)
        if dialect is None and not isinstance(exception, DomainError):
            return None  # pages: Django's handlers
        problem = problem_from(exception, dialect)
        if problem is None:
            return None
        if dialect is None:
            return handlers.page(request, problem.status, problem.message)
        return problem_response(problem, dialect)


class RateLimitMiddleware(_Middleware):
    """Tells on every answer of a limited contract how much is left.

    What is refused before a view could count it (an unknown path, a bad token) is counted here: else guessing tokens
    would be free.
    """

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if is_uncounted(request, response):
            count_refused(request)
        usage = getattr(request, "rate_usage", None)
        if usage is None:
            return response
        dialect = dialect_for(request.path_info)
        if usage.exceeded and response.status_code != 429 and dialect is not None:
            problem = problem_from(RateLimited(retry_after=usage.retry_after), dialect)
            if problem is not None:
                response = problem_response(problem, dialect)
        response["X-RateLimit-Limit"] = str(usage.limit)
        response["X-RateLimit-Remaining"] = str(usage.remaining)
        response["X-RateLimit-Reset"] = str(usage.reset_at)
        return response


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """The strict policy everywhere, the named looser one where a package's own templates carry inline script."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        browsable = getattr(getattr(response, "accepted_renderer", None), "format", "") == "api"
        if browsable or request.path_info.startswith(settings.CSP_LOOSE_PREFIXES):
            parts.replace = {**settings.CSP_LOOSE_DIRECTIVES, **(parts.replace or {})}
        return parts
