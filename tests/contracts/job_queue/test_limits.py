"""Priorities and limits as the contract words them, and what a status answer costs."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from jobs import lifecycle
from jobs.models import Job, Worker
from tests.contracts.job_queue.test_contract import FOREST, Api
from tracking.models import User
from tracking.selectors import rates
from tracking.services.accounts import api_key_create, local_user

pytestmark = pytest.mark.django_db
CREDENTIALS = 1  # the key with its user; its last use is written once a minute


@pytest.fixture
def table(files_root: Path) -> None:
    (files_root / "tabular_data.csv").write_text("a,b,label\n1,2,x\n3,4,y\n5,6,x\n")


def api_of(user: User) -> Api:
    _, secret = api_key_create(owner=user, name="tests")
    return Api(secret)


def submitted(api: Api, **changes: Any) -> Job:
    status, answer = api.call("POST", "/jobs/training", FOREST | changes)
    assert status == 200, answer
    return Job.objects.get(pk=answer["job_id"].removeprefix("job_"))


@pytest.mark.parametrize("priority", [11, -11, 10**15, 0.5, "1", True, [], {}])
def test_what_is_no_priority_is_a_validation_error(user: User, table: None, priority: Any) -> None:
    status, answer = api_of(user).call("POST", "/jobs/training", FOREST | {"priority": priority})
    assert (status, answer["error"]) == (422, "Validation error")
    assert "priority" in answer["detail"]
    assert not Job.objects.exists()


def test_a_priority_above_0_is_for_operators(make_user: Any, user: User, table: None) -> None:
    status, answer = api_of(user).call("POST", "/jobs/training", FOREST | {"priority": 1})
    assert (status, answer) == (
        403,
        {
            "error": "Forbidden",
            "detail": "priority 1 is for operators; use 0, or a lower one for what can wait.",
            "status_code": 403,
        },
    )
    assert submitted(api_of(user), priority=-1).priority == -1
    assert submitted(api_of(make_user("operator", is_staff=True)), priority=10).priority == 10


def test_a_limit_of_pending_jobs_is_429_with_the_number_and_when_to_ask_again(
    user: User, table: None, settings: Any
) -> None:
    settings.JOBS = {**settings.JOBS, "max_pending_per_user": 1}
    api = api_of(user)
    submitted(api)
    status, answer = api.call("POST", "/jobs/training", FOREST)
    assert (status, answer) == (
        429,
        {
            "error": "Too Many Requests",
            "detail": "Your pending jobs: 1, of at most 1. Wait until some have begun, or cancel some, then submit "
            "again.",
            "status_code": 429,
        },
    )
    response = api.client.post("/jobs/training", FOREST, content_type="application/json")
    assert response.headers["Retry-After"] == "10"


def test_a_status_costs_one_query_beside_the_callers_credentials(
    user: User, table: None, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    api = api_of(user)
    job = submitted(api)
    now = lifecycle.database_now()
    worker = Worker.objects.create(
        name="w", kind="training", host="h", pid=1, queues=["sklearn"], started_at=now, heartbeat_at=now
    )
    monkeypatch.setattr(rates, "FRESH", 3600.0)
    api.call("GET", "/jobs?limit=0")  # users' own rates are read, and the key's last use is written, once in a while
    # Pending: also the database's clock, the workers, and its place in the queue.
    with django_assert_num_queries(CREDENTIALS + 1 + 2 + 3):
        assert api.call("GET", f"/jobs/{job.public_id}/status")[1]["status"] == "pending"
    lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    with django_assert_num_queries(CREDENTIALS + 1):
        assert api.call("GET", f"/jobs/{job.public_id}/status")[1]["status"] == "running"


def test_in_open_mode_a_status_costs_the_user_and_the_job(
    table: None, settings: Any, django_assert_num_queries: Any
) -> None:
    job = submitted(api_of(local_user()))
    lifecycle.cancel(job=job)
    settings.OPEN_MODE = True
    client = Client(headers={"Host": "localhost"})
    with django_assert_num_queries(2):
        answer = client.get(f"/jobs/{job.public_id}/status")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_status_is_shown_to_who_may_see_the_project(user: User, make_user: Any, table: None) -> None:
    job = submitted(api_of(user))
    bob = api_of(make_user("bob"))
    assert bob.call("GET", f"/jobs/{job.public_id}/status")[0] == 404
    assert job.project is not None
    job.project.is_public = True
    job.project.save()
    assert bob.call("GET", f"/jobs/{job.public_id}/status")[1]["job_id"] == job.public_id
    assert api_of(make_user("root", is_superuser=True)).call("GET", f"/jobs/{job.public_id}/status")[0] == 200
