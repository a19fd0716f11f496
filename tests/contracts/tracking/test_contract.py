"""The tracking contract, from its own document's examples."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from api.tracking import documents
from jobs.models import Job
from tests.contracts.golden import shape
from tests.contracts.tracking.conftest import Api
from tracking.models import Project, ProjectMember, Run, RunEvent, User

pytestmark = pytest.mark.django_db


def same(answer: Any, example: Any) -> bool:
    """The answer is the document's, but for ids and the time of day."""
    if isinstance(example, dict):
        return list(answer) == list(example) and all(
            name.endswith("id") or same(answer[name], example[name]) for name in example
        )
    return shape(answer) == shape(example)


# --- Projects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_project_is_created_read_changed_and_deleted_as_documented(api: Api, user: User, slash: str) -> None:
    created = api.call("POST", f"/projects{slash}", documents.PROJECT_IN)
    assert created.status == 201
    assert same(created.body, documents.PROJECT)
    assert created.body["owner_id"] == user.pk
    path = f"/projects/{created.body['id']}{slash}"
    assert api.call("GET", path).body == created.body
    changed = api.call("PUT", path, documents.PROJECT_CHANGE)
    assert changed.status == 200
    assert same(changed.body, {**documents.PROJECT, **documents.PROJECT_CHANGE})
    assert api.call("PATCH", path, {"is_public": True}).body["is_public"] is True
    listed = api.call("GET", f"/projects{slash}")
    assert [project["name"] for project in listed.body] == ["Updated Project Name"]
    assert listed.headers["X-Total-Count"] == "1"
    deleted = api.call("DELETE", path)
    assert (deleted.status, deleted.body) == (204, None)
    assert api.call("GET", path).status == 404
    assert api.call("GET", "/projects/").body == []


def test_what_was_read_can_be_sent_back(api: Api, project_id: int, run_id: int) -> None:
    for path in (f"/projects/{project_id}", f"/runs/{run_id}"):
        before = api.call("GET", path).body
        after = api.call("PUT", path, before)
        assert after.status == 200
        assert after.body | {"updated_at": ""} == before | {"updated_at": ""}


def test_lists_are_newest_first_and_paged(api: Api, project_id: int) -> None:
    projects = [project_id, *(api.call("POST", "/projects/", {"name": f"p{n}"}).body["id"] for n in range(3))]
    page = api.call("GET", "/projects/?skip=1&limit=2")
    assert [project["id"] for project in page.body] == projects[::-1][1:3]
    assert page.headers["X-Total-Count"] == "4"
    runs = [api.call("POST", f"/runs/?project_id={project_id}", {"name": f"r{n}"}).body["id"] for n in range(4)]
    page = api.call("GET", f"/runs/?project_id={project_id}&skip=1&limit=2")
    assert [run["id"] for run in page.body] == runs[::-1][1:3]
    assert page.headers["X-Total-Count"] == "4"
    assert api.call("GET", "/runs?limit=0").body == []
    assert [project["name"] for project in api.call("GET", "/projects/?name=p1").body] == ["p1"]


def test_a_limit_is_cut_to_a_thousand(api: Api, user: User) -> None:
    Project.objects.bulk_create(Project(name=f"p{n}", owner=user) for n in range(1001))
    assert len(api.call("GET", "/projects/?limit=5000").body) == 1000


@pytest.mark.parametrize("query", ["skip=-1", "limit=-1", "skip=x", "limit=1.5", "limit=1e3", f"skip={2**63}"])
@pytest.mark.parametrize("path", ["/projects/", "/runs/", "/metrics/{run_id}"])
def test_a_page_that_makes_no_sense_is_400_at_its_field(api: Api, run_id: int, path: str, query: str) -> None:
    answer = api.call("GET", f"{path.format(run_id=run_id)}?{query}")
    assert answer.status == 400
    assert answer.body["detail"] == "Validation error"
    assert list(answer.body["errors"]) == [query.partition("=")[0]]


