"""What each endpoint asks of the database: as much for many things as for one."""

from typing import Any

import pytest

from api.tracking import documents
from tests.contracts.tracking.conftest import Api
from tracking import store
from tracking.models import Project
from tracking.services.metrics import points_log
from tracking.services.projects import project_create
from tracking.services.runs import run_create

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


def fill(project_id: int, run_id: int, count: int) -> None:
    project = Project.objects.get(pk=project_id)
    for number in range(count):
        project_create(owner=project.owner, name=f"p{number}")
        run_create(project=project, name=f"r{number}", config={}, tags=[])
        points_log(run_id=run_id, points=[store.Point(f"m{number}", 1.0), store.Point("loss", 1.0)])


@pytest.mark.parametrize("path", READS)
def test_a_read_asks_no_more_for_many_than_for_one(
    api: Api, project_id: int, run_id: int, path: str, django_assert_max_num_queries: Any
) -> None:
    where = path.format(project_id=project_id, run_id=run_id)
    for count in (1, 10):
        fill(project_id, run_id, count)
        api.call("GET", where)
        with django_assert_max_num_queries(CREDENTIALS + READS[path]):
            assert api.call("GET", where).status == 200


@pytest.mark.parametrize("call", WRITES)
def test_a_write_asks_no_more_among_many_than_among_few(
    api: Api, project_id: int, run_id: int, call: str, django_assert_max_num_queries: Any
) -> None:
    method, path = call.split()
    body, limit = WRITES[call]
    fill(project_id, run_id, 10)
    api.call("GET", "/projects/")
    with django_assert_max_num_queries(CREDENTIALS + limit):
        assert api.call(method, path.format(run_id=run_id), body).status in (200, 201)
