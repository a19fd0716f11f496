"""What a run was made with, by the contract's extension."""

import pytest

from api.tracking import documents
from tests.contracts.tracking.conftest import Api

pytestmark = pytest.mark.django_db


def test_it_is_sent_with_the_run_and_read_apart(api: Api, project_id: int, run_id: int) -> None:
    path = f"/runs/{run_id}/environment"
    assert api.call("GET", path).body == {"environment": {}, "git": {}}
    for method, where in (("POST", f"/runs/?project_id={project_id}"), ("PUT", f"/runs/{run_id}")):
        answer = api.call(method, where, {"name": "rose", **documents.ENVIRONMENT})
        assert answer.status in (200, 201)
        assert "git" not in answer.body  # a diff may be long
        assert api.call("GET", f"/runs/{answer.body['id']}/environment").body == documents.ENVIRONMENT


@pytest.mark.parametrize("value", ["x", 5, [], True])
@pytest.mark.parametrize("field", ["environment", "git"])
def test_what_is_no_object_is_refused(api: Api, run_id: int, field: str, value: object) -> None:
    answer = api.call("PUT", f"/runs/{run_id}", {field: value})
    assert answer.status == 400
    assert list(answer.body["errors"]) == [field]


def test_a_stranger_does_not_read_it(api: Api, run_id: int, make_user, api_of) -> None:
    assert api_of(make_user("bob")).call("GET", f"/runs/{run_id}/environment").status == 403
    assert api.call("GET", "/runs/999999/environment").status == 404
