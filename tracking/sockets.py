"""Who is at the other end of a WebSocket, and whether a page of another site opened it."""

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.module_loading import import_string

from automl_site.origins import is_same_origin, open_mode_refusal
from tracking.models import User
from tracking.services.accounts import local_user
from tracking.tokens import authenticate_token

SUBPROTOCOL = "bearer"  # the server accepts with it when the client offered `bearer, <token>`


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", []) if key.lower() == name), "")


def accepted_subprotocol(scope: dict[str, Any]) -> str | None:
    """What to accept the handshake with: `bearer` if the client offered it, else nothing."""
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", []) else None


def socket_token(scope: dict[str, Any]) -> str | None:
    """The token of `?token=`, or of the subprotocols `bearer, <token>`; None if there is neither."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    if "token" in query:
        return query["token"][0]
    offered = list(scope.get("subprotocols", []))
    if SUBPROTOCOL in offered:
        # A client that offers `bearer` alone sent a token that is empty, not none.
        return next((name for name in offered if name != SUBPROTOCOL), "")
    return None


def _session_user(scope: dict[str, Any]) -> User | None:
    """The user of the browser's session cookie."""
    cookie = SimpleCookie(_header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    if cookie is None:
        return None
    session: SessionBase = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(cookie.value)
    if SESSION_KEY not in session:
        return None
    request = HttpRequest()
    request.session = session
    user = get_user(request)  # looks at is_active and at the password that the session began with
    return user if isinstance(user, User) else None


def _user_of(scope: dict[str, Any]) -> User | None:
    host, origin = _header(scope, b"host"), _header(scope, b"origin")
    if settings.OPEN_MODE and open_mode_refusal(host=host, origin=origin):
        return None
    token = socket_token(scope)
    if token is not None:
        return authenticate_token(token)
    # A cookie travels with a socket that any page opens: only our own pages may use it.
    if origin and is_same_origin(origin, host):
        user = _session_user(scope)
        if user is not None:
            return user
    if settings.OPEN_MODE:
        local = local_user()
        return local if local.is_active else None
    return None


async def websocket_user(scope: dict[str, Any]) -> User | None:
    """The user of a WebSocket's ASGI scope; None (close with 4401) without credentials, or with wrong ones.

    In order: a token (a wrong one is never anonymous), the session of a page of this site, in open mode `local`. Open
    mode takes no sockets from other hosts' names and other sites' pages at all.
    """
    # Closes what the database has closed: a restarted server must not make this thread refuse everyone.
    return await database_sync_to_async(_user_of, thread_sensitive=False)(scope)
