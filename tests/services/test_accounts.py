"""Users, credentials, API keys."""

import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher, identify_hasher
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from automl_site.errors import Conflict, Forbidden, InvalidSpec, NotFound, RateLimited, Unauthenticated
from tracking.models import ApiKey, User
from tracking.selectors import local_user_id
from tracking.selectors.accounts import api_key_get, api_keys_of
from tracking.services.accounts import (
    api_key_create,
    api_key_revoke,
    credentials_check,
    local_user,
    operator_create,
    password_change,
    profile_update,
    tokens_issue,
    tokens_refresh,
    user_activate,
    user_deactivate,
    user_register,
)
from tracking.tokens import authenticate_token


def register(**fields: str) -> User:
    return user_register(**{"username": "ann", "email": "ann@example.com", "password": "password", **fields})


def test_the_documents_example_password_is_good_in_development(db: None) -> None:
    user = register(password="password")
    assert user.check_password("password")
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)


def test_production_refuses_a_common_password(db: None, settings: object) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [
        {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    ]
    with pytest.raises(InvalidSpec) as caught:
        register(password="password")
    assert caught.value.errors == {"password": ["This password is too common."]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a b"),
        ("username", "a\0b"),
        ("username", "a😀"),
        ("username", "x" * 151),
        ("username", "local"),
        ("username", "LOCAL"),
        ("email", ""),
        ("email", "ann"),
        ("email", "ann@"),
        ("email", "ann@exam\0ple.com"),
        ("email", "a" * 300 + "@example.com"),
        ("password", ""),
        ("password", "short"),
        ("password", "with\0nul-in-it"),
        ("password", "x" * 1025),
    ],
)
def test_what_cannot_be_a_user_is_refused_at_its_field(db: None, field: str, value: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        register(**{field: value})
    assert list(caught.value.errors) == [field]
    assert not User.objects.exists()


def test_letters_of_every_language_are_good_in_a_username(db: None) -> None:
    assert register(username="Zoë-東京").username == "Zoë-東京"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"username": "ANN", "email": "other@example.com"}, "username"),
        ({"username": "bob", "email": "Ann@Example.COM"}, "email"),
        # One signs in by name or by address, so neither may be the other of somebody else.
        ({"username": "ann@example.com", "email": "other@example.com"}, "username"),
    ],
)
def test_a_name_or_address_is_taken_in_any_case(db: None, fields: dict[str, str], complaint: str) -> None:
    register()
    with pytest.raises(InvalidSpec) as caught:
        register(**fields)
    assert list(caught.value.errors) == [complaint]


def test_closed_registration_is_forbidden(db: None, settings: object) -> None:
    settings.REGISTRATION_OPEN = False
    with pytest.raises(Forbidden):
        register()


@pytest.mark.django_db(transaction=True)
def test_of_two_registrations_of_one_name_at_once_one_wins() -> None:
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def run(email: str) -> None:
        start.wait(10)
        try:
            register(email=email)
            outcomes.append("made")
        except InvalidSpec:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(f"{name}@example.com",)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["made", "refused"]
    assert User.objects.filter(username="ann").count() == 1


def test_credentials_are_good_by_name_and_by_address_in_any_case(user: User) -> None:
    for name in ("ann", "ANN", " ann ", "Ann@Example.com"):
        assert credentials_check(username=name, password="password", address="192.0.2.1") == user


@pytest.mark.parametrize(
    ("username", "password"), [("ann", "wrong"), ("nobody", "password"), ("ann\0", "password"), ("ann", "pass\0word")]
)
def test_bad_credentials_are_told_the_same_whatever_is_wrong(user: User, username: str, password: str) -> None:
    with pytest.raises(Unauthenticated, match="^Could not validate credentials$"):
        credentials_check(username=username, password=password, address="192.0.2.1")


def test_a_deactivated_user_is_refused_like_a_wrong_password(user: User) -> None:
    user_deactivate(user=user)
    with pytest.raises(Unauthenticated, match="^Could not validate credentials$"):
        credentials_check(username="ann", password="password", address="192.0.2.1")


