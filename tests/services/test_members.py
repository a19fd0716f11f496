"""Roles, and that a project always has an owner."""

import pytest

from automl_site.errors import Conflict, Forbidden, InvalidSpec, NotFound
from tracking.models import Project, ProjectMember
from tracking.selectors.projects import member_list, project_get, project_to_change, project_to_own
from tracking.services.members import member_add, member_remove, member_role_set
from tracking.services.projects import jobs_project, project_create, project_update

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(user):
    return project_create(owner=user, name="garden")


@pytest.fixture
def bob(make_user):
    return make_user("bob")


def roles(user, project):
    return [(member.user.username, member.role) for member in member_list(user=user, project_id=project.pk)]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("viewer", [project_get]), ("editor", [project_get, project_to_change]), ("owner", [project_get, project_to_own])],
)
def test_a_role_opens_what_it_says(user, project, bob, role, allowed):
    with pytest.raises(Forbidden):
        project_get(user=bob, project_id=project.pk)
    member_add(user=user, project_id=project.pk, username="BOB", role=role)
    assert roles(bob, project) == [("ann", "owner"), ("bob", role)]
    for select in (project_get, project_to_change, project_to_own):
        if select in allowed or role == "owner":
            assert select(user=bob, project_id=project.pk) == project
        else:
            with pytest.raises(Forbidden):
                select(user=bob, project_id=project.pk)


def test_only_owners_share_and_rename(user, project, bob, make_user):
    member_add(user=user, project_id=project.pk, username="bob", role="editor")
    make_user("carol")
    for act in (
        lambda: member_add(user=bob, project_id=project.pk, username="carol"),
        lambda: member_role_set(user=bob, project_id=project.pk, member_id=bob.pk, role="owner"),
        lambda: member_remove(user=bob, project_id=project.pk, member_id=user.pk),
        lambda: project_update(user=bob, project_id=project.pk, changes={"name": "mine"}),
    ):
        with pytest.raises(Forbidden):
            act()
    member_role_set(user=user, project_id=project.pk, member_id=bob.pk, role="owner")
    member_add(user=bob, project_id=project.pk, username="carol@example.com", role="viewer")
    assert roles(user, project) == [("ann", "owner"), ("bob", "owner"), ("carol", "viewer")]


def test_nobody_is_added_twice_or_without_a_name_or_role(user, project, bob):
    member_add(user=user, project_id=project.pk, username="bob")
    for username in ("bob", "ann"):
        with pytest.raises(Conflict, match="member already"):
            member_add(user=user, project_id=project.pk, username=username)
    with pytest.raises(InvalidSpec) as error:
        member_add(user=user, project_id=project.pk, username="nobody")
    assert list(error.value.errors) == ["username"]
    with pytest.raises(InvalidSpec) as error:
        member_add(user=user, project_id=project.pk, username="bob", role="king")
    assert list(error.value.errors) == ["role"]
    with pytest.raises(NotFound):
        member_role_set(user=user, project_id=project.pk, member_id=10**30, role="viewer")
    with pytest.raises(NotFound):
        member_remove(user=user, project_id=project.pk, member_id=10**30)


def test_everyone_may_leave_and_is_a_stranger_then(user, project, bob):
    member_add(user=user, project_id=project.pk, username="bob")
    member_remove(user=bob, project_id=project.pk, member_id=bob.pk)
    with pytest.raises(Forbidden):
        project_get(user=bob, project_id=project.pk)


def test_the_last_owner_stays(user, project, bob):
    member_add(user=user, project_id=project.pk, username="bob", role="editor")
    with pytest.raises(Conflict, match="at least one owner"):
        member_remove(user=user, project_id=project.pk, member_id=user.pk)
    with pytest.raises(Conflict, match="at least one owner"):
        member_role_set(user=user, project_id=project.pk, member_id=user.pk, role="viewer")
    assert roles(user, project) == [("ann", "owner"), ("bob", "editor")]


def test_who_made_a_project_hands_it_on_by_leaving_or_by_another_role(user, project, bob):
    member_add(user=user, project_id=project.pk, username="bob", role="owner")
    member_role_set(user=user, project_id=project.pk, member_id=user.pk, role="editor")
    assert Project.objects.get().owner == bob
    assert roles(bob, project) == [("bob", "owner"), ("ann", "editor")]
    member_role_set(user=bob, project_id=project.pk, member_id=user.pk, role="owner")
    member_remove(user=bob, project_id=project.pk, member_id=bob.pk)
    assert roles(user, project) == [("ann", "owner")]
    assert not ProjectMember.objects.exists()


def test_the_project_of_a_users_jobs_stays_that_users(user, bob):
    project = jobs_project(user)
    member_add(user=user, project_id=project.pk, username="bob", role="owner")
    with pytest.raises(Forbidden, match="stays"):
        member_remove(user=bob, project_id=project.pk, member_id=user.pk)
