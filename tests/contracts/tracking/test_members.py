"""Members over HTTP (an extension): what the services' tests prove, in the contract's words."""

from collections.abc import Callable

import pytest

from tests.contracts.tracking.conftest import Api
from tracking.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_member_is_added_changed_and_removed(
    api: Api, user: User, project_id: int, make_user: Callable[..., User], api_of: Callable[[User], Api], slash: str
) -> None:
    bob = make_user("bob")
    members = f"/projects/{project_id}/members"
    owner = {"user_id": user.pk, "username": "ann", "role": "owner"}
    assert api.call("GET", members + slash).body == [owner]
    added = api.call("POST", members + slash, {"username": "bob"})
    viewer = {"user_id": bob.pk, "username": "bob", "role": "viewer"}
    assert (added.status, added.body) == (201, viewer)
    theirs = api_of(bob)
    assert theirs.call("GET", members).body == [owner, viewer]
    assert theirs.call("POST", f"/runs/?project_id={project_id}", {"name": "x"}).status == 403
    changed = api.call("PUT", f"{members}/{bob.pk}{slash}", {**viewer, "role": "editor"})
    assert (changed.status, changed.body) == (200, {**viewer, "role": "editor"})
    assert theirs.call("POST", f"/runs/?project_id={project_id}", {"name": "x"}).status == 201
    assert api.call("DELETE", f"{members}/{bob.pk}{slash}").status == 204
    assert theirs.call("GET", members).status == 403


def test_the_last_owner_is_told_why_it_stays(api: Api, user: User, project_id: int) -> None:
    answer = api.call("DELETE", f"/projects/{project_id}/members/{user.pk}")
    assert answer.status == 400
    assert "at least one owner" in answer.body["detail"]


@pytest.mark.parametrize("number", [0, 10**17, 9 * 10**17])
def test_nobody_of_that_id_is_404(api: Api, project_id: int, number: int) -> None:
    for method, body in (("PUT", {"role": "viewer"}), ("DELETE", None)):
        assert api.call(method, f"/projects/{project_id}/members/{number}", body).status == 404


def test_a_member_twice_is_400(api: Api, project_id: int, make_user: Callable[..., User]) -> None:
    make_user("bob")
    answers = [api.call("POST", f"/projects/{project_id}/members", {"username": "bob"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 400]
    assert "bob is a member already" in answers[1].body["detail"]