def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    db: None, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 100_000)  # a tenth of a second, not a whole one
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    settings.RATE_LIMITS = {}
    user = User.objects.create_user("ann", "ann@example.com", "password")
    assert identify_hasher(user.password).algorithm == "pbkdf2_sha256"

    def seconds(name: str) -> float:
        best = float("inf")
        for _ in range(4):
            begun = time.thread_time()  # of the processor, which others may have meanwhile
            with pytest.raises(Unauthenticated):
                credentials_check(username=name, password="wrong", address="192.0.2.1")
            best = min(best, time.thread_time() - begun)
        return best

    seconds("nobody")  # the first one makes the hash that stands in for a user's
    known, unknown = seconds("ann"), seconds("nobody")
    assert 0.5 < known / unknown < 2


def test_failed_attempts_are_limited_per_name(user: User, settings: object) -> None:
    settings.RATE_LIMITS = {"login": "3/m", "login_address": ""}
    for number in range(3):
        with pytest.raises(Unauthenticated):
            credentials_check(username="ann", password="wrong", address=f"192.0.2.{number}")
    with pytest.raises(RateLimited) as caught:
        credentials_check(username="ANN", password="password", address="192.0.2.9")
    assert 0 < caught.value.retry_after <= 60


def test_failed_attempts_are_limited_per_address(user: User, settings: object) -> None:
    settings.RATE_LIMITS = {"login": "", "login_address": "3/m"}
    for number in range(3):
        with pytest.raises(Unauthenticated):
            credentials_check(username=f"user{number}", password="wrong", address="192.0.2.1")
    with pytest.raises(RateLimited):
        credentials_check(username="ann", password="password", address="192.0.2.1")
    assert credentials_check(username="ann", password="password", address="192.0.2.2") == user


def test_good_attempts_are_not_counted(user: User, settings: object) -> None:
    settings.RATE_LIMITS = {"login": "3/m", "login_address": "3/m"}
    for _ in range(10):
        assert credentials_check(username="ann", password="password", address="192.0.2.1") == user


def test_a_jwt_ends_with_the_password(user: User) -> None:
    access, refresh = tokens_issue(user=user)
    assert authenticate_token(access) == user
    assert authenticate_token(refresh) is None, "a refresh token opens nothing"
    password_change(user=user, current="password", new="another password")
    assert authenticate_token(access) is None
    with pytest.raises(Unauthenticated):
        tokens_refresh(refresh_token=refresh)


def test_tokens_end_with_the_account_and_come_back_with_it(user: User) -> None:
    access, refresh = tokens_issue(user=user)
    _, secret = api_key_create(owner=user)
    user_deactivate(user=user)
    assert authenticate_token(access) is None
    assert authenticate_token(secret) is None
    with pytest.raises(Unauthenticated):
        tokens_refresh(refresh_token=refresh)
    user_activate(user=user)
    assert authenticate_token(secret) == user


def test_refreshing_gives_a_pair_that_works(user: User) -> None:
    access, refresh = tokens_refresh(refresh_token=tokens_issue(user=user)[1])
    assert authenticate_token(access) == user
    assert tokens_refresh(refresh_token=refresh)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "amk_", "amk_\0", "x" * 100_000, "ey" + "J" * 300])
def test_nonsense_is_no_token(db: None, token: str) -> None:
    assert authenticate_token(token) is None


def test_changing_the_password_asks_for_the_present_one(user: User) -> None:
    with pytest.raises(InvalidSpec) as caught:
        password_change(user=user, current="wrong", new="another password")
    assert list(caught.value.errors) == ["current"]
    with pytest.raises(InvalidSpec) as caught:
        password_change(user=user, current="password", new="short")
    assert list(caught.value.errors) == ["password"]


def test_an_api_key_is_kept_as_a_digest_only(user: User) -> None:
    key, secret = api_key_create(owner=user, name="notebook", days=30)
    assert authenticate_token(secret) == user
    assert secret.startswith(key.prefix + "_")
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert not any(secret in str(value) for value in row.values())
    assert secret.removeprefix(key.prefix + "_") not in str(row)
    assert timedelta(days=29.9) < key.expires_at - timezone.now() <= timedelta(days=30)


