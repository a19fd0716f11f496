"""Bounds what a request may send before Django, which keeps every body on disk before it asks any view."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_END: Message = {"type": "http.request", "body": b"", "more_body": False}
FORM_BYTES = 1024**2  # for what surrounds a file in a multipart body


class BodyLimit:
    """An ASGI application around another that reads no more of a body than may be taken.

    The rest is left unread, and `Content-Length` says how much was announced (or, without an announcement, how much had
    come): by that the view's parser refuses the request in its contract's words.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        limit = body_limit(scope["path"])
        announced = _announced(scope)
        received = 0
        refused = False

        async def bounded() -> Message:
            nonlocal received, refused
            if refused:
                return await _disconnected(receive)
            message: Message = _END if announced is not None and announced > limit else await receive()
            received += len(message.get("body", b""))
            if received > limit:
                others = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
                scope["headers"] = [*others, (b"content-length", str(received).encode())]
                message = _END
            refused = message is _END
            return message

        await self.application(scope, bounded, send)


async def _disconnected(receive: Receive) -> Message:
    """What Django waits for while its view works: the client's leaving. What the client still sends is dropped."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return message


def body_limit(path: str) -> int:
    """The most bytes that a request to `path` may send."""
    if path.rstrip("/") in settings.UPLOAD_PATHS or re.fullmatch(settings.UPLOAD_PATTERN, path, re.DOTALL):
        return settings.MAX_UPLOAD_BYTES + FORM_BYTES
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _announced(scope: Message) -> int | None:
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
