"""Who is at the other end of a WebSocket."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from tracking.models import User
from tracking.services.accounts import api_key_create, tokens_issue, user_deactivate
from tracking.sockets import accepted_subprotocol, websocket_user

pytestmark = pytest.mark.django_db(transaction=True)  # it is looked up on threads of its own
ORIGIN = "http://localhost:8000"


def scope(*, query: str = "", subprotocols: tuple[str, ...] = (), **headers: str) -> dict[str, Any]:
    headers = {"host": "localhost:8000", **headers}
    return {
        "type": "websocket",
        "query_string": query.encode(),
        "subprotocols": list(subprotocols),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def who(**kwargs: Any) -> User | None:
    return async_to_sync(websocket_user)(scope(**kwargs))


@pytest.fixture
def cookie(client: Client, user: User) -> str:
    client.force_login(user)
    return f"a=b; sessionid={client.cookies['sessionid'].value}"


def test_a_token_is_taken_from_the_address_and_from_the_subprotocols(user: User) -> None:
    for token in (tokens_issue(user=user)[0], api_key_create(owner=user)[1]):
        assert who(query=f"last_id=0&token={token}") == user
        assert who(subprotocols=("bearer", token)) == user
    assert accepted_subprotocol(scope(subprotocols=("bearer", "x"))) == "bearer"
    assert accepted_subprotocol(scope(subprotocols=("chat",))) is None


@pytest.mark.parametrize("open_mode", [False, True])
def test_a_wrong_token_is_nobody_whatever_else_there_is(cookie: str, settings: Any, open_mode: bool) -> None:
    settings.OPEN_MODE = open_mode
    for wrong in ({"query": "token=x"}, {"query": "token="}, {"subprotocols": ("bearer",)}):
        assert who(cookie=cookie, origin=ORIGIN, **wrong) is None
    assert who(cookie=cookie, origin=ORIGIN, subprotocols=("bearer", "x")) is None


def test_a_session_serves_pages_of_this_site_only(cookie: str, user: User) -> None:
    assert who(cookie=cookie, origin=ORIGIN) == user
    assert who(cookie=cookie, origin="http://evil.example") is None
    assert who(cookie=cookie, origin="null") is None
    assert who(cookie=cookie) is None, "a browser always says where a socket was opened"
    user_deactivate(user=user)
    assert who(cookie=cookie, origin=ORIGIN) is None


def test_without_credentials_it_is_nobody() -> None:
    assert who() is None
    assert who(cookie="sessionid=nonsense", origin=ORIGIN) is None


def test_in_open_mode_it_is_local_but_for_foreign_hosts_and_pages(user: User, settings: Any) -> None:
    settings.OPEN_MODE = True
    local = who()
    assert local is not None
    assert local.username == "local"
    assert who(origin=ORIGIN) == local
    assert who(origin="http://evil.example") is None
    assert who(host="evil.example") is None
    token = tokens_issue(user=user)[0]
    assert who(query=f"token={token}", origin="http://evil.example") is None
