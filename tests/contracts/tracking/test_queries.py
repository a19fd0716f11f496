"""What each endpoint asks of the database: as much for many things as for one."""

from typing import Any

import pytest

from api.tracking import documents
from tests.contracts.tracking.conftest import Api

pytestmark = pytest.mark.django_db

CREDENTIALS = 2  # the key with its user, and when the key was last used

# Statements of the endpoint itself; in a transaction, its savepoints too.
READS = {
    "/projects/": 2,  # the page, the total
    "/projects/{project_id}": 1,
    "/projects/{project_id}/members": 3,
    "/runs/": 2,
    "/runs/?project_id={project_id}": 3,
    "/runs/{run_id}": 1,
    "/metrics/{run_id}": 3,  # run, series, segments
    "/metrics/{run_id}?metric_name=loss": 3,
    "/metrics/{run_id}/history/loss": 3,
    "/metrics/{run_id}/summary": 2,
}
WRITES = {
    "PUT /runs/{run_id}": ({"status": "completed"}, 10),
    "POST /metrics/{run_id}": (documents.METRIC_IN, 12),
    "POST /metrics/{run_id}/batch": (documents.BATCH_METRICS, 11),
}


def fill(api: Api, project_id: int, run_id: int, count: int) -> None:
    for number in range(count):
        api.call("POST", "/projects/", {"name": f"p{number}"})
        api.call("POST", f"/runs/?project_id={project_id}", {"name": f"r{number}"})
        api.call("POST", f"/metrics/{run_id}/batch", {"metrics": {f"m{number}": 1, "loss": 1}})


@pytest.mark.parametrize("path", READS)
def test_a_read_asks_no_more_for_many_than_for_one(
    api: Api, project_id: int, run_id: int, path: str, django_assert_max_num_queries: Any
) -> None:
    where = path.format(project_id=project_id, run_id=run_id)
    for count in (1, 10):
        fill(api, project_id, run_id, count)
        api.call("GET", where)
        with django_assert_max_num_queries(CREDENTIALS + READS[path]):
            assert api.call("GET", where).status == 200


@pytest.mark.parametrize("call", WRITES)
def test_a_write_asks_no_more_among_many_than_among_few(
    api: Api, project_id: int, run_id: int, call: str, django_assert_max_num_queries: Any
) -> None:
    method, path = call.split()
    body, limit = WRITES[call]
    fill(api, project_id, run_id, 10)
    api.call("GET", "/projects/")
    with django_assert_max_num_queries(CREDENTIALS + limit):
        assert api.call(method, path.format(run_id=run_id), body).status in (200, 201)
