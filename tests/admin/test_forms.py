"""What operators edit by hand is held to the same rules as what everybody else does through the services."""

from typing import Any

import pytest
from django.test import Client

from tests.admin.test_walk import address
from tests.pages_server.things import Things
from tracking.models import Project, User
from tracking.services.accounts import api_key_create, local_user
from tracking.services.projects import jobs_project
from tracking.tokens import authenticate_token


def form_of(user: User, **changes: Any) -> dict[str, Any]:
    """What the page of `user` sends back; None leaves a box unticked."""
    form = {
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "is_active": "on" if user.is_active else None,
        "is_staff": "on" if user.is_staff else None,
        "is_superuser": "on" if user.is_superuser else None,
    } | changes
    return {name: value for name, value in form.items() if value is not None}


def saved(client: Client, user: User, **changes: Any) -> dict[str, list[str]]:
    """Send the page of `user`; the complaints by field, none where it was saved."""
    answer = client.post(address(User, "change", user.pk), form_of(user, **changes))
    if answer.status_code == 302:
        return {}
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


# --- Users ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", ["is_active", "is_staff", "is_superuser"])
def test_operators_do_not_lock_themselves_out(admin_client: Client, operator: User, box: str) -> None:
    errors = saved(admin_client, operator, **{box: None})
    assert list(errors) == [box]
    assert "ask another operator" in errors[box][0]
    operator.refresh_from_db()
    assert getattr(operator, box)
    assert saved(admin_client, operator, first_name="Olga") == {}
    assert admin_client.get(address(User, "changelist")).status_code == 200


@pytest.mark.parametrize("box", ["is_active", "is_staff", "is_superuser"])
def test_operators_take_rights_from_each_other(admin_client: Client, make_user: Any, box: str) -> None:
    other = make_user("other", is_staff=True, is_superuser=True)
    assert saved(admin_client, other, **{box: None}) == {}
    other.refresh_from_db()
    assert not getattr(other, box)


def test_an_account_that_is_unticked_is_deactivated_as_the_service_does_it(
    admin_client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracking import admin

    called = []
    for name in ("user_deactivate", "user_activate"):
        service = getattr(admin, name)

        def call(*, user: User, name: str = name, service: Any = service) -> None:
            called.append((name, User.objects.get(pk=user.pk).is_active))
            service(user=user)

        monkeypatch.setattr(admin, name, call)
    _, secret = api_key_create(owner=user)
    assert saved(admin_client, user, is_active=None, first_name="Ann") == {}
    user.refresh_from_db()
    assert (user.is_active, user.first_name) == (False, "Ann")
    assert authenticate_token(secret) is None
    assert saved(admin_client, user, is_active="on") == {}
    assert authenticate_token(secret) == user
    assert called == [("user_deactivate", True), ("user_activate", False)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "local"}, "username"),
        ({"username": "BOB"}, "username"),
        ({"username": "bob@example.com"}, "username"),
        ({"username": "a\0b"}, "username"),
        ({"email": "BOB@example.com"}, "email"),
        ({"email": "nothing"}, "email"),
    ],
)
def test_a_name_and_an_address_are_those_that_registration_takes(
    admin_client: Client, user: User, make_user: Any, change: dict[str, str], field: str
) -> None:
    make_user("bob")
    assert list(saved(admin_client, user, **change)) == [field]
    form = {"username": "new", "email": "new@example.com", "password1": "long-enough-7", "password2": "long-enough-7"}
    answer = admin_client.post(address(User, "add"), form | change)
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]


def test_the_user_of_the_open_mode_keeps_its_name(admin_client: Client) -> None:
    local = local_user()
    assert saved(admin_client, local, first_name="Everybody") == {}
    local.refresh_from_db()
    assert (local.username, local.first_name) == ("local", "Everybody")


@pytest.mark.parametrize("password", ["short", "x" * 2000, "a\0b-long-enough"])
def test_a_password_is_one_that_the_service_takes(admin_client: Client, user: User, password: str) -> None:
    form = {"password1": password, "password2": password, "usable_password": "true"}
    answer = admin_client.post(f"/admin/tracking/user/{user.pk}/password/", form)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    user.refresh_from_db()
    assert user.check_password("password")
    form = {"password1": "long-enough-7", "password2": "long-enough-7", "usable_password": "true"}
    assert admin_client.post(f"/admin/tracking/user/{user.pk}/password/", form).status_code == 302
    user.refresh_from_db()
    assert user.check_password("long-enough-7")


def test_a_user_without_a_password_is_made_so(admin_client: Client, user: User) -> None:
    form = {"password1": "", "password2": "", "usable_password": "false", "unset-password": "yes"}
    assert admin_client.post(f"/admin/tracking/user/{user.pk}/password/", form).status_code == 302
    user.refresh_from_db()
    assert not user.has_usable_password()


# --- Projects ---------------------------------------------------------------------------------------------------------

NO_MEMBERS = {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}


@pytest.mark.parametrize(
    "change", [{"name": "a\0b"}, {"name": "  "}, {"name": "x" * 201}, {"description": "x" * 10_001}]
)
def test_a_project_that_the_service_refuses_is_refused_at_the_field(
    admin_client: Client, user: User, change: dict[str, str]
) -> None:
    form = {"name": "garden", "description": "", "owner": user.pk, **NO_MEMBERS}
    answer = admin_client.post(address(Project, "add"), form | change)
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == list(change)
    assert admin_client.post(address(Project, "add"), form | {"name": " garden "}).status_code == 302
    assert Project.objects.get().name == "garden"


def test_a_project_of_jobs_is_not_given_away(admin_client: Client, things: Things, user: User, make_user: Any) -> None:
    project, other = jobs_project(user), make_user("bob")
    jobs_project(other)
    form = {"name": "Jobs", "description": "mine", "owner": other.pk, **NO_MEMBERS}
    assert admin_client.post(address(Project, "change", project.pk), form).status_code == 302
    project.refresh_from_db()
    assert (project.owner, project.description) == (user, "mine")
