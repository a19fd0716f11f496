"""The pages to sign in, to register, and to look after an account, without a browser."""

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from tests.conftest import wait_until
from tracking.models import ApiKey, User
from tracking.services.accounts import api_key_create, tokens_issue, user_deactivate
from tracking.tokens import authenticate_token

REGISTRATION = {"username": "bob", "email": "bob@example.com", "password": "password", "password_again": "password"}


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def test_signing_in_leads_to_the_dashboard(client: Client, user: User) -> None:
    assert "csrfmiddlewaretoken" in client.get("/login").content.decode()
    answer = client.post("/login", {"username": "ann", "password": "password"})
    assert (answer.status_code, answer["Location"]) == (302, "/ui/")
    assert client.get("/ui/account/").status_code == 200


def test_one_signs_in_by_address_too(client: Client, user: User) -> None:
    assert client.post("/login", {"username": "Ann@example.com", "password": "password"}).status_code == 302


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("/ui/jobs/", "/ui/jobs/"),
        ("https://evil.example/", "/ui/"),
        ("//evil.example", "/ui/"),
        ("/\\evil.example", "/ui/"),
        ("javascript:alert(1)", "/ui/"),
    ],
)
def test_next_leads_only_within_the_site(client: Client, user: User, target: str, where: str) -> None:
    answer = client.post("/login", {"username": "ann", "password": "password", "next": target})
    assert answer["Location"] == where
    answer = client.post("/register", {**REGISTRATION, "next": target})
    assert answer["Location"] == where


def test_wrong_and_deactivated_are_told_the_same(client: Client, user: User) -> None:
    wrong = client.post("/login", {"username": "ann", "password": "wrong"}).content.decode()
    user_deactivate(user=user)
    gone = client.post("/login", {"username": "ann", "password": "password"}).content.decode()
    for page in (wrong, gone):
        assert "The user name or the password is wrong." in page


def test_too_many_attempts_are_429(client: Client, user: User, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "login": "1/m"}
    client.post("/login", {"username": "ann", "password": "wrong"})
    answer = client.post("/login", {"username": "ann", "password": "password"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) <= 61
    assert "Too many failed attempts" in answer.content.decode()


@pytest.mark.parametrize("path", ["/login", "/register", "/logout", "/password-reset/", "/ui/account/"])
def test_no_form_is_taken_without_its_csrf_token(user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    answer = client.post(path, {"username": "ann", "password": "password"}, headers={"accept": "text/html"})
    assert answer.status_code == 403
    assert answer["Content-Type"].startswith("text/html")


def test_signing_out_is_a_post(signed_in: Client) -> None:
    assert signed_in.get("/logout").status_code == 405
    assert signed_in.post("/logout").status_code == 200
    assert signed_in.get("/ui/account/").status_code == 302


def test_registering_signs_in(client: Client, db: None) -> None:
    assert client.get("/register").status_code == 200
    assert client.post("/register", REGISTRATION).status_code == 302
    assert "bob" in client.get("/ui/account/").content.decode()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"username": "ANN"}, "A user with that username already exists."),
        ({"email": "ANN@example.com"}, "A user with that e-mail address already exists."),
        ({"username": "a b"}, "Enter a valid username"),
        ({"username": "a\0b"}, "Null characters are not allowed."),
        ({"password": "short", "password_again": "short"}, "too short"),
        ({"password_again": "other"}, "not the same"),
    ],
)
def test_what_is_wrong_stands_at_its_field(client: Client, user: User, change: dict[str, str], complaint: str) -> None:
    answer = client.post("/register", {**REGISTRATION, **change})
    assert answer.status_code == 200
    assert complaint in answer.content.decode()
    assert User.objects.count() == 1


def test_closed_registration_offers_no_form(client: Client, db: None, settings: Any) -> None:
    settings.REGISTRATION_OPEN = False
    assert client.post("/register", REGISTRATION).status_code == 403
    page = client.get("/register")
    assert "Registration is closed" in page.content.decode()
    assert not User.objects.exists()


def test_the_account_page_asks_to_sign_in(client: Client, db: None) -> None:
    for path in ("/ui/account/", "/ui/account/password/"):
        assert client.get(path)["Location"] == f"/login?next={path}"


