"""The limits of the llm-pipelines contract stand on every answer, also on those that no view has counted."""

import io
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from datasets_app import services
from tests.contracts.llm_pipelines.test_datasets import UPLOAD, assert_error, client_of

pytestmark = pytest.mark.usefixtures("db")  # and an empty Redis
PATH = "/api/v1/datasets/ds_000000000000"


def limits(answer: Any) -> tuple[int, int]:
    assert int(answer["X-RateLimit-Reset"]) > 1_700_000_000
    return int(answer["X-RateLimit-Limit"]), int(answer["X-RateLimit-Remaining"])


@pytest.mark.parametrize(
    ("method", "path", "given", "status"),
    [
        ("GET", PATH, {}, 404),
        ("GET", "/api/v1/nowhere", {}, 404),
        ("DELETE", UPLOAD, {}, 405),
        ("POST", UPLOAD, {"data": b"{}", "content_type": "application/json"}, 415),
        ("POST", UPLOAD, {"data": b"x", "content_type": "multipart/form-data"}, 400),
        ("POST", UPLOAD, {"data": b"", "content_type": "multipart/form-data; boundary=x"}, 400),
        ("GET", f"{PATH}/preview?limit=many", {}, 400),
        ("GET", f"{PATH}?a=%00", {}, 400),
    ],
)
def test_every_refusal_tells_the_callers_limit(
    user: Any, method: str, path: str, given: dict[str, Any], status: int
) -> None:
    answer = client_of(user).generic(method, path, **given)
    assert answer.status_code == status, answer.content
    assert limits(answer) == (1000, 999)


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, PATH, 401),
        ({}, "/api/v1/nowhere", 404),
        ({"Authorization": "Bearer guessed"}, PATH, 401),
        ({"Authorization": "Bearer guessed"}, "/api/v1/nowhere", 404),
        ({"Authorization": "Basic YTpi"}, PATH, 401),
    ],
)
def test_who_is_not_known_is_told_the_limit_of_the_address(headers: dict[str, str], path: str, status: int) -> None:
    answer = Client(headers=headers, raise_request_exception=False).get(path)
    assert answer.status_code == status
    assert limits(answer) == (100, 99)


def test_guessing_tokens_ends_at_the_limit(settings: LazySettings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"llm_anonymous": "3/m"}
    client = Client(headers={"Authorization": "Bearer guessed"}, raise_request_exception=False)
    answers = [client.get(PATH) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert_error(answers[-1], 429, "RATE_LIMITED")
    assert int(answers[-1]["Retry-After"]) > 0
    assert limits(answers[-1]) == (3, 0)


def test_what_a_view_has_counted_counts_once(user: Any) -> None:
    client = client_of(user)
    dataset = services.dataset_upload(owner=user, file=io.BytesIO(b"a\n1\n"), filename="a.csv")
    assert limits(client.get(f"/api/v1/datasets/{dataset.public_id}")) == (1000, 999)
    assert limits(client.get(PATH)) == (1000, 998)


def test_contracts_without_a_limit_tell_none(user: Any) -> None:
    assert "X-RateLimit-Limit" not in client_of(user).get("/jobs/nowhere/at/all")
    assert "X-RateLimit-Limit" not in client_of(user).get("/health")
