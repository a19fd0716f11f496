"""A caller of the contract, as a script is one: JSON in, JSON out, a bearer token."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

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