def test_lists_show_own_and_shared_projects_and_public_ones_are_there_by_their_id(
    api: Api, user: User, make_user: Callable[..., User], api_of: Callable[[User], Api]
) -> None:
    bob = make_user("bob")
    shared, public, private = (
        Project.objects.create(owner=bob, name=name, is_public=name == "public")
        for name in ("shared", "public", "private")
    )
    ProjectMember.objects.create(project=shared, user=user)
    for project in (shared, public, private):
        Run.objects.create(project=project, name=f"in {project.name}")
    assert [project["name"] for project in api.call("GET", "/projects/").body] == ["shared"]
    assert [run["name"] for run in api.call("GET", "/runs/").body] == ["in shared"]
    assert [run["name"] for run in api.call("GET", f"/runs/?project_id={public.pk}").body] == ["in public"]
    assert api.call("GET", f"/projects/{public.pk}").status == 200
    for path in (f"/projects/{private.pk}", f"/runs/?project_id={private.pk}"):
        refused = api.call("GET", path)
        assert (refused.status, refused.body) == (403, {"detail": "Not enough permissions"})
    superuser = api_of(make_user("root", is_superuser=True))
    assert len(superuser.call("GET", "/projects/").body) == 3


# --- Runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_run_is_created_and_read_as_documented(api: Api, project_id: int, slash: str) -> None:
    created = api.call("POST", f"/runs{slash}?project_id={project_id}", documents.RUN_IN)
    assert created.status == 201
    assert same(created.body, documents.RUN)
    assert created.body["project_id"] == project_id
    assert api.call("GET", f"/runs/{created.body['id']}{slash}").body == created.body
    (listed,) = api.call("GET", f"/runs{slash}?project_id={project_id}").body
    assert listed == {name: created.body[name] for name in listed}
    assert {"id", "name", "status", "started_at", "ended_at", "tags"} <= set(listed)


def test_completing_a_run_sets_its_end_and_going_on_clears_it(api: Api, run_id: int) -> None:
    path = f"/runs/{run_id}"
    completed = api.call("PUT", path, {"status": "completed"})
    assert completed.status == 200
    assert completed.body["status"] == "completed"
    assert completed.body["ended_at"] >= completed.body["started_at"]
    again = api.call("PUT", path, {"status": "completed"})
    assert again.body["ended_at"] == completed.body["ended_at"]
    running = api.call("PUT", path, {**completed.body, "status": "running"})
    assert (running.status, running.body["ended_at"]) == (200, None)
    documented = api.call("PUT", path, documents.RUN_CHANGE)
    assert documented.body["ended_at"] == "2023-01-01T01:00:00"


def test_every_change_of_a_run_is_in_its_stream(api: Api, run_id: int) -> None:
    api.call("PUT", f"/runs/{run_id}", {"status": "failed", "status_reason": "out of memory"})
    api.call("PATCH", f"/runs/{run_id}", {"name": "New", "tags": ["a"], "notes": "n", "config": {"lr": 1}})
    api.call("PATCH", f"/runs/{run_id}", {"archived": True})
    api.call("DELETE", f"/runs/{run_id}")
    status, fields, archived, deleted = (event.payload for event in RunEvent.objects.filter(run_id=run_id))
    assert (status["status"], status["status_reason"], bool(status["ended_at"])) == ("failed", "out of memory", True)
    assert (fields["changed"], fields["name"], fields["tags"]) == (["name", "config", "tags", "notes"], "New", ["a"])
    assert archived["archived_at"]
    assert deleted["deleted_at"]
    assert Run.objects.get(pk=run_id).seq == 4


def test_a_change_that_says_nothing_changes_nothing(api: Api, run_id: int) -> None:
    before = api.call("GET", f"/runs/{run_id}").body
    assert api.call("PUT", f"/runs/{run_id}", {}).body == before
    assert api.call("PUT", f"/runs/{run_id}", {"status": "running"}).body == before
    assert not RunEvent.objects.exists()


