"""A body that is too large is not read, whoever it is sent to, and whether or not it says how large it is."""

from collections.abc import Iterable
from typing import Any

import pytest

from automl_site.bodies import FORM_BYTES, BodyLimit

UPLOAD, OTHER = "/api/v1/datasets/upload", "/jobs/training"


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 3 * FORM_BYTES
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100


class Client:
    """Sends chunks, then leaves; counts what was taken from it."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = list(chunks)
        self.taken = 0

    async def receive(self) -> dict[str, Any]:
        if not self.chunks:
            return {"type": "http.disconnect"}
        chunk = self.chunks.pop(0)
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks)}


async def ask(path: str, client: Client, *, announced: int | None = None, scheme: str = "http") -> dict[str, Any]:
    """What an application sees that reads the body, then waits for the client to leave."""
    seen: dict[str, Any] = {"body": b""}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            seen["body"] += message.get("body", b"")
            if not message.get("more_body"):
                break
        seen["headers"] = dict(scope["headers"])
        seen["taken"] = client.taken
        seen["then"] = (await receive())["type"]

    headers = [(b"Content-Length", str(announced).encode())] if announced is not None else []
    await BodyLimit(application)({"type": scheme, "path": path, "headers": headers}, client.receive, None)
    return seen


@pytest.mark.parametrize("path", [OTHER, UPLOAD, UPLOAD + "/"])
async def test_a_body_within_the_limit_passes_untouched(path: str) -> None:
    seen = await ask(path, Client([b"x" * 60, b"y" * 40]), announced=100)
    assert seen["body"] == b"x" * 60 + b"y" * 40
    assert seen["headers"] == {b"Content-Length": b"100"}
    assert seen["then"] == "http.disconnect"


async def test_what_announces_too_much_is_not_read_before_the_view(settings: Any) -> None:
    seen = await ask(OTHER, Client([b"x" * 101]), announced=101)
    assert (seen["body"], seen["taken"]) == (b"", 0)
    assert seen["headers"] == {b"Content-Length": b"101"}
    assert seen["then"] == "http.disconnect"


async def test_what_announces_nothing_is_read_to_the_limit_and_no_further() -> None:
    client = Client([b"x" * 60] * 1000)
    seen = await ask(OTHER, client)
    assert len(seen["body"]) == 60
    assert seen["taken"] == 120
    assert seen["headers"] == {b"content-length": b"120"}
    assert seen["then"] == "http.disconnect"


async def test_a_false_announcement_is_corrected() -> None:
    seen = await ask(OTHER, Client([b"x" * 300]), announced=5)
    assert seen["body"] == b""
    assert seen["headers"] == {b"content-length": b"300"}


async def test_uploads_have_their_own_limit() -> None:
    whole = [b"x" * FORM_BYTES] * 4
    assert len((await ask(UPLOAD, Client(whole)))["body"]) == 4 * FORM_BYTES
    assert len((await ask(UPLOAD, Client([*whole, b"x"])))["body"]) == 4 * FORM_BYTES
    assert len((await ask(UPLOAD + "s", Client(whole)))["body"]) == 0


async def test_sockets_are_left_alone() -> None:
    seen = await ask("/ws/1", Client([b"x" * 300]), scheme="websocket")
    assert len(seen["body"]) == 300
