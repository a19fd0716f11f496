"""A page asks the database as often for ten things as for three. The numbers are pinned: a rise wants a reason."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from jobs import lifecycle
from jobs.models import Worker
from tests.pages_server.things import Things, worker
from tracking import store
from tracking.services.accounts import api_key_create
from tracking.services.metrics import points_log
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.stream import Point

FEW, MANY = 3, 10


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short that ten things of each kind fill more than one."""
    monkeypatch.setattr("jobs.views.jobs.PAGE", 20)
    monkeypatch.setattr("jobs.views.models.PAGE", 8)


Fill = Callable[[Things, int], str]


def pending(things: Things, count: int) -> str:
    data_path = things.dataset().public_id
    for _ in range(count):
        things.training(data_path=data_path)
    return "/ui/jobs/"


def all_kinds(things: Things, count: int) -> None:
    data_path = things.dataset().public_id
    model = things.model()
    for number in range(count):
        order = {"data_path": data_path, "description": f"job {number}"}
        makers = (things.training, things.running, things.failed)
        makers[number % 3](**order)
        things.model(order={"data_path": data_path})
        things.inference(model)
        worker(f"worker-{number}")


def training_page(things: Things, count: int) -> str:
    all_kinds(things, count)
    return f"/ui/jobs/{things.running().pk}/"


def inference_page(things: Things, count: int) -> str:
    all_kinds(things, count)
    return f"/ui/jobs/{things.prediction().pk}/"


def model_page(things: Things, count: int) -> str:
    all_kinds(things, count)
    return f"/ui/models/{things.model().public_id}/"


def series(things: Things, count: int) -> str:
    all_kinds(things, count)
    return f"/ui/runs/{things.running().run_id}/series.json"


def compared(what: str) -> Fill:
    """Runs of as many metrics as there are runs, some points of them folded."""

    def fill(things: Things, count: int) -> str:
        project = project_create(owner=things.owner, name=f"{count} runs")
        runs = [
            run_create(project=project, name=f"run {number}", config={"lr": number}, tags=[]) for number in range(count)
        ]
        names = [f"metric {number}" for number in range(count)]
        for run in runs:
            for step in range(2):
                points_log(run_id=run.pk, points=[Point(name, step, step) for name in names])
                if step == 0:
                    store.fold_run(run.pk)
        asked = urlencode({"runs": ",".join(str(run.pk) for run in runs), "name": names}, doseq=True)
        return f"/ui/compare/{what}?{asked}"

    return fill


def datasets(things: Things, count: int) -> str:
    for number in range(count):
        things.dataset(filename=f"plants-{number}.csv")
    return "/ui/datasets/"


def dataset_page(things: Things, count: int) -> str:
    datasets(things, count)
    return f"/ui/datasets/{things.dataset().public_id}/"


def account(things: Things, count: int) -> str:
    for number in range(count):
        api_key_create(owner=things.owner, name=f"key {number}")
    return "/ui/account/"


def queries_of(client: Client, path: str) -> list[str]:
    Worker.objects.update(heartbeat_at=lifecycle.database_now())  # however long it took to make the things
    client.get(path)  # what is remembered for the process (content types) is not the page's
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
        b"".join(answer) if answer.streaming else answer.content
    assert answer.status_code == 200
    return [query["sql"] for query in captured.captured_queries]


LISTS = {
    "/ui/jobs/": 11,
    "/ui/jobs/?status=pending&kind=training&q=job": 11,
    "/ui/jobs/export.csv": 3,
    "/ui/": 13,
    "/ui/workers/": 17,
    "/ui/search/?q=job": 10,
    "/ui/jobs/new/": 8,
    "/ui/jobs/new/fields/": 6,
    "/ui/models/": 5,
}


def test_a_list_asks_as_often_for_ten_things_as_for_three(signed_in: Client, things: Things) -> None:
    for count in (FEW, MANY):
        all_kinds(things, count)
        asked = {path: queries_of(signed_in, path) for path in LISTS}
        found = {path: len(queries) for path, queries in asked.items()}
        wrong = [query for path in LISTS if found[path] != LISTS[path] for query in (path, *asked[path])]
        assert found == LISTS, "\n".join([f"with {count}:", *wrong])


@pytest.mark.parametrize(
    ("fill", "queries"),
    [
        pytest.param(pending, 11, id="jobs, all pending"),
        pytest.param(training_page, 10, id="training"),
        pytest.param(inference_page, 9, id="inference"),
        pytest.param(series, 5, id="run's series"),
        pytest.param(model_page, 4, id="model"),
        pytest.param(datasets, 4, id="data sets"),
        pytest.param(dataset_page, 3, id="data set"),
        pytest.param(account, 4, id="account"),
    ],
)
def test_a_page_asks_as_often_for_ten_things_as_for_three(
    signed_in: Client, things: Things, fill: Fill, queries: int
) -> None:
    few = queries_of(signed_in, fill(things, FEW))
    many = queries_of(signed_in, fill(things, MANY))
    assert (len(few), len(many)) == (queries, queries), "\n".join(many)
