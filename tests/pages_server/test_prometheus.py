"""The figures for monitoring: in Prometheus' own format, for operators alone, beside the contract's /metrics/{id}."""

import math
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from api.tracking.ingest import order_of
from jobs.exposition import CONTENT_TYPE, Metric, Sample, exposition
from jobs.models import Job, Worker
from jobs.routing import QUEUES
from tests.pages_server.things import Things, worker
from tracking.models import User
from tracking.services.accounts import api_key_create

PATH = "/metrics/prometheus"
TOKEN = "scrape-me-7"
# https://prometheus.io/docs/instrumenting/exposition_formats/
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


@pytest.fixture
def scraped(client: Client, settings: object) -> Callable[[], dict[str, dict[str, float]]]:
    """scraped() -> {name: {labels as text: value}}; fails where a line is none of the format."""
    settings.METRICS_TOKEN = TOKEN

    def scrape() -> dict[str, dict[str, float]]:
        answer = client.get(PATH, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer["Content-Type"]) == (200, CONTENT_TYPE)
        text = answer.content.decode()
        assert text.endswith("\n")
        found: dict[str, dict[str, float]] = {}
        announced: set[str] = set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name = line.split()[2]
                assert name not in announced, "a metric is announced once, its samples stand together"
                announced.add(name)
            elif not line.startswith("# HELP "):
                match = LINE.fullmatch(line)
                assert match, line
                name, labels, value = match.groups()
                assert any(name == each or name.startswith(f"{each}_") for each in announced), line
                key = ",".join(f"{label}={words}" for label, words in sorted(LABEL.findall(labels or "")))
                assert key not in found.setdefault(name, {}), f"{line}: twice"
                found[name][key] = float(value)
        return found

    return scrape


def test_queues_are_told_by_what_waits_and_runs_in_them_and_for_how_long(scraped: Callable, things: Things) -> None:
    empty = scraped()["automl_queue_jobs"]
    assert set(empty) == {f"queue={name},status={status}" for name in QUEUES for status in ("pending", "running")}
    assert set(empty.values()) == {0.0}
    things.running()
    things.training(), things.training()
    found = scraped()
    assert found["automl_queue_jobs"]["queue=sklearn,status=pending"] == 2
    assert found["automl_queue_jobs"]["queue=sklearn,status=running"] == 1
    assert 0 <= found["automl_queue_oldest_waiting_seconds"]["queue=sklearn"] < 60
    assert found["automl_queue_oldest_waiting_seconds"]["queue=tensorflow"] == 0


def test_what_has_ended_is_told_by_how_and_how_long_it_took(scraped: Callable, things: Things) -> None:
    things.failed(), things.model(), things.prediction()
    things.training()
    found = scraped()
    completed = "kind=training,model_type=random_forest,status=completed"
    assert found["automl_jobs"] == {
        "status=pending": 1, "status=running": 0, "status=completed": 3, "status=failed": 1, "status=cancelled": 0,
    }  # fmt: skip
    assert found["automl_jobs_finished_total"][completed] == 2
    assert found["automl_jobs_finished_total"]["kind=training,model_type=random_forest,status=failed"] == 1
    assert found["automl_job_duration_seconds_count"][completed] == 2
    assert found["automl_job_duration_seconds_sum"][completed] >= 0
    buckets = [
        (float(re.search(r"le=([^,]+)", key)[1]), value)
        for key, value in found["automl_job_duration_seconds_bucket"].items()
        if "kind=training" in key and "status=completed" in key
    ]
    assert [count for _, count in sorted(buckets)] == sorted(count for _, count in buckets), "they are cumulative"
    assert max(buckets) == (math.inf, 2)


def test_workers_are_told_by_the_queues_that_they_serve(scraped: Callable, db: None) -> None:
    worker("one", state="busy")
    worker("two", kind="inference", queues=["sklearn-inference"])
    found = scraped()
    assert found["automl_workers"]["queue=sklearn,state=busy"] == 1
    assert found["automl_workers"]["queue=sklearn-inference,state=busy"] == 1
    assert found["automl_workers"]["queue=sklearn-inference,state=idle"] == 1
    assert found["automl_workers"]["queue=pytorch-2.1,state=idle"] == 0
    assert found["automl_live_workers"] == {
        "kind=training,state=idle": 0, "kind=training,state=busy": 1,
        "kind=inference,state=idle": 1, "kind=inference,state=busy": 0,
    }  # fmt: skip


def test_a_scrape_asks_the_database_as_often_for_many_jobs_as_for_none(scraped: Callable, things: Things) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            scraped()
        return len(captured)

    before = asked()
    things.failed(), things.model(), things.training(), things.running()
    Job.objects.filter(status="failed").update(model_type="another")
    assert asked() == before == 5


def test_labels_and_help_are_escaped() -> None:
    odd = 'a"b\\c\nd'
    text = exposition([Metric("m", "gauge", 'a "b" \\ c\nd', [Sample(0.25, {"x": odd}), Sample(math.inf, {})])])
    assert text == '# HELP m a "b" \\\\ c\\nd\n# TYPE m gauge\nm{x="a\\"b\\\\c\\nd"} 0.25\nm +Inf\n'


# --- Who may ----------------------------------------------------------------------------------------------------------


def status_of(client: Client, authorization: str = "") -> int:
    return client.get(PATH, headers={"Authorization": authorization} if authorization else {}).status_code


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é", "Bearer amk_0_0", "x" * 9000]
)
def test_without_the_token_it_is_closed(client: Client, db: None, settings: object, authorization: str) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = client.get(PATH, headers={"Authorization": authorization})
    assert (answer.status_code, answer.json()) == (401, {"detail": "Could not validate credentials"})
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_where_no_token_is_set_an_empty_one_opens_nothing(client: Client, db: None, settings: object) -> None:
    settings.METRICS_TOKEN = ""
    assert status_of(client) == status_of(client, "Bearer ") == status_of(client, "Bearer x") == 401


def test_staff_users_may_by_session_and_by_key_and_others_may_not(
    client: Client, user: User, make_user: Callable[..., User]
) -> None:
    operator = make_user("operator", is_staff=True)
    _, key = api_key_create(owner=operator, name="prometheus")
    assert status_of(client, f"Bearer {key}") == 200
    client.force_login(operator)
    assert status_of(client) == 200
    client.force_login(user)
    assert status_of(client) == 403
    _, key = api_key_create(owner=user, name="prometheus")
    assert status_of(client, f"Bearer {key}") == 403


# --- Beside the contract's own paths ----------------------------------------------------------------------------------


def test_it_is_only_read(client: Client, user: User, settings: object) -> None:
    settings.METRICS_TOKEN = TOKEN
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get(f"{PATH}/", headers=headers).status_code == 200
    assert client.post(PATH, headers=headers).status_code == 405


def test_neither_the_ingest_of_points_nor_the_contracts_views_take_it(
    client: Client, user: User, things: Things
) -> None:
    def scope(path: str) -> dict[str, object]:
        given = {b"authorization": b"Bearer x", b"content-type": b"application/json", b"content-length": b"2"}
        return {"type": "http", "method": "POST", "path": path, "headers": list(given.items()), "query_string": b""}

    assert order_of(scope(PATH)) is None
    assert order_of(scope("/metrics/7")) is not None
    client.force_login(user)
    run = things.running().run
    assert client.get(f"/metrics/{run.pk}").status_code == 200
    assert client.get("/metrics/prometheuses").status_code == 404
    assert Worker.objects.exists()
