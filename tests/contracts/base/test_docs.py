"""The OpenAPI documents, their readers, the browsable API, and what each may load."""

from typing import Any

import pytest
from django.test import Client

from api.base.dialect import dialects
from tracking.models import User

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, methods in document["paths"].items() for method in methods}


@pytest.mark.parametrize("name", list(dialects()))
def test_each_contract_has_its_own_document(client: Client, name: str) -> None:
    answer = client.get(f"/openapi/{name}.json")
    assert answer.status_code == 200
    document = answer.json()
    assert document["openapi"].startswith("3.")
    assert document["info"]["title"] == dialects()[name].title
    for _, path in operations(document):
        assert dialects()[name].covers(path), path
        assert not path.endswith("/")


def test_the_documents_hold_the_documented_paths(client: Client) -> None:
    tracking = operations(client.get("/openapi/tracking.json").json())
    assert {("post", "/auth/register"), ("post", "/auth/login"), ("get", "/auth/me")} <= tracking
    assert ("post", "/v1/auth/token") in operations(client.get("/openapi/automl.json").json())
    queue = operations(client.get("/openapi/job-queue.json").json())
    assert {
        ("post", "/jobs/training"),
        ("post", "/jobs/inference"),
        ("get", "/jobs"),
        ("get", "/jobs/{job_id}/status"),
        ("delete", "/jobs/{job_id}"),
        ("get", "/health"),
        ("get", "/health/redis"),
    } <= queue


def test_the_whole_document_holds_all_and_says_where_each_is(client: Client) -> None:
    whole = client.get("/openapi.json").json()
    assert [entry["name"] for entry in whole["x-documents"]] == list(dialects())
    for entry in whole["x-documents"]:
        assert operations(client.get(entry["url"]).json()) <= operations(whole)


def test_each_operation_shows_its_contracts_errors_and_who_may_call(client: Client) -> None:
    document = client.get("/openapi/job-queue.json").json()
    operation = document["paths"]["/jobs/training"]["post"]
    reference = operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(schema["properties"]) == {"error", "detail", "status_code"}
    assert operation["security"] == [{"bearer": []}, {"session": []}, {}]
    me = client.get("/openapi/tracking.json").json()["paths"]["/auth/me"]["get"]
    assert me["security"] == [{"bearer": []}, {"session": []}]


def test_an_unknown_document_is_404(client: Client) -> None:
    assert client.get("/openapi/nope.json").status_code == 404
    assert client.get("/redoc/nope", headers=BROWSER).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc/tracking", "/redoc/job-queue/"])
def test_the_readers_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "http://" not in page
    assert "https://" not in page
    for name in dialects():
        assert f"/openapi/{name}.json" in page or f"/redoc/{name}" in page
    assert "'unsafe-inline'" in answer["Content-Security-Policy"]


def test_redoc_without_a_choice_shows_the_first_document(client: Client) -> None:
    assert client.get("/redoc")["Location"] == "/redoc/tracking"


@pytest.mark.parametrize("path", ["/login", "/auth/nope", "/health"])
def test_everything_else_has_the_strict_policy(client: Client, db: None, path: str) -> None:
    policy = client.get(path)["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "default-src 'self'" in policy


def test_the_browsable_api_shows_answers_and_forms_to_who_is_signed_in(client: Client, user: User) -> None:
    client.force_login(user)
    page = client.get("/jobs", headers=BROWSER)
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")
    assert "&quot;total&quot;" in page.content.decode()
    assert "'unsafe-inline'" in page["Content-Security-Policy"]
    form = client.get("/auth/me", headers=BROWSER).content.decode()
    assert "user@example" not in form
    assert "ann@example.com" in form
    assert 'action="/api-auth/logout' in form


def test_the_browsable_api_asks_strangers_to_log_in(client: Client, db: None) -> None:
    page = client.get("/auth/me", headers=BROWSER)
    assert page.status_code == 401
    assert "/api-auth/login?next=/auth/me" in page.content.decode()
    assert client.get("/api-auth/login?next=/auth/me").status_code == 200