def test_a_run_says_what_its_status_may_not_become(api: Api, run_id: int) -> None:
    for change, field in (({"status": "pending"}, "status"), ({"ended_at": "2023-01-01T00:00:00"}, "ended_at")):
        answer = api.call("PUT", f"/runs/{run_id}", change)
        assert (answer.status, list(answer.body["errors"])) == (400, [field])
    answer = api.call("PUT", f"/runs/{run_id}", {"status": "done"})
    assert answer.body["errors"] == {"status": ["Must be one of pending, running, completed, failed, cancelled."]}


def test_a_run_needs_a_project_that_one_may_change(
    api: Api, user: User, make_user: Callable[..., User], run_id: int
) -> None:
    bob = make_user("bob")
    public = Project.objects.create(owner=bob, name="public", is_public=True)
    read_only = Project.objects.create(owner=bob, name="read only")
    ProjectMember.objects.create(project=read_only, user=user)
    theirs = Run.objects.create(project=public, name="theirs")
    for project in (public, read_only):
        assert api.call("POST", f"/runs/?project_id={project.pk}", {"name": "x"}).status == 403
    for method, body in (("PUT", {"name": "mine"}), ("DELETE", None)):
        assert api.call(method, f"/runs/{theirs.pk}", body).status == 403
    assert api.call("GET", f"/runs/{theirs.pk}").status == 200
    missing = api.call("POST", "/runs/?project_id=0", {"name": "x"})
    assert (missing.status, missing.body) == (404, {"detail": "Resource not found"})
    assert list(api.call("POST", "/runs/", {"name": "x"}).body["errors"]) == ["project_id"]
    ProjectMember.objects.filter(project=read_only).update(role="editor")
    assert api.call("POST", f"/runs/?project_id={read_only.pk}", {"name": "x"}).status == 201
    assert api.call("PUT", f"/projects/{read_only.pk}", {"name": "x"}).status == 403


def test_what_a_live_job_works_in_is_not_deleted(api: Api, user: User, project_id: int, run_id: int) -> None:
    job = Job.objects.create(
        owner=user, project_id=project_id, run_id=run_id, kind="training", contract="job-queue", queue="sklearn"
    )
    for path in (f"/runs/{run_id}", f"/projects/{project_id}"):
        refused = api.call("DELETE", path)
        assert refused.status == 400
        assert refused.body["detail"].endswith("cancel it first.")
        assert api.call("GET", path).status == 200
    assert api.call("PUT", f"/runs/{run_id}", {"status": "completed"}).status == 400
    assert api.call("PUT", f"/runs/{run_id}", {"name": "renamed"}).status == 200
    Job.objects.filter(pk=job.pk).update(status="cancelled", ended_at=timezone.now())
    assert api.call("DELETE", f"/runs/{run_id}").status == 204
    assert api.call("DELETE", f"/projects/{project_id}").status == 204


def test_the_trash_gives_back_what_was_thrown_away(api: Api, project_id: int, run_id: int) -> None:
    api.call("DELETE", f"/runs/{run_id}")
    assert api.call("GET", f"/runs/{run_id}").status == 404
    assert api.call("POST", f"/metrics/{run_id}", documents.METRIC_IN).status == 404
    assert api.call("POST", f"/runs/{run_id}/restore").body["id"] == run_id
    assert api.call("POST", f"/runs/{run_id}/restore").status == 404
    api.call("DELETE", f"/projects/{project_id}")
    assert api.call("GET", f"/runs/{run_id}").status == 404
    assert api.call("POST", f"/projects/{project_id}/restore").status == 200
    assert api.call("GET", f"/runs/{run_id}").status == 200


