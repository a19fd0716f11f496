"""A caller of the contract, as a script is one: JSON in, JSON out, a bearer token."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from django.core.asgi import get_asgi_application
from django.test import Client

from api.tracking.ingest import Ingest
from api.tracking.reads import Reads
from tracking import access
from tracking.models import Project, User
from tracking.services.accounts import api_key_create
from tracking.services.projects import project_create
from tracking.services.runs import run_create


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any


class Api:
    def __init__(self, token: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """`body`: JSON-able, or bytes that go as they are."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = self.client.generic(method, path, data, content_type="application/json", headers=headers)
        content = getattr(answer, "content", None)
        if content is None:
            content = b"".join(answer.streaming_content)
        return Answer(answer.status_code, json.loads(content) if content else None, answer.headers)


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


COMPARED = {
    "content-type",
    "allow",
    "vary",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "x-ratelimit-limit",
    "x-total-count",
    "retry-after",
}


def compared(headers: Mapping[str, str], *more: str) -> dict[str, str]:
    """Those headers that both ways give alike, and more of them."""
    return {name.lower(): value for name, value in headers.items() if name.lower() in {*COMPARED, *more}}


class ShortWay:
    """Requests to the ASGI application as it is served. `passed_on` counts those that went to Django."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.passed_on = 0
        self.django = get_asgi_application()
        self.application = Ingest(Reads(self._django))

    async def _django(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed_on += 1
        await self.django(scope, receive, send)

    async def request(self, path: str, body: Any = b"", *, method: str = "POST", **headers: str) -> Answer:
        data = encoded(body)
        path, _, query = path.partition("?")
        given = {
            "host": "127.0.0.1",
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "content-length": str(len(data)),
            **{name.lower(): value for name, value in headers.items()},
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        parts = [{"type": "http.request", "body": data, "more_body": False}]
        left = asyncio.Event()
        sent: list[Any] = []

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], json.loads(content) if content else None, found)

    def call(self, path: str, body: Any, **headers: str) -> Answer:
        return asyncio.run(self.request(path, body, **headers))

    def get(self, path: str, **headers: str) -> Answer:
        return asyncio.run(self.request(path, method="GET", **headers))

    def at_once(self, requests: Sequence[tuple[str, Any, dict[str, str]]]) -> list[Answer]:
        async def all_of_them() -> list[Answer]:
            return await asyncio.gather(*(self.request(path, body, **headers) for path, body, headers in requests))

        return asyncio.run(all_of_them())


@pytest.fixture
def api_of() -> Callable[[User], Api]:
    def make(user: User) -> Api:
        return Api(api_key_create(owner=user, name="tests")[1])

    return make


@pytest.fixture
def api(user: User, api_of: Callable[[User], Api]) -> Api:
    return api_of(user)


# Not by requests of their own: nearly every test of the contract begins with these two.
@pytest.fixture
def project_id(user: User) -> int:
    return project_create(owner=user, name="My Project").pk


@pytest.fixture
def run_id(project_id: int) -> int:
    project = Project.objects.get(pk=project_id)
    return run_create(project=project, name="Training Run 1", config={}, tags=[]).pk


@pytest.fixture
def token(user: User) -> str:
    return api_key_create(owner=user, name="short way")[1]


@pytest.fixture
def short(token: str) -> ShortWay:
    access.forget()
    return ShortWay(token)
