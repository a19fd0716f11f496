"""The contracts' own limits, counted by `automl_site.rates`. Pages are never limited by them."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api.base.dialect import dialect_for
from automl_site import rates
from automl_site.errors import RateLimited
from automl_site.origins import client_address
from tracking.models import User
from tracking.selectors.rates import own_rates

if TYPE_CHECKING:  # rest_framework.views imports this module, by the settings' name for it
    from rest_framework.views import APIView

TRACKING_CALLS = ("tracking_minute", "tracking_hour")
TRACKING_METRICS = ("tracking_metrics",)  # POST /metrics/…, by whichever way it is answered
_FILES = re.compile(r"/runs/[0-9]{1,18}/(?:artifacts|uploads)(?:/|$)")
# What counts the calls of signed-in users, and (last column) of anonymous ones, by settings.RATE_LIMITS' names.
_LIMITS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tracking": (TRACKING_CALLS, ()),
    "automl": (("automl",), ("automl",)),
    "job-queue": (("job_queue",), ("job_queue",)),
    "metric-learning": (("metric_learning",), ("metric_learning",)),
    "llm-pipelines": (("llm_user",), ("llm_anonymous",)),
}


def count_call(request: HttpRequest, user: User | AnonymousUser) -> rates.Usage | None:
    """Count one call of `user` at this path; the tightest usage, or None where nothing is limited.

    It is kept on the request, for the X-RateLimit headers of the answer (`RateLimitMiddleware`).
    """
    dialect = dialect_for(request.path_info)
    if dialect is None:
        return None
    signed_in, anonymous = _LIMITS[dialect.name]
    if request.method == "POST" and request.path_info.startswith("/metrics/"):
        signed_in = TRACKING_METRICS
    if request.method in ("POST", "PUT", "PATCH") and _FILES.match(request.path_info):
        signed_in = TRACKING_METRICS  # a run leaves hundreds of files, a large one comes in hundreds of pieces
    # In open mode `local` stands for whoever calls: those are told apart by their addresses.
    known = isinstance(user, User) and user.username != settings.OPEN_USERNAME
    subject = f"user:{user.pk}" if known else f"address:{client_address(request.META)}"
    usage = count(signed_in if known else anonymous, subject=subject, user_id=user.pk if known else None)
    if usage is not None:
        request.rate_usage = usage  # type: ignore[attr-defined]
    return usage


def count(names: Sequence[str], *, subject: str, user_id: int | None) -> rates.Usage | None:
    """Count a call against the limits of these names, a user's own where it has any; the tightest usage."""
    own = own_rates(user_id)
    return tightest(rates.hit(*(rates.limit_for(name, subject, rate=own.get(name)) for name in names)))


def tightest(usages: Sequence[rates.Usage]) -> rates.Usage | None:
    """Of several limits, the one that the caller is told of."""
    if not usages:
        return None
    exceeded = [usage for usage in usages if usage.exceeded]
    return max(exceeded, key=lambda u: u.retry_after) if exceeded else min(usages, key=lambda u: u.remaining)


def is_uncounted(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the call was refused before its view counted it: no such path, a bad token, a wrong method."""
    dialect = dialect_for(request.path_info)
    if dialect is None or hasattr(request, "rate_usage") or not 400 <= response.status_code < 500:
        return False
    _, anonymous = _LIMITS[dialect.name]
    return any(settings.RATE_LIMITS.get(name) for name in anonymous)


def count_refused(request: HttpRequest) -> rates.Usage | None:
    """Count such a call, as the caller's where that can be told, else as one from its address."""
    from api.base.authentication import authenticate  # it imports rest_framework's views, which import this module

    caller = None
    # Without credentials it is the address's, in open mode too: no need to make `local` for a foreign page.
    if "HTTP_AUTHORIZATION" in request.META or getattr(request, "user", AnonymousUser()).is_authenticated:
        with suppress(APIException, DatabaseError, InterfaceError):
            caller = authenticate(request)
    return count_call(request, caller or AnonymousUser())


def throttle_view(request: HttpRequest, user: User) -> None:
    """The same for plain views. Raises RateLimited."""
    usage = count_call(request, user)
    if usage is not None and usage.exceeded:
        raise RateLimited(retry_after=usage.retry_after)


class ContractThrottle(BaseThrottle):
    """DRF's hook: every view is counted against the limits of the contract that its path belongs to."""

    usage: rates.Usage | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        self.usage = count_call(request._request, request.user)
        return self.usage is None or not self.usage.exceeded

    def wait(self) -> float | None:
        return self.usage.retry_after if self.usage else None


class RegisterThrottle(BaseThrottle):
    """Accounts made from one address."""

    usage: rates.Usage | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        usages = rates.hit(rates.limit_for("register", f"address:{client_address(request.META)}"))
        self.usage = usages[0] if usages else None
        return self.usage is None or not self.usage.exceeded

    def wait(self) -> float | None:
        return self.usage.retry_after if self.usage else None
