"""Who calls: by token, by session, or in open mode as `local`.

The rules stand in `tracking.tokens`; this is their HTTP shell.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from api.base.dialect import dialect_for
from tracking.models import User
from tracking.services.accounts import local_user
from tracking.tokens import authenticate_token


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _enforce_csrf(request: HttpRequest) -> None:
    """A session travels by itself with each request of the browser: this asks for proof that a page of ours sent it."""
    check = _CsrfCheck(lambda request: None)  # type: ignore[arg-type]
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
    if reason:
        raise PermissionDenied(f"CSRF check failed: {reason}")


def bearer_token(header: str) -> str | None:
    """The token of an Authorization header.

    None if there is no header. Raises AuthenticationFailed for anything that is no Bearer token.
    """
    if not header.strip():
        return None
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise AuthenticationFailed("Authorization must be: Bearer <token>.")
    return token


def authenticate(request: HttpRequest, *, query_token: bool = False) -> User | None:
    """The caller, or None for anonymous.

    Raises AuthenticationFailed (a bad token is never anonymous) or PermissionDenied (CSRF).

    `query_token` also takes `?token=`: for EventSource, which cannot send a header.
    """
    token = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    if token is None and query_token:
        token = request.GET.get("token")
    if token is not None:
        user = authenticate_token(token)
        if user is None:
            raise AuthenticationFailed("Could not validate credentials")
        return user
    session_user = getattr(request, "user", None)
    if session_user is not None and session_user.is_authenticated:
        _enforce_csrf(request)
        return session_user
    dialect = dialect_for(request.path_info)
    if settings.OPEN_MODE and dialect is not None and dialect.open:
        user = local_user()
        return user if user.is_active else None
    return None


def authenticate_view(request: HttpRequest, *, query_token: bool = False) -> User:
    """The caller of a plain view (an event stream, an upload). Raises AuthenticationFailed where there is none."""
    user = authenticate(request, query_token=query_token)
    if user is None:
        raise AuthenticationFailed("Could not validate credentials")
    return user


class PlatformAuthentication(BaseAuthentication):
    """All four ways to be a user, for DRF's views."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        user = authenticate(request._request)
        return None if user is None else (user, None)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
