"""Who may call: tokens, sessions, open mode; and that no route is open by mistake."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny

from api.base.dialect import dialect_for
from automl_site.logs import LineFormatter, RedactSecrets
from tracking.models import User
from tracking.services.accounts import api_key_create, local_user, tokens_issue, user_deactivate

# Everybody may ask these, without credentials.
PUBLIC = {
    "tracking-register",
    "tracking-login",
    "tracking-refresh",
    "automl-token",
    "health",
    "health-redis",
    "llm-health",
    "openapi",
    "openapi-document",
}


def routes(patterns: Any = None) -> Iterator[URLPattern]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns)
        else:
            yield pattern


def drf_routes() -> list[URLPattern]:
    return [route for route in routes() if hasattr(route.callback, "cls")]


def test_there_are_routes_to_walk() -> None:
    assert {"tracking-me", "job-queue-list", "llm-dataset"} <= {route.name for route in drf_routes()}


@pytest.mark.parametrize("route", drf_routes(), ids=lambda route: route.name or str(route.pattern))
def test_every_route_asks_for_a_user_unless_it_is_listed(route: URLPattern) -> None:
    permissions = route.callback.initkwargs.get("permission_classes", route.callback.cls.permission_classes)
    is_public = AllowAny in permissions or not permissions
    assert is_public == (route.name in PUBLIC)


@pytest.mark.parametrize(
    "route", [route for route in drf_routes() if route.name not in PUBLIC], ids=lambda route: route.name or "?"
)
def test_every_other_route_answers_401_to_strangers(client: Client, db: None, route: URLPattern) -> None:
    path = re.sub(r"\(\?P<\w+>[^)]*\)", "1", str(route.pattern)).replace("/?$", "").lstrip("^")
    path = "/" + re.sub(r"<[^>]+>", "1", path)
    methods = list(getattr(route.callback, "actions", None) or ("get", "post"))
    for method in methods:
        answer = client.generic(method.upper(), path, "{}", content_type="application/json")
        assert answer.status_code in (401, 405), (method, path)
        assert dialect_for(path) is not None, "no route is outside of the contracts"
        if answer.status_code == 401:
            assert answer["WWW-Authenticate"].startswith("Bearer")


def test_jwt_and_api_key_are_users_on_every_contract(client: Client, user: User) -> None:
    for token in (tokens_issue(user=user)[0], api_key_create(owner=user)[1]):
        for scheme in ("Bearer", "bearer"):
            headers = {"authorization": f"{scheme} {token}"}
            assert client.get("/auth/me", headers=headers).status_code == 200
            assert client.get("/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Bearer a b", "Basic YW5uOnBhc3N3b3Jk", "Token x", "x", "Bearer " + "x" * 9000],
)
@pytest.mark.parametrize("open_mode", [False, True])
def test_a_bad_authorization_header_is_401_in_open_mode_too(
    client: Client, db: None, settings: Any, header: str, open_mode: bool
) -> None:
    settings.OPEN_MODE = open_mode
    answer = client.get("/jobs", headers={"authorization": header, "host": "localhost"})
    assert answer.status_code == 401
    assert answer.json() == {"error": "Unauthorized", "detail": "Could not validate credentials", "status_code": 401}


def test_the_token_of_a_deactivated_user_is_401(client: Client, user: User) -> None:
    headers = {"authorization": f"Bearer {tokens_issue(user=user)[0]}"}
    user_deactivate(user=user)
    assert client.get("/auth/me", headers=headers).status_code == 401


def test_a_session_reads_without_and_writes_only_with_its_csrf_token(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get("/auth/me").status_code == 200
    refused = client.post("/jobs/training", "{}", content_type="application/json")
    assert refused.status_code == 403
    assert refused.json()["status_code"] == 403
    client.get("/login")
    token = client.cookies["csrftoken"].value
    headers = {"x-csrftoken": token}
    assert client.post("/jobs/training", "{}", content_type="application/json", headers=headers).status_code == 422


def test_a_token_counts_more_than_a_session(client: Client, user: User, make_user: Any) -> None:
    client.force_login(user)
    headers = {"authorization": f"Bearer {tokens_issue(user=make_user('bob'))[0]}"}
    assert client.get("/auth/me", headers=headers).json()["username"] == "bob"


def test_a_token_in_the_address_is_not_taken_by_ordinary_routes(client: Client, user: User) -> None:
    assert client.get(f"/auth/me?token={tokens_issue(user=user)[0]}").status_code == 401


def test_in_open_mode_the_contracts_without_authentication_take_anonymous_callers(
    client: Client, db: None, settings: Any
) -> None:
    settings.OPEN_MODE = True
    here = {"host": "localhost:8000"}
    assert client.get("/jobs", headers=here).status_code == 200
    assert User.objects.get().username == "local"
    assert client.get("/api/v1/datasets/ds_000000000000", headers=here).status_code == 404
    for path in ("/auth/me", "/v1/nope"):
        assert client.get(path, headers=here).status_code in (401, 404)
    assert client.get("/auth/me", headers=here).status_code == 401
    settings.OPEN_MODE = False
    assert client.get("/jobs", headers=here).status_code == 401


def test_a_deactivated_local_calls_nothing(client: Client, db: None, settings: Any) -> None:
    settings.OPEN_MODE = True
    user_deactivate(user=local_user())
    assert client.get("/jobs", headers={"host": "localhost"}).status_code == 401


@pytest.mark.parametrize("path", ["/jobs", "/api/v1/jobs", "/auth/me", "/v1/auth/token", "/ui/", "/admin/", "/health"])
def test_open_mode_answers_no_foreign_host_and_no_foreign_page(
    client: Client, db: None, settings: Any, path: str
) -> None:
    settings.OPEN_MODE = True
    for headers in (
        {"host": "evil.example"},
        {"host": "localhost:8000", "origin": "http://evil.example"},
        {"host": "localhost:8000", "origin": "null"},
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 403
        if dialect_for(path):
            assert answer["Content-Type"] == "application/json"
    assert not User.objects.exists()


def test_no_token_reaches_the_log(user: User, capfd: Any) -> None:
    access, key = tokens_issue(user=user)[0], api_key_create(owner=user)[1]
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    handler.addFilter(RedactSecrets())
    record = logging.getLogger("test")
    record.addHandler(handler)
    try:
        for token in (access, key):
            record.warning("GET /ws/1?token=%s HTTP/1.1", token)
            record.warning("Authorization: Bearer %s", token)
            record.warning("subprotocols ['bearer', '%s']", token)
            record.warning("it was %s", token)
            record.warning('{"password": "hunter22", "refresh_token": "%s", "api_key": "%s"}', token, token)
            try:
                raise ValueError(f"could not read token={token}")
            except ValueError:
                record.exception("failed")
    finally:
        record.removeHandler(handler)
    written = capfd.readouterr().err
    assert written.count("***") >= 10
    assert access not in written
    assert key not in written
    assert "hunter22" not in written
