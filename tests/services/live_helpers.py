"""What the tests of the sockets share: writing events from async tests, and reading a socket as a client would."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from channels.testing import WebsocketCommunicator
from django.db import transaction

from automl_site.routing import websocket_application
from tracking import stream
from tracking.feeds import in_thread
from tracking.models import Run, User
from tracking.services.projects import jobs_project
from tracking.services.runs import run_create
from tracking.tokens import issue_tokens

PATIENCE = 60.0  # seconds until a message that should come is missed


def new_run(user: User) -> Run:
    return run_create(project=jobs_project(user), name="run", config={}, tags=[])


def append(run_id: int, **events: Any) -> int:
    with transaction.atomic():
        return stream.append(run_id=run_id, **events)


def append_values(run_id: int, values: Sequence[float]) -> int:
    return append(run_id, points=[stream.Point("loss", value) for value in values])


async def database(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call what uses the database from an async test."""
    return await in_thread(lambda: function(*arguments, **keywords))


def access_token(user: User) -> str:
    return issue_tokens(user)[0]


class Socket:
    """A client of the sockets' URL map."""

    def __init__(self, path: str, **options: Any) -> None:
        options.setdefault("headers", [(b"host", b"testserver")])
        self.communicator = WebsocketCommunicator(websocket_application, path, **options)

    async def __aenter__(self) -> "Socket":
        accepted, self.subprotocol = await self.communicator.connect(timeout=PATIENCE)
        assert accepted, "the handshake must be accepted, whatever follows"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.communicator.disconnect(timeout=PATIENCE)

    async def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        event = await self.communicator.receive_output(timeout)
        assert event["type"] == "websocket.send", f"closed: {event}"
        return json.loads(event["text"])

    async def receive_many(self, count: int) -> list[dict[str, Any]]:
        return [await self.receive() for _ in range(count)]

    async def receive_until(self, kind: str) -> list[dict[str, Any]]:
        """Messages up to and including the first of type `kind`."""
        messages = [await self.receive()]
        while messages[-1]["type"] != kind:
            messages.append(await self.receive())
        return messages

    async def closed(self) -> tuple[int, str]:
        """The close code and reason, which come next."""
        event = await self.communicator.receive_output(PATIENCE)
        assert event["type"] == "websocket.close", event
        return event["code"], event.get("reason", "")

    async def hears_nothing(self, seconds: float = 0.3) -> bool:
        return await self.communicator.receive_nothing(seconds)


async def wait_for(condition: Callable[[], object], *, what: str) -> None:
    """Wait until `condition()` is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what
