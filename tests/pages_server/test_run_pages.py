"""A run's page and the comparison without a browser: who sees what, what is refused, what it costs."""

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.pages_server.things import Things
from tracking import stream
from tracking.models import Project, Run, User
from tracking.services.projects import project_create
from tracking.services.runs import run_create, run_status_set
from tracking.stream import Point

pytestmark = pytest.mark.django_db
NASTY = "</script><script>alert(1)</script>"


def make_runs(owner: User, count: int = 1, **facts: Any) -> list[Run]:
    project = project_create(owner=owner, name="P", description="", is_public=False)
    return [make_run(project, number, **facts) for number in range(count)]


def make_run(project: Project, number: int = 0, **facts: Any) -> Run:
    config = {"lr": 0.1 * (number + 1), "model": {"kind": ["a", "b"][number % 2]}, "same": 1}
    run = run_create(**{"project": project, "name": f"run {number}", "config": config, "tags": [], **facts})
    with transaction.atomic():
        points = [Point("loss", (number + 1) / (step + 1), step=step) for step in range(5)]
        stream.append(run_id=run.pk, points=[*points, Point("odd", math.nan)])
    return run


def keys(runs: list[Run]) -> str:
    return ",".join(str(run.pk) for run in runs)


def text(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    body = b"".join(answer) if answer.streaming else answer.content
    assert answer.status_code == status, path
    return body.decode()


PAGES = ["", "?tab=log", "?tab=config", "?tab=metrics", "metrics.csv", "config.json", "log.txt", "series.json"]


@pytest.mark.parametrize("path", PAGES)
def test_a_run_of_somebody_else_is_not_there(signed_in: Client, make_user: Callable[..., User], path: str) -> None:
    (run,) = make_runs(make_user("bob"))
    text(signed_in, f"/ui/runs/{run.pk}/{path}", status=404)
    for act in ("edit", "archive", "trash", "restore"):
        assert signed_in.post(f"/ui/runs/{run.pk}/{act}/", {"name": "mine"}).status_code == 404
    assert Run.objects.get(pk=run.pk).name == "run 0"


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_reads_a_public_run_and_is_offered_no_change(
    signed_in: Client, make_user: Callable[..., User], path: str
) -> None:
    (run,) = make_runs(make_user("bob"))
    Project.objects.update(is_public=True)
    page = text(signed_in, f"/ui/runs/{run.pk}/{path}")
    assert "Edit tags" not in page
    signed_in.post(f"/ui/runs/{run.pk}/edit/", {"name": "mine"})
    assert Run.objects.get(pk=run.pk).name == "run 0"


def test_the_run_tells_its_job_and_why_it_failed(signed_in: Client, things: Things) -> None:
    job = things.failed("column 'kind', row 3: missing", description="Plants")
    page = text(signed_in, f"/ui/runs/{job.run_id}/")
    assert f'href="/ui/jobs/{job.pk}/"' in page
    assert "row 3: missing" in page


def test_what_is_refused_stands_in_its_form_as_typed(signed_in: Client, user: User) -> None:
    (run,) = make_runs(user)
    answer = signed_in.post(f"/ui/runs/{run.pk}/edit/", {"tags": "x" * 101, "next": "tab=config"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "1 to 100 characters" in page
    assert "x" * 101 in page
    assert 'id="config-title"' in page


@pytest.mark.parametrize("typed", ["", "   ", "a\0b", "x" * 201])
def test_a_name_that_cannot_be_kept_is_refused(signed_in: Client, user: User, typed: str) -> None:
    (run,) = make_runs(user)
    assert signed_in.post(f"/ui/runs/{run.pk}/edit/", {"name": typed}).status_code == 422
    assert Run.objects.get(pk=run.pk).name == "run 0"


def test_the_way_back_never_leads_to_another_site(signed_in: Client, user: User) -> None:
    (run,) = make_runs(user)
    for given in ("//evil.example", "https://evil.example/?tab=log", "tab=log\r\nX: y"):
        answer = signed_in.post(f"/ui/runs/{run.pk}/archive/", {"archived": "1", "next": given})
        assert answer.headers["Location"].startswith(f"/ui/runs/{run.pk}/?")
        assert "\n" not in answer.headers["Location"]


def test_archive_and_trash_are_taken_back(signed_in: Client, user: User) -> None:
    (run,) = make_runs(user)
    signed_in.post(f"/ui/runs/{run.pk}/archive/", {"archived": "1"})
    assert "Archived" in text(signed_in, f"/ui/runs/{run.pk}/")
    signed_in.post(f"/ui/runs/{run.pk}/archive/", {"archived": "0"})
    assert Run.objects.get(pk=run.pk).archived_at is None
    signed_in.post(f"/ui/runs/{run.pk}/trash/")
    assert "This run is in the trash" in text(signed_in, f"/ui/runs/{run.pk}/")
    signed_in.post(f"/ui/runs/{run.pk}/restore/")
    assert "Edit tags" in text(signed_in, f"/ui/runs/{run.pk}/")


def test_the_files_hold_what_the_page_shows(signed_in: Client, user: User) -> None:
    (run,) = make_runs(user)
    rows = list(csv.DictReader(io.StringIO(text(signed_in, f"/ui/runs/{run.pk}/metrics.csv"))))
    assert [(row["metric"], row["count"], row["min"]) for row in rows] == [("loss", "5", "0.2"), ("odd", "1", "")]
    assert json.loads(text(signed_in, f"/ui/runs/{run.pk}/config.json")) == run.config


def test_nothing_that_a_run_says_becomes_markup(signed_in: Client, user: User) -> None:
    config = {NASTY: {NASTY: NASTY}}
    runs = make_runs(user, 2, name=NASTY, config=config, tags=[NASTY], notes=NASTY)
    with transaction.atomic():
        stream.append(run_id=runs[0].pk, points=[Point(NASTY, 1.0)])
    run_status_set(run_id=runs[0].pk, status="failed", reason=NASTY)
    paths = [f"/ui/runs/{runs[0].pk}/?tab={tab}" for tab in ("charts", "log", "config", "metrics")]
    paths += [f"/ui/compare/?runs={keys(runs)}&tab={tab}" for tab in COMPARE_TABS]
    for path in paths:
        assert "<script>alert" not in text(signed_in, path), path


def test_a_config_of_any_shape_is_shown(signed_in: Client, user: User) -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"k": deep}
    (run,) = make_runs(user, config={"deep": deep, "wide": {str(n): n for n in range(3000)}, "none": None, "": [1, {}]})
    page = text(signed_in, f"/ui/runs/{run.pk}/?tab=config")
    assert "more keys are not shown" in page


COMPARE_TABS = ["charts", "differences", "parallel", "scatter", "importance"]


@pytest.mark.parametrize("tab", COMPARE_TABS)
def test_only_visible_runs_are_compared_and_the_others_are_named(
    signed_in: Client, user: User, make_user: Callable[..., User], tab: str
) -> None:
    mine, theirs = make_runs(user), make_runs(make_user("bob"), name="secret")
    page = text(signed_in, f"/ui/compare/?runs={keys(mine + theirs)},999999&tab={tab}")
    assert f"Runs {theirs[0].pk}, 999999 are gone, or you may not see them" in page
    assert "secret" not in page
    answer = json.loads(text(signed_in, f"/ui/compare/points.json?runs={keys(mine + theirs)}&name=loss"))
    assert [run["id"] for run in answer["runs"]] == [mine[0].pk]
    text(signed_in, f"/ui/compare/?project={theirs[0].project_id}", status=404)


@pytest.mark.parametrize("tab", COMPARE_TABS)
def test_runs_whose_values_have_nothing_in_common_are_compared(signed_in: Client, user: User, tab: str) -> None:
    odd = [
        {"x": 1},
        {"x": "one"},
        {"x": [1]},
        {"x": None},
        {"x": {"y": True}},
        {},
        {"x": 1e308},
        {"x": True},
        {"x": ""},
    ]
    project = project_create(owner=user, name="Odd", description="", is_public=False)
    runs = [make_run(project, number, config=config) for number, config in enumerate(odd)]
    run_create(project=project, name="empty", config={}, tags=[])
    assert "Compare 9 runs" in text(signed_in, f"/ui/compare/?runs={keys(runs)}&tab={tab}&stat=best")
    more = f"/ui/compare/?project={project.pk}&tab={tab}&stat=mean&target=odd&sort=distinct&all=1"
    assert "Compare 10 runs" in text(signed_in, more)


def test_what_differs_is_shown_and_what_is_the_same_only_if_asked(signed_in: Client, user: User) -> None:
    runs = make_runs(user, 3)
    path = f"/ui/compare/?runs={keys(runs)}&tab=differences"
    assert "model.kind" in text(signed_in, path)
    assert "</span> same</th>" not in text(signed_in, path)
    assert "</span> same</th>" in text(signed_in, f"{path}&all=1")


def test_points_come_for_all_runs_with_what_json_lacks_in_words(signed_in: Client, user: User) -> None:
    runs = make_runs(user, 2)
    answer = json.loads(text(signed_in, f"/ui/compare/points.json?runs={keys(runs)}&name=loss&name=odd&min_step=0"))
    first = {series["name"]: series for series in answer["runs"][0]["series"]}
    assert first["loss"]["steps"] == [0, 1, 2, 3, 4]
    assert first["odd"]["values"] == ["NaN"]
    assert not first["loss"]["thinned"]
    names = json.loads(text(signed_in, f"/ui/compare/names.json?runs={keys(runs)}"))
    assert names["series"] == [["loss", [5, 5], [0.2, 0.4]], ["odd", [1, 1], ["NaN", "NaN"]]]


@pytest.mark.parametrize(
    "query", ["", "name=a&min_step=x", "name=a&max_points=nan", "&".join(f"name={n}" for n in range(41))]
)
def test_odd_requests_for_points_are_refused(signed_in: Client, user: User, query: str) -> None:
    assert text(signed_in, f"/ui/compare/points.json?runs={keys(make_runs(user))}&{query}", status=400)


@pytest.mark.parametrize("runs", ["", "x", "-1", "9" * 30, "1,,2,\0", "1" * 5000])
def test_odd_lists_of_runs_are_no_error(signed_in: Client, runs: str) -> None:
    assert "No runs to compare" in text(signed_in, f"/ui/compare/?runs={runs}")
    assert json.loads(text(signed_in, f"/ui/compare/names.json?runs={runs}"))["runs"] == []


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        pytest.param("/ui/runs/{first}/", 5, id="run"),
        pytest.param("/ui/runs/{first}/?tab=metrics", 6, id="run's metrics"),
        pytest.param("/ui/compare/?runs={keys}", 3, id="charts"),
        pytest.param("/ui/compare/?runs={keys}&tab=differences", 4, id="differences"),
        pytest.param("/ui/compare/?runs={keys}&tab=parallel", 4, id="parallel"),
        pytest.param("/ui/compare/?runs={keys}&tab=importance", 4, id="importance"),
        pytest.param("/ui/compare/names.json?runs={keys}", 4, id="names"),
    ],
)
def test_twenty_runs_cost_as_many_queries_as_two(signed_in: Client, user: User, path: str, queries: int) -> None:
    counted = []
    for count in (2, 20):
        runs = make_runs(user, count)
        with CaptureQueriesContext(connection) as captured:
            text(signed_in, path.format(first=runs[0].pk, keys=keys(runs)))
        counted.append(len(captured.captured_queries))
    assert counted == [queries, queries]