def test_a_key_is_made_shown_once_and_revoked(signed_in: Client, user: User) -> None:
    page = signed_in.post("/ui/account/", {"action": "key_create", "name": "notebook", "days": "30"})
    secret = re.search(r"amk_[0-9a-f]{8}_[\w-]+", page.content.decode())[0]
    assert "no-store" in page["Cache-Control"]
    assert authenticate_token(secret) == user
    again = signed_in.get("/ui/account/").content.decode()
    assert secret not in again
    assert "notebook" in again
    signed_in.post("/ui/account/", {"action": "key_revoke", "key": str(ApiKey.objects.get().pk)})
    assert authenticate_token(secret) is None


@pytest.mark.parametrize("key", ["", "x", "0", "99999999999999999999999", "²", "-1"])
def test_revoking_what_is_no_key_of_ones_own_is_404(signed_in: Client, make_user: Any, key: str) -> None:
    others, secret = api_key_create(owner=make_user("bob"))
    assert signed_in.post("/ui/account/", {"action": "key_revoke", "key": key}).status_code == 404
    assert signed_in.post("/ui/account/", {"action": "key_revoke", "key": str(others.pk)}).status_code == 404
    assert authenticate_token(secret)


def test_too_many_keys_are_said_at_the_form(signed_in: Client, settings: Any) -> None:
    settings.API_KEYS_PER_USER = 0
    page = signed_in.post("/ui/account/", {"action": "key_create", "name": "k", "days": "30"})
    assert "Revoke one first" in page.content.decode()


def test_the_profile_is_saved(signed_in: Client, user: User, make_user: Any) -> None:
    make_user("bob")
    form = {"action": "profile", "first_name": "Ann", "last_name": "Lee", "email": "ann@example.org"}
    assert signed_in.post("/ui/account/", form).status_code == 302
    user.refresh_from_db()
    assert (user.get_full_name(), user.email) == ("Ann Lee", "ann@example.org")
    page = signed_in.post("/ui/account/", {**form, "email": "BOB@example.com"})
    assert "already exists" in page.content.decode()


def test_changing_the_password_keeps_this_session_and_ends_the_others(signed_in: Client, user: User) -> None:
    other = Client()
    other.force_login(user)
    access, _ = tokens_issue(user=user)
    assert signed_in.get("/ui/account/password/").status_code == 200
    form = {"current": "password", "password": "another password", "password_again": "another password"}
    wrong = signed_in.post("/ui/account/password/", {**form, "current": "wrong"})
    assert "not your present password" in wrong.content.decode()
    assert signed_in.post("/ui/account/password/", form, follow=True).status_code == 200
    assert signed_in.get("/ui/account/").status_code == 200
    assert other.get("/ui/account/").status_code == 302
    assert authenticate_token(access) is None


def test_a_password_is_reset_by_mail_once(client: Client, user: User) -> None:
    assert client.get("/password-reset/").status_code == 200
    assert client.post("/password-reset/", {"email": "ANN@example.com"}, follow=True).status_code == 200
    wait_until(lambda: mail.outbox, what="the mail")
    link = re.search(r"http://testserver(/password-reset/\S+)", mail.outbox[0].body)[1]
    page = client.get(link, follow=True)
    form = {"new_password1": "another password", "new_password2": "another password"}
    short = client.post(page.request["PATH_INFO"], {"new_password1": "short", "new_password2": "short"})
    assert "too short" in short.content.decode()
    assert client.post(page.request["PATH_INFO"], form, follow=True).status_code == 200
    assert client.post("/login", {"username": "ann", "password": "another password"}).status_code == 302
    assert "used up" in Client().get(link, follow=True).content.decode()


def test_asking_for_a_reset_does_not_tell_who_has_an_account(client: Client, user: User, make_user: Any) -> None:
    user_deactivate(user=make_user("gone"))
    answers = [
        client.post("/password-reset/", {"email": address}, follow=True)
        for address in ("ann@example.com", "nobody@example.com", "gone@example.com")
    ]
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(answer.redirect_chain) for answer in answers}) == 1
    wait_until(lambda: mail.outbox, what="the mail")
    assert [message.to for message in mail.outbox] == [["ann@example.com"]]


def test_asking_for_resets_is_limited_per_address(client: Client, user: User, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "password_reset": "1/h"}
    codes = [client.post("/password-reset/", {"email": "x@example.com"}).status_code for _ in range(2)]
    assert codes == [302, 429]


def test_the_admin_uses_the_same_door(client: Client, user: User) -> None:
    answer = client.get("/admin/login/?next=/admin/")
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=/admin/")
    client.force_login(user)
    assert "may not open that page" in client.get("/admin/", follow=True).content.decode()
