"""Every page of the admin, with data in it: it opens, in few queries however many rows there are."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets_app.models import Dataset
from jobs.models import Attempt, Job, JobLogLine, TrainedModel, Worker
from tests.pages_server.things import Things
from tracking.models import (
    ApiKey,
    Artifact,
    ArtifactUpload,
    LogLine,
    MetricSeries,
    Project,
    Run,
    RunEvent,
    SavedView,
    User,
)

MOST_QUERIES = 13
BULKY = (
    *("input_data", "result", "error_details", "report", "schema", "analysis", "columns"),
    *("config", "notes", "environment", "git", "answer", "address"),
)
# django-rq's entry is no table: its pages are in test_queues.py.
MODELS = [model for model in admin.site._registry if model._meta.app_label != "django_rq"]
ADDED_BY_HAND = {"user", "group", "project", "projectmember", "userrate"}
DELETED_BY_HAND = {"group", "projectmember", "userrate"}


def name_of(model: type[Model]) -> str:
    return model._meta.model_name


def address(model: type[Model], page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def asked(client: Client, path: str, parameters: dict[str, Any] | None = None) -> tuple[Any, list[str]]:
    """The answer, and the queries that it took."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path, parameters or {})
    return answer, [query["sql"] for query in captured.captured_queries]


def assert_opens(client: Client, path: str, parameters: dict[str, Any] | None = None) -> Any:
    answer, queries = asked(client, path, parameters)
    assert answer.status_code == 200, (path, parameters, answer.status_code)
    assert len(queries) <= MOST_QUERIES, "\n".join([f"{path} {parameters}: {len(queries)} queries", *queries])
    return answer


def test_the_first_page_lists_every_model_and_the_queues(admin_client: Client, standing: Things) -> None:
    page = assert_opens(admin_client, "/admin/").content.decode()
    assert [model for model in admin.site._registry if address(model, "changelist") not in page] == []
    for app in {model._meta.app_label for model in MODELS}:
        assert_opens(admin_client, f"/admin/{app}/")


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_list_opens_and_is_searched_sorted_and_filtered(
    admin_client: Client, standing: Things, model: type[Model]
) -> None:
    path = address(model, "changelist")
    changes = assert_opens(admin_client, path).context["cl"]
    assert changes.result_count >= 1
    assert changes.model_admin.search_fields, "every model can be searched"
    assert_opens(admin_client, path, {"q": "plants"})
    columns = [f"-{column}" for column in range(1, len(changes.list_display) + 1)]
    assert_opens(admin_client, path, {"o": ".".join(columns)})  # by all at once: each is a term of the ORDER BY
    for spec in changes.filter_specs:
        *_, last = spec.choices(changes)
        assert_opens(admin_client, path + last["query_string"])


@pytest.mark.full
@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_list_is_sorted_by_each_column_and_filtered_by_each_choice(
    admin_client: Client, standing: Things, model: type[Model]
) -> None:
    path = address(model, "changelist")
    changes = assert_opens(admin_client, path).context["cl"]
    for column in range(1, len(changes.list_display) + 1):
        assert_opens(admin_client, path, {"o": f"-{column}"})
    for spec in changes.filter_specs:
        for choice in spec.choices(changes):
            assert_opens(admin_client, path + choice["query_string"])


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_row_opens(admin_client: Client, standing: Things, model: type[Model]) -> None:
    rows = list(model._default_manager.all())
    assert rows
    for row in rows:
        assert_opens(admin_client, address(model, "change", row.pk))
    assert_opens(admin_client, address(model, "history", rows[0].pk))


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_only_what_is_made_by_hand_is_added_and_deleted_by_hand(
    admin_client: Client, standing: Things, model: type[Model]
) -> None:
    row = model._default_manager.first()
    added = admin_client.get(address(model, "add")).status_code
    deleted = admin_client.get(address(model, "delete", row.pk)).status_code
    assert added == (200 if name_of(model) in ADDED_BY_HAND else 403)
    assert deleted == (200 if name_of(model) in DELETED_BY_HAND else 403)
    for page in [("add",)] * (added == 200) + [("delete", row.pk)] * (deleted == 200):
        assert_opens(admin_client, address(model, *page))


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_list_leaves_what_can_be_megabytes_in_the_database(
    admin_client: Client, standing: Things, model: type[Model]
) -> None:
    _, queries = asked(admin_client, address(model, "changelist"))
    read = "\n".join(queries)
    assert [field for field in BULKY if f'"{field}"' in read] == []
    assert '"tracking_metricsegment"."payload"' not in read


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (ApiKey, "name"),
        (Artifact, "path"),
        (ArtifactUpload, "path"),
        (Attempt, "reason"),
        (Dataset, "filename"),
        (Job, "error"),
        (Job, "hyperparameters"),
        (JobLogLine, "message"),
        (LogLine, "message"),
        (MetricSeries, "name"),
        (Project, "name"),
        (Run, "name"),
        (RunEvent, "payload"),
        (SavedView, "name"),
        (TrainedModel, "name"),
        (User, "first_name"),
        (Worker, "host"),
    ],
)
def test_what_others_write_is_shown_as_text(
    admin_client: Client, standing: Things, model: type[Model], field: str
) -> None:
    nasty = "<script>alert(1)</script>"
    row = model._default_manager.first()
    model._default_manager.filter(pk=row.pk).update(**{field: nasty})
    listed = admin_client.get(address(model, "changelist")).content.decode()
    shown = admin_client.get(address(model, "change", row.pk)).content.decode()
    assert nasty not in listed + shown
    assert "&lt;script&gt;alert(1)" in shown