# --- Metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_metrics_are_logged_and_read_as_documented(api: Api, run_id: int, slash: str) -> None:
    logged = api.call("POST", f"/metrics/{run_id}{slash}", documents.METRIC_IN)
    assert logged.status == 201
    assert same(logged.body, documents.METRIC)
    batch = api.call("POST", f"/metrics/{run_id}/batch{slash}", documents.BATCH_METRICS)
    assert (batch.status, batch.body) == (201, documents.LOGGED)
    points = api.call("GET", f"/metrics/{run_id}{slash}?metric_name=loss")
    assert [same(point, documents.METRIC) for point in points.body] == [True, True]
    assert points.body[0] == logged.body
    assert points.headers["X-Total-Count"] == "2"
    assert len(api.call("GET", f"/metrics/{run_id}{slash}").body) == 4
    summary = api.call("GET", f"/metrics/{run_id}/summary{slash}").body
    assert [row["name"] for row in summary] == ["accuracy", "learning_rate", "loss"]
    assert summary[2] == {
        "name": "loss",
        "current_value": 0.5,
        "min_value": 0.5,
        "max_value": 0.5,
        "mean_value": 0.5,
        "total_points": 2,
        "next_step": 2,
    }


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_history_is_the_documents(api: Api, run_id: int, slash: str) -> None:
    example = documents.HISTORY
    columns = {name: example[name] for name in ("values", "steps", "timestamps")}
    assert api.call("POST", f"/metrics/{run_id}/batch", {"series": {"loss": columns}}).status == 201
    assert api.call("GET", f"/metrics/{run_id}/history/loss{slash}").body == example
    later = api.call("GET", f"/metrics/{run_id}/history/loss{slash}?since_step=1").body
    assert later["steps"] == [2, 3]


@pytest.mark.parametrize("name", ["train/loss", "a b/ü", "loss/", "100%", "a?b#c", "line\nend", "😀", "batch", "."])
def test_a_metric_of_any_name_has_its_history(api: Api, run_id: int, name: str) -> None:
    from urllib.parse import quote

    api.call("POST", f"/metrics/{run_id}", {"name": name, "value": 1})
    history = api.call("GET", f"/metrics/{run_id}/history/{quote(name)}")
    assert (history.status, history.body["name"], history.body["values"]) == (200, name, [1.0])
    assert len(api.call("GET", f"/metrics/{run_id}?metric_name={quote(name)}").body) == 1


def test_the_history_of_a_name_that_the_run_has_not_is_404(api: Api, run_id: int) -> None:
    answer = api.call("GET", f"/metrics/{run_id}/history/loss")
    assert (answer.status, answer.body["detail"]) == (404, "Resource not found")
    assert api.call("GET", f"/metrics/{run_id}?metric_name=loss").body == []


def test_a_thinned_history_keeps_its_spikes(api: Api, run_id: int) -> None:
    values = [0.0] * 1000
    values[371], values[900] = 50.0, -50.0
    api.call("POST", f"/metrics/{run_id}/batch", {"series": {"loss": {"values": values}}})
    thin = api.call("GET", f"/metrics/{run_id}/history/loss?max_points=20").body
    assert len(thin["values"]) <= 20
    assert {50.0, -50.0} <= set(thin["values"])
    for query in ("max_points=4", "max_points=x", "since_step=x"):
        assert api.call("GET", f"/metrics/{run_id}/history/loss?{query}").status == 400


def test_points_are_sorted_by_time_then_step_and_paged(api: Api, run_id: int) -> None:
    rows = [("b", 3, "03"), ("a", 2, "01"), ("a", 1, "01"), ("a", 9, "02"), ("b", 0, "04")]
    points = [{"name": n, "value": s, "step": s, "timestamp": f"2023-01-{d}T00:00:00"} for n, s, d in rows]
    api.call("POST", f"/metrics/{run_id}/batch", {"points": points})
    assert [point["step"] for point in api.call("GET", f"/metrics/{run_id}").body] == [1, 2, 9, 3, 0]
    assert [point["step"] for point in api.call("GET", f"/metrics/{run_id}?skip=1&limit=3").body] == [2, 9, 3]
    assert [point["step"] for point in api.call("GET", f"/metrics/{run_id}?metric_name=b").body] == [3, 0]
    assert api.call("GET", f"/metrics/{run_id}?skip=5").body == []
    assert api.call("GET", f"/metrics/{run_id}/history/a").body["steps"] == [1, 2, 9]


