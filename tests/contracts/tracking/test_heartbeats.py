"""Heartbeats by the contract's extension: a path of their own, or a header of the metrics."""

import pytest

from tests.contracts.tracking.conftest import Api
from tracking.models import ProjectMember, Run, User

pytestmark = pytest.mark.django_db


def heard(run_id: int) -> bool:
    return Run.objects.get(pk=run_id).heartbeat_at is not None


def test_a_heartbeat_is_answered_204_with_and_without_the_slash(api: Api, run_id: int) -> None:
    for path in (f"/runs/{run_id}/heartbeat", f"/runs/{run_id}/heartbeat/"):
        answer = api.call("POST", path)
        assert (answer.status, answer.body) == (204, None)
    assert heard(run_id)
    assert api.call("GET", f"/runs/{run_id}/heartbeat").status == 405


@pytest.mark.parametrize(
    ("path", "body"),
    [("", {"name": "loss", "value": 1}), ("/batch", {"metrics": {"a": 1}}), ("/batch", {"series": {}})],
)
def test_metrics_carry_a_heartbeat_by_their_header(api: Api, run_id: int, path: str, body: object) -> None:
    api.call("POST", f"/metrics/{run_id}{path}", body)
    assert not heard(run_id)
    assert api.call("POST", f"/metrics/{run_id}{path}", body, **{"X-Run-Heartbeat": "120"}).status == 201
    assert heard(run_id)


def test_who_may_not_log_sends_none(api: Api, run_id: int, make_user, api_of) -> None:
    bob: User = make_user("bob")
    assert api_of(bob).call("POST", f"/runs/{run_id}/heartbeat").status == 403
    ProjectMember.objects.create(project=Run.objects.get().project, user=bob, role="viewer")
    assert api_of(bob).call("POST", f"/runs/{run_id}/heartbeat").status == 403
    assert api.call("POST", "/runs/999999/heartbeat").status == 404
    assert not heard(run_id)
