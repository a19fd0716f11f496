"""What the short ways around Django share: which requests may take one, and what their answers carry.

A short way answers plain JSON with a bearer token that can be answered at once; everything else goes on to the view,
and is refused there, in one place.
"""

import uuid
from dataclasses import dataclass

from django.conf import settings

from api.base.middleware import CLIENT_ID
from automl_site.bodies import Message, Send
from automl_site.origins import open_mode_refusal
from automl_site.rates import Usage

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Head:
    token: str
    request_id: str
    headers: dict[bytes, bytes]  # by their names in lower case


def head_of(scope: Message) -> Head | None:
    """The head of a request that may take a short way."""
    headers = {name.lower(): value for name, value in scope["headers"]}
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if not authorization.startswith("Bearer ") or not _accepts_json(headers.get(b"accept", b"*/*")):
        return None
    if scope.get("root_path") or (settings.SECURE_SSL_REDIRECT and not _is_secure(scope, headers)):
        return None
    if settings.OPEN_MODE:
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if open_mode_refusal(host=host, origin=origin):
            return None
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return Head(
        token=authorization.removeprefix("Bearer ").strip(),
        request_id=given if CLIENT_ID.fullmatch(given) else uuid.uuid4().hex,
        headers=headers,
    )


def _is_secure(scope: Message, headers: dict[bytes, bytes]) -> bool:
    if settings.SECURE_PROXY_SSL_HEADER is None:
        return bool(scope.get("scheme") == "https")
    name, value = settings.SECURE_PROXY_SSL_HEADER
    told = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower().encode(), b"")
    return told.decode("latin-1").split(",")[0].strip() == value


def _accepts_json(accept: bytes) -> bool:
    return accept in (b"*/*", b"application/json") or accept.startswith((b"application/json,", b"*/*,"))


def answer_headers(head: Head, *, allow: bytes) -> list[Header]:
    """What Django's middleware puts on the view's answer."""
    return [
        (b"vary", b"Accept"),
        (b"allow", allow),
        (b"x-frame-options", b"DENY"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-request-id", head.request_id.encode()),
    ]


def limit_headers(usage: Usage | None, used: int) -> list[Header]:
    """`used`: of the limit, by this request and those before it."""
    if usage is None:
        return []
    return [
        (b"x-ratelimit-limit", b"%d" % usage.limit),
        (b"x-ratelimit-remaining", b"%d" % max(usage.limit - used, 0)),
        (b"x-ratelimit-reset", b"%d" % usage.reset_at),
    ]


async def send_json(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    always = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*always, *headers]})
    await send({"type": "http.response.body", "body": body})
