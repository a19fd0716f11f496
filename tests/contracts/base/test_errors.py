"""Whatever is raised, by whatever kind of view, the contract's own body comes out."""

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from django.db import OperationalError
from django.test import AsyncClient, Client

from api.base.dialect import dialects
from api.base.problems import DISK_FULL, problem_from
from tests.contracts.base.raising_urls import PREFIXES, SECRET

pytestmark = [pytest.mark.urls("tests.contracts.base.raising_urls"), pytest.mark.django_db]
KINDS = ("raise", "plain", "async")

# status and body of what is raised, by contract
WORDED: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("auth", "not_found"): (404, {"detail": "Resource not found", "reason": "There is no job 'x'."}),
    ("auth", "forbidden"): (403, {"detail": "Not enough permissions"}),
    ("auth", "unauthenticated"): (401, {"detail": "Could not validate credentials"}),
    ("auth", "invalid"): (
        400,
        {"detail": "Validation error", "errors": {"hyperparameters.n_estimators": ["must be at least 1"]}},
    ),
    ("auth", "conflict"): (400, {"detail": "A run of that name is alive."}),
    ("v1", "not_found"): (404, {"detail": "There is no job 'x'."}),
    ("v1", "conflict"): (409, {"detail": "A run of that name is alive."}),
    ("jobs", "not_found"): (404, {"error": "Not found", "detail": "There is no job 'x'.", "status_code": 404}),
    ("jobs", "invalid"): (
        422,
        {
            "error": "Validation error",
            "detail": "hyperparameters.n_estimators: must be at least 1",
            "status_code": 422,
        },
    ),
    ("jobs", "not_cancellable"): (
        400,
        {
            "error": "Job cannot be cancelled",
            "detail": "The job has ended already: completed.",
            "status_code": 400,
        },
    ),
    ("jobs", "dataset_error"): (
        422,
        {"error": "Data set error", "detail": "The file 'a.csv' is empty.", "status_code": 422},
    ),
    ("api/v1/train", "not_found"): (404, {"error": "not_found", "message": "There is no job 'x'.", "details": {}}),
    ("api/v1/train", "invalid"): (
        422,
        {
            "error": "validation_error",
            "message": "Validation error",
            "details": {"errors": {"hyperparameters.n_estimators": ["must be at least 1"]}},
        },
    ),
    ("api/v1/train", "not_cancellable"): (
        422,
        {"error": "not_cancellable", "message": "The job has ended already: completed.", "details": {}},
    ),
    ("api/v1", "invalid"): (
        400,
        {
            "error": "VALIDATION_ERROR",
            "message": "Input validation failed",
            "metadata": {"errors": [{"field": "hyperparameters.n_estimators", "message": "must be at least 1"}]},
        },
    ),
    ("api/v1", "conflict"): (
        409,
        {"error": "CONFLICT", "message": "A run of that name is alive.", "metadata": {}},
    ),
    ("api/v1", "dataset_error"): (
        400,
        {"error": "DATASET_ERROR", "message": "The file 'a.csv' is empty.", "metadata": {}},
    ),
    ("api/v1", "rate_limited"): (
        429,
        {"error": "RATE_LIMITED", "message": "Too many requests; try again later.", "metadata": {"retry_after": 8}},
    ),
    ("api/v1", "too_large"): (
        413,
        {"error": "PAYLOAD_TOO_LARGE", "message": "5 bytes; at most 4 are taken.", "metadata": {}},
    ),
}
STATUSES = {
    "storage_error": {503, 500},
    "unavailable": {503},
    "http404": {404},
    "denied": {403},
    "suspicious": {400},
    "database": {503},
    "redis": {503},
    "disk_full": {503},
    "redis_full": {503},
    "rate_limited": {429},
    "too_large": {413},
    "bug": {500},
}
KEYS = {
    "auth": {"detail"},
    "v1": {"detail"},
    "jobs": {"error", "detail", "status_code"},
    "api/v1/train": {"error", "message", "details"},
    "api/v1": {"error", "message", "metadata"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prefix", "what"), list(WORDED))
def test_domain_errors_are_worded_by_the_contract(client: Client, prefix: str, what: str, kind: str) -> None:
    answer = client.get(f"/{prefix}/{kind}/{what}")
    assert (answer.status_code, answer.json()) == WORDED[prefix, what]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", list(STATUSES))
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_failure_has_the_contracts_shape_and_shows_no_insides(prefix: str, what: str, kind: str) -> None:
    answer = Client(raise_request_exception=False).get(f"/{prefix}/{kind}/{what}")
    assert answer.status_code in STATUSES[what]
    body = answer.json()
    assert KEYS[prefix] <= set(body) <= KEYS[prefix] | {"request_id", "reason"}
    assert SECRET not in answer.content.decode()
    assert ("Retry-After" in answer) == (what in ("rate_limited", "database", "redis", "redis_full", "disk_full"))
    if prefix == "jobs":
        assert body["status_code"] == answer.status_code


def test_a_database_that_may_not_grow_is_told_as_a_full_disk() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count=1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("CREATE TABLE t (x)")
    error = OperationalError(*caught.value.args)
    error.__cause__ = caught.value  # as Django raises it
    found = problem_from(error, dialects()["job-queue"])
    assert found is not None
    assert (found.status, found.message) == (503, DISK_FULL)


@pytest.mark.parametrize("kind", KINDS)
def test_under_asgi_it_is_the_same(kind: str) -> None:
    async def get(what: str) -> Any:
        return await AsyncClient(raise_request_exception=False).get(f"/jobs/{kind}/{what}")

    answer = asyncio.run(get("not_found"))
    assert (answer.status_code, answer.json()) == WORDED["jobs", "not_found"]
    assert asyncio.run(get("bug")).json()["detail"] == "Internal server error"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_bug_carries_an_id_that_is_in_the_log(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = Client(raise_request_exception=False).get(f"/{prefix}/raise/bug")
    assert answer["X-Request-ID"] in answer.content.decode()
    record = next(record for record in caplog.records if record.levelname == "ERROR")
    assert record.exc_info
    assert record.request.id == answer["X-Request-ID"]


def test_a_callers_own_request_id_is_kept_if_it_is_sane(client: Client) -> None:
    assert client.get("/jobs/raise/not_found", headers={"x-request-id": "abc-1"})["X-Request-ID"] == "abc-1"
    for wild in ("a b", "x" * 65, "<script>"):
        given = client.get("/jobs/raise/not_found", headers={"x-request-id": wild})["X-Request-ID"]
        assert given != wild
        assert len(given) == 32


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_wrong_method_is_405(client: Client, prefix: str) -> None:
    answer = client.delete(f"/{prefix}/echo")
    assert answer.status_code == 405
    assert KEYS[prefix] == set(answer.json())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_wrong_content_type_is_415(client: Client, prefix: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        answer = client.post(f"/{prefix}/echo", "text=a", content_type=content_type)
        assert answer.status_code == 415
        assert KEYS[prefix] == set(answer.json())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_malformed_json_is_400_and_never_a_validation_status(client: Client, prefix: str) -> None:
    answer = client.post(f"/{prefix}/echo", "{", content_type="application/json")
    assert answer.status_code == 400
    assert KEYS[prefix] == set(answer.json())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_body_that_is_too_large_is_413(client: Client, prefix: str, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = client.post(f"/{prefix}/echo", json.dumps({"text": "x" * 200}), content_type="application/json")
    assert answer.status_code == 413
    assert "100" in answer.content.decode()
    assert KEYS[prefix] == set(answer.json())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_address_with_nul_is_400(client: Client, prefix: str) -> None:
    for path in (f"/{prefix}/raise/a%00b", f"/{prefix}/echo?name=%00"):
        answer = client.get(path)
        assert answer.status_code == 400
        assert KEYS[prefix] == set(answer.json())


def test_what_a_client_accepts_does_not_matter(client: Client) -> None:
    for accept in ("text/event-stream", "application/xml", "image/png", "nonsense"):
        answer = client.get("/jobs/raise/not_found", headers={"accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")


def test_failures_of_pages_are_pages(client: Client) -> None:
    html = {"accept": "text/html"}
    for what, status in (("not_found", 404), ("forbidden", 403), ("http404", 404), ("rate_limited", 429)):
        answer = client.get(f"/ui/raise/{what}", headers=html)
        assert answer.status_code == status
        assert answer["Content-Type"].startswith("text/html")
    broken = Client(raise_request_exception=False).get("/ui/raise/bug", headers=html)
    assert broken.status_code == 500
    assert broken["X-Request-ID"] in broken.content.decode()
    assert SECRET not in broken.content.decode()
    away = Client(raise_request_exception=False).get("/ui/raise/database", headers=html)
    assert away.status_code == 503
    assert SECRET not in away.content.decode()


MISSING = {
    "auth": {"detail": "Validation error", "errors": {"password": ["This field is required."]}},
    "v1": {"detail": "Validation error", "errors": {"password": ["This field is required."]}},
}


@pytest.mark.parametrize(("prefix", "path"), [("auth", "/auth/login"), ("v1", "/v1/auth/token")])
def test_a_missing_field_is_said_by_its_name(client: Client, prefix: str, path: str) -> None:
    answer = client.post(path, json.dumps({"username": "ann"}), content_type="application/json")
    assert (answer.status_code, answer.json()) == (400, MISSING[prefix])