def test_numbers_that_json_lacks_come_and_go_as_words(api: Api, run_id: int) -> None:
    sent = b'{"series": {"loss": {"values": [NaN, "Infinity", -Infinity, 0.5]}}}'
    assert api.call("POST", f"/metrics/{run_id}/batch", sent).status == 201
    history = api.call("GET", f"/metrics/{run_id}/history/loss").body
    assert history["values"] == ["NaN", "Infinity", "-Infinity", 0.5]
    (row,) = api.call("GET", f"/metrics/{run_id}/summary").body
    assert (row["min_value"], row["max_value"], row["mean_value"], row["total_points"]) == (0.5, 0.5, 0.5, 4)
    assert api.call("POST", f"/metrics/{run_id}", b'{"name": "x", "value": NaN}').body["value"] == "NaN"
    (only,) = [row for row in api.call("GET", f"/metrics/{run_id}/summary").body if row["name"] == "x"]
    assert (only["current_value"], only["min_value"], only["mean_value"]) == ("NaN", None, None)


def test_without_a_step_a_point_takes_its_series_next_one(api: Api, run_id: int) -> None:
    steps = [api.call("POST", f"/metrics/{run_id}", {"name": "loss", "value": 1}).body["step"] for _ in range(2)]
    assert steps == [0, 1]
    api.call("POST", f"/metrics/{run_id}/batch", {"metrics": {"loss": 1, "acc": 1}})
    assert api.call("GET", f"/metrics/{run_id}/history/loss").body["steps"] == [0, 1, 2]
    assert api.call("GET", f"/metrics/{run_id}/history/acc").body["steps"] == [0]


def test_points_are_taken_after_the_end_too(api: Api, run_id: int) -> None:
    api.call("PUT", f"/runs/{run_id}", {"status": "completed"})
    assert api.call("POST", f"/metrics/{run_id}", documents.METRIC_IN).status == 201


def test_a_batch_with_one_bad_point_stores_none(api: Api, run_id: int) -> None:
    answer = api.call("POST", f"/metrics/{run_id}/batch", {"metrics": {"loss": 0.5, "acc": "high"}})
    assert (answer.status, list(answer.body["errors"])) == (400, ["metrics.acc"])
    assert api.call("GET", f"/metrics/{run_id}").body == []


def test_a_repeated_key_adds_nothing(api: Api, run_id: int) -> None:
    path, key = f"/metrics/{run_id}/batch", {"Idempotency-Key": "a1"}
    first = api.call("POST", path, documents.BATCH_METRICS, **key)
    again = api.call("POST", path, documents.BATCH_METRICS, **key)
    assert (again.status, again.body) == (first.status, first.body) == (201, documents.LOGGED)
    assert len(api.call("GET", f"/metrics/{run_id}").body) == 3
    other = api.call("POST", path, {"metrics": {"loss": 0.4}}, **key)
    assert other.status == 400
    assert "another body" in other.body["detail"]
    single = api.call("POST", f"/metrics/{run_id}", documents.METRIC_IN, **{"Idempotency-Key": "a2"})
    assert api.call("POST", f"/metrics/{run_id}/", documents.METRIC_IN, **{"Idempotency-Key": "a2"}).body == single.body
    assert list(api.call("POST", path, {}, **{"Idempotency-Key": ""}).body["errors"]) == ["Idempotency-Key"]


def test_metrics_of_others_are_read_as_their_run_is(api: Api, user: User, make_user: Callable[..., User]) -> None:
    project = Project.objects.create(owner=make_user("bob"), name="theirs")
    run = Run.objects.create(project=project, name="theirs")
    paths = [f"/metrics/{run.pk}", f"/metrics/{run.pk}/summary", f"/metrics/{run.pk}/history/loss"]
    assert {api.call("GET", path).status for path in paths} == {403}
    assert api.call("POST", f"/metrics/{run.pk}", documents.METRIC_IN).status == 403
    Project.objects.update(is_public=True)
    assert [api.call("GET", path).status for path in paths] == [200, 200, 404]
    refused = api.call("POST", f"/metrics/{run.pk}/batch", documents.BATCH_METRICS)
    assert (refused.status, refused.body) == (403, {"detail": "Not enough permissions"})
    Project.objects.update(deleted_at=timezone.now())
    assert {api.call("GET", path).status for path in paths} == {404}
