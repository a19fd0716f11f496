"""/auth of the tracking contract and /v1/auth/token of automl, as their documents show them."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.contracts.golden import assert_golden
from tracking.models import ApiKey, User

GOLDEN = Path(__file__).parent / "golden"
DOCUMENTED = {"email": "user@example.com", "username": "username", "password": "password"}


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def bearer(client: Client, username: str = "ann", password: str = "password") -> dict[str, str]:
    answer = client.post(
        "/auth/login", f"username={username}&password={password}", content_type="application/x-www-form-urlencoded"
    )
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_register_answers_the_documents_user(client: Client, db: None, slash: str) -> None:
    answer = post(client, f"/auth/register{slash}", DOCUMENTED)
    assert answer.status_code == 201
    assert answer.json()["id"] == User.objects.get().pk
    assert_golden(GOLDEN, "user", {**answer.json(), "id": 1})


def test_the_whole_way_from_register_to_me(client: Client, db: None) -> None:
    post(client, "/auth/register", DOCUMENTED)
    login = client.post(
        "/auth/login", "username=username&password=password", content_type="application/x-www-form-urlencoded"
    )
    assert login.status_code == 200
    assert login["Cache-Control"] == "no-store"
    assert_golden(GOLDEN, "login", {**login.json(), "access_token": "<jwt>", "refresh_token": "<jwt>"})
    me = client.get("/auth/me", headers={"authorization": f"Bearer {login.json()['access_token']}"})
    assert me.status_code == 200
    assert_golden(GOLDEN, "user", {**me.json(), "id": 1})


@pytest.mark.parametrize(
    "form",
    [
        "username=ann&password=password&grant_type=password&scope=&client_id=x&client_secret=y",
        "username=ann%40example.com&password=password",
    ],
)
def test_login_takes_the_whole_oauth2_form(client: Client, user: User, form: str) -> None:
    assert client.post("/auth/login", form, content_type="application/x-www-form-urlencoded").status_code == 200


def test_login_tolerates_json(client: Client, user: User) -> None:
    assert post(client, "/auth/login/", {"username": "ann", "password": "password"}).status_code == 200


def test_a_wrong_password_is_401_in_the_documents_words(client: Client, user: User) -> None:
    answer = post(client, "/auth/login", {"username": "ann", "password": "wrong"})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Could not validate credentials"}
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_login_looks_at_its_body_only(client: Client, user: User) -> None:
    answer = post(client, "/auth/login", {"username": "ann", "password": "password"}, authorization="Bearer old")
    assert answer.status_code == 200


def test_a_refresh_token_gives_a_new_pair(client: Client, user: User) -> None:
    pair = post(client, "/auth/login", {"username": "ann", "password": "password"}).json()
    answer = post(client, "/auth/refresh", {"refresh_token": pair["refresh_token"]})
    assert answer.status_code == 200
    assert_golden(GOLDEN, "login", {**answer.json(), "access_token": "<jwt>", "refresh_token": "<jwt>"})
    assert (
        client.get("/auth/me", headers={"authorization": f"Bearer {answer.json()['access_token']}"}).status_code == 200
    )
    assert post(client, "/auth/refresh", {"refresh_token": pair["access_token"]}).status_code == 401


@pytest.mark.parametrize("field", ["username", "email"])
def test_a_second_user_of_the_same_name_in_any_case_is_400(client: Client, db: None, field: str) -> None:
    post(client, "/auth/register", DOCUMENTED)
    other = {"email": "other@example.com", "username": "other", "password": "password"}
    answer = post(client, "/auth/register", {**other, field: DOCUMENTED[field].upper()})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Validation error"
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": None}, "email"),
        ({"email": 5}, "email"),
        ({"email": "nobody"}, "email"),
        ({"username": ""}, "username"),
        ({"username": "   "}, "username"),
        ({"username": ["a"]}, "username"),
        ({"username": "a\x00b"}, None),
        ({"username": "😀"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"password": True}, "password"),
        ({"password": "short"}, "password"),
        ({"usernam": "x"}, "usernam"),
        ({"id": 7}, "id"),
        ({"is_superuser": True}, "is_superuser"),
    ],
)
def test_bad_input_is_400_at_its_field(client: Client, db: None, change: dict[str, Any], field: str | None) -> None:
    answer = post(client, "/auth/register", {**DOCUMENTED, **change})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Validation error"
    assert field is None or list(answer.json()["errors"]) == [field]
    assert not User.objects.exists()


def test_an_unknown_field_names_the_nearest_known_one(client: Client, db: None) -> None:
    errors = post(client, "/auth/register", {**DOCUMENTED, "pasword": "x"}).json()["errors"]
    assert errors == {"pasword": ["Unknown field 'pasword'; did you mean 'password'?"]}


def test_closed_registration_is_403(client: Client, db: None, settings: object) -> None:
    settings.REGISTRATION_OPEN = False
    answer = post(client, "/auth/register", DOCUMENTED)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "Not enough permissions"
    assert "closed" in answer.json()["reason"]


def test_too_many_failed_attempts_are_429_with_a_time_to_wait(client: Client, user: User, settings: object) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "login": "2/m"}
    codes = [post(client, "/auth/login", {"username": "ann", "password": "wrong"}).status_code for _ in range(3)]
    assert codes == [401, 401, 429]
    for path in ("/auth/login", "/v1/auth/token"):
        answer = post(client, path, {"username": "ann", "password": "password"})
        assert answer.status_code == 429
        assert 1 <= int(answer["Retry-After"]) <= 60
        assert answer.json() == {"detail": "Too many failed attempts to sign in; try again later."}


def test_too_many_registrations_of_one_address_are_429(client: Client, db: None, settings: object) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "register": "1/h"}
    assert post(client, "/auth/register", DOCUMENTED).status_code == 201
    answer = post(client, "/auth/register", {**DOCUMENTED, "username": "b", "email": "b@example.com"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) <= 3600


def test_me_without_credentials_is_401(client: Client, db: None) -> None:
    answer = client.get("/auth/me")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Could not validate credentials"})


def test_me_says_that_one_is_an_operator(client: Client, make_user: Any) -> None:
    make_user("root", is_superuser=True)
    assert client.get("/auth/me", headers=bearer(client, "root")).json()["is_superuser"] is True


def test_a_token_is_a_new_api_key_that_works(client: Client, user: User) -> None:
    answer = post(client, "/v1/auth/token", {"username": "ann", "password": "password"})
    assert answer.status_code == 201
    key = answer.json()["api_key"]
    assert answer.json() == {"api_key": key, "access_token": key, "token_type": "bearer"}
    assert client.get("/auth/me", headers={"authorization": f"Bearer {key}"}).json()["username"] == "ann"
    again = post(client, "/v1/auth/token/", {"username": "ann", "password": "password"}).json()["api_key"]
    assert again != key
    assert ApiKey.objects.count() == 2


def test_more_keys_than_allowed_are_refused_in_automls_words(client: Client, user: User, settings: object) -> None:
    settings.API_KEYS_PER_USER = 1
    post(client, "/v1/auth/token", {"username": "ann", "password": "password"})
    answer = post(client, "/v1/auth/token", {"username": "ann", "password": "password"})
    assert answer.status_code == 409
    assert "revoke one" in answer.json()["detail"].lower()


def test_a_token_for_wrong_credentials_is_401(client: Client, user: User) -> None:
    answer = post(client, "/v1/auth/token", {"username": "ann", "password": "wrong"})
    assert (answer.status_code, answer.json()) == (401, {"detail": "Could not validate credentials"})


def test_the_documents_limits_are_per_user(client: Client, user: User, make_user: Any, settings: object) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": "2/m"}
    make_user("bob")
    ann, bob = bearer(client), bearer(client, "bob")
    assert [client.get("/auth/me", headers=ann).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/auth/me", headers=bob).status_code == 200
    assert int(client.get("/auth/me", headers=ann)["Retry-After"]) <= 60
