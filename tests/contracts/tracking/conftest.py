"""A caller of the contract, as a script is one: JSON in, JSON out, a bearer token."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from tracking.models import User
from tracking.services.accounts import api_key_create


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


@pytest.fixture
def api_of() -> Callable[[User], Api]:
    def make(user: User) -> Api:
        return Api(api_key_create(owner=user, name="tests")[1])

    return make


@pytest.fixture
def api(user: User, api_of: Callable[[User], Api]) -> Api:
    return api_of(user)


@pytest.fixture
def project_id(api: Api) -> int:
    return api.call("POST", "/projects/", {"name": "My Project"}).body["id"]


@pytest.fixture
def run_id(api: Api, project_id: int) -> int:
    return api.call("POST", f"/runs/?project_id={project_id}", {"name": "Training Run 1"}).body["id"]
