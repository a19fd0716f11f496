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


# Each of one thing, among whatever else there is.
PAGES: dict[str, tuple[Callable[[Things], str], int]] = {
    "training": (lambda things: f"/ui/jobs/{things.running().pk}/", 10),
    "inference": (lambda things: f"/ui/jobs/{things.prediction().pk}/", 9),
    "run's series": (lambda things: f"/ui/runs/{things.running().run_id}/series.json", 5),
    "model": (lambda things: f"/ui/models/{things.model().public_id}/", 4),
}


def test_a_list_and_a_page_ask_as_often_among_ten_things_as_among_three(signed_in: Client, things: Things) -> None:
    pinned = LISTS | {name: queries for name, (_, queries) in PAGES.items()}
    for count in (FEW, MANY):
        all_kinds(things, count)
        asked = {path: queries_of(signed_in, path) for path in LISTS}
        asked |= {name: queries_of(signed_in, path_of(things)) for name, (path_of, _) in PAGES.items()}
        found = {name: len(queries) for name, queries in asked.items()}
        wrong = [line for name in pinned if found[name] != pinned[name] for line in (name, *asked[name])]
        assert found == pinned, "\n".join([f"with {count}:", *wrong])


@pytest.mark.parametrize(
    ("fill", "queries"),
    [
        pytest.param(pending, 11, id="jobs, all pending"),
        pytest.param(datasets, 4, id="data sets"),
        pytest.param(dataset_page, 3, id="data set"),
        pytest.param(account, 4, id="account"),
        pytest.param(compared("names.json"), 4, id="compare's names"),
        pytest.param(compared("points.json"), 5, id="compare's points"),
    ],
)
def test_a_page_asks_as_often_for_ten_things_as_for_three(
    signed_in: Client, things: Things, fill: Fill, queries: int
) -> None:
    few = queries_of(signed_in, fill(things, FEW))
    many = queries_of(signed_in, fill(things, MANY))
    assert (len(few), len(many)) == (queries, queries), "\n".join(many)