def test_a_key_that_was_revoked_or_has_expired_opens_nothing(user: User) -> None:
    revoked, secret = api_key_create(owner=user)
    api_key_revoke(key=revoked)
    assert authenticate_token(secret) is None
    when = revoked.revoked_at
    api_key_revoke(key=revoked)
    assert revoked.revoked_at == when, "the first time counts"
    expired, secret = api_key_create(owner=user)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert authenticate_token(secret) is None
    assert list(api_keys_of(user)) == []


def test_a_keys_last_use_is_written_at_most_once_a_minute(user: User, django_assert_num_queries: object) -> None:
    key, secret = api_key_create(owner=user)
    with django_assert_num_queries(2):
        assert authenticate_token(secret) == user
    with django_assert_num_queries(1):
        authenticate_token(secret)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now() - timedelta(minutes=2))
    with django_assert_num_queries(2):
        assert authenticate_token(secret) == user


@pytest.mark.parametrize(("name", "days"), [("x" * 101, 90), ("a\0b", 90), ("k", 0), ("k", -1), ("k", 3651)])
def test_a_keys_name_and_lifetime_have_bounds(user: User, name: str, days: int) -> None:
    with pytest.raises(InvalidSpec):
        api_key_create(owner=user, name=name, days=days)


@pytest.mark.django_db(transaction=True)
def test_the_number_of_live_keys_is_limited_also_when_made_at_once(make_user: object, settings: object) -> None:
    settings.API_KEYS_PER_USER = 3
    user = make_user("ann")
    start, refused = threading.Barrier(6), []

    def run() -> None:
        start.wait(10)
        try:
            api_key_create(owner=user)
        except Conflict as error:
            refused.append(error.message)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (api_keys_of(user).count(), len(refused)) == (3, 3)
    assert "3" in refused[0]
    api_key_revoke(key=api_keys_of(user)[0])
    assert api_key_create(owner=user)


def test_a_key_is_found_by_its_owner_only(user: User, make_user: object) -> None:
    key, _ = api_key_create(owner=user)
    assert api_key_get(user=user, key_id=key.pk) == key
    with pytest.raises(NotFound):
        api_key_get(user=make_user("bob"), key_id=key.pk)


def test_local_is_made_once_and_nobody_signs_in_as_it(db: None) -> None:
    assert local_user_id() is None
    local = local_user()
    assert local_user() == local
    assert local_user_id() == local.pk
    with pytest.raises(Unauthenticated):
        credentials_check(username="local", password="", address="192.0.2.1")
    with pytest.raises(Unauthenticated):
        credentials_check(username="local@localhost", password=local.password, address="192.0.2.1")


def test_in_open_mode_everyone_acts_for_local_too(user: User, settings: object) -> None:
    assert user.acts_as() == [user.pk]
    settings.OPEN_MODE = True
    local = local_user()
    assert set(User.objects.get(pk=user.pk).acts_as()) == {user.pk, local.pk}


def test_an_operator_is_made_or_made_of_a_user(db: None) -> None:
    operator = operator_create(username="operator", password="a long password")
    assert (operator.is_staff, operator.is_superuser) == (True, True)
    user_deactivate(user=operator)
    again = operator_create(username="operator", password="another password")
    assert again.pk == operator.pk
    assert again.is_active
    assert again.check_password("another password")


def test_a_profile_keeps_its_address_and_takes_nobody_elses(user: User, make_user: object) -> None:
    make_user("bob")
    profile_update(user=user, first_name=" Ann ", last_name="", email="ANN@example.com")
    assert User.objects.get(pk=user.pk).first_name == "Ann"
    with pytest.raises(InvalidSpec) as caught:
        profile_update(user=user, first_name="", last_name="", email="Bob@example.com")
    assert list(caught.value.errors) == ["email"]


def test_a_hash_of_an_older_hasher_is_renewed_at_the_next_sign_in(user: User, settings: object) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        *django_settings.PASSWORD_HASHERS,
    ]
    credentials_check(username="ann", password="password", address="192.0.2.1")
    user.refresh_from_db()
    assert identify_hasher(user.password).algorithm == "pbkdf2_sha256"


def test_the_database_itself_keeps_names_unique_in_any_case(user: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("ANN", "other@example.com", "password")
