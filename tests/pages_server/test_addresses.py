"""Addresses that no page has made: every parameter wrong in every way is a page or a 4xx, never a failure of ours."""

import json
import re
from html import unescape

import pytest
from django.test import Client

from tests.pages_server.odd import with_odd_values
from tests.pages_server.things import Things
from tracking.models import Run

PARAMETERS = {
    "/ui/": ("page",),
    "/ui/jobs/": ("page", "status", "kind", "model_type", "queue", "q", "seen"),
    "/ui/jobs/export.csv": ("status", "kind", "model_type", "queue", "q"),
    "/ui/jobs/new/": ("model_type", "dataset", "from"),
    "/ui/jobs/new/fields/": (
        "model_type",
        "architecture",
        "data_path",
        "framework_override",
        "requires_gpu",
        "hp-C",
        "hp-target",
        "hp-nothing",
    ),
    "/ui/jobs/new/code/": ("model_type", "hp-C", "hp-more_hyperparameters", "project", "timeout"),
    "/ui/models/": ("page", "q", "model_type", "trash"),
    "/ui/datasets/": ("page", "q", "trash", "undo"),
    "/ui/datasets/export.csv": ("page", "q"),
    "/ui/search/": ("q",),
    "/ui/workers/": ("part", "seen"),
}
CASES = [(path, name) for path, names in PARAMETERS.items() for name in names]


@with_odd_values
@pytest.mark.parametrize(("path", "name"), CASES)
def test_no_odd_value_of_a_parameter_is_a_failure(
    signed_in: Client, things: Things, path: str, name: str, values: tuple[str, ...]
) -> None:
    things.failed()
    for value in values:
        answer = signed_in.get(path, {name: value.encode(errors="surrogatepass")})
        assert answer.status_code in (200, 404), (value, answer.status_code)
        assert answer.status_code == 200 or name == "from", value
        if answer.streaming:
            assert b"".join(answer)


@pytest.mark.parametrize(("path", "name"), CASES)
def test_nul_is_refused_everywhere(signed_in: Client, path: str, name: str) -> None:
    answer = signed_in.get(path, {name: "a\0b"})
    assert answer.status_code == 400
    assert "NUL" in answer.content.decode()


@with_odd_values
@pytest.mark.parametrize("name", ["max_points", "min_step", "max_step", "name"])
def test_no_odd_parameter_of_a_runs_series_is_a_failure(
    signed_in: Client, things: Things, name: str, values: tuple[str, ...]
) -> None:
    path = f"/ui/runs/{things.running().run_id}/series.json"
    for value in values:
        answer = signed_in.get(path, {name: value.encode(errors="surrogatepass")})
        assert answer.status_code in (200, 400), (value, answer.status_code)
        if answer.status_code == 200:
            json.loads(answer.content)


@pytest.mark.parametrize("run_id", ["0", "-1", "x", str(10**12), str(2**63), "9" * 40, "9" * 5000])
def test_no_odd_run_is_a_failure(signed_in: Client, run_id: str) -> None:
    assert signed_in.get(f"/ui/runs/{run_id}/series.json").status_code == 404


@pytest.mark.parametrize("thing", ["🌳", "%25", "%ff", "a%0ab", "..", "%2e%2e", "x" * 3000, "model_zzz", "ds_0", "0"])
def test_no_odd_id_is_a_failure(signed_in: Client, thing: str) -> None:
    for path in (
        f"/ui/jobs/{thing}/",
        f"/ui/models/{thing}/",
        f"/ui/models/{thing}/model.json",
        f"/ui/datasets/{thing}/",
    ):
        assert signed_in.get(path).status_code == 404, path
    assert signed_in.post(f"/ui/models/{thing}/restore/").status_code == 404
    assert signed_in.get(f"/ui/models/a%00{thing}/").status_code == 400


def test_a_runs_series_are_those_of_the_asked_steps_and_names(signed_in: Client, things: Things) -> None:
    run = Run.objects.get(pk=things.running().run_id)
    path = f"/ui/runs/{run.pk}/series.json"
    everything = signed_in.get(path).json()
    assert everything["last_id"] == run.seq
    assert [(row["name"], row["steps"]) for row in everything["series"]] == [("loss", [0, 1, 2, 3, 4])]
    assert len(everything["series"][0]["values"]) == len(everything["series"][0]["timestamps"]) == 5
    assert signed_in.get(path, {"min_step": 1, "max_step": 2}).json()["series"][0]["steps"] == [1, 2]
    assert signed_in.get(path, {"name": ["loss", "nothing"]}).json()["series"][0]["name"] == "loss"
    assert signed_in.get(path, {"name": "nothing"}).json()["series"] == []
    refused = signed_in.get(path, {"max_points": "many"})
    assert refused.status_code == 400
    assert "max_points must be a whole number" in unescape(refused.content.decode())


@pytest.mark.parametrize("page", ["abc", "-1", "0", "", "1.5", "²"])
def test_a_page_out_of_range_is_the_nearest_one(signed_in: Client, things: Things, page: str) -> None:
    job = things.training()
    assert str(job.pk) in signed_in.get("/ui/jobs/", {"page": page}).content.decode()
    assert str(job.pk) in signed_in.get("/ui/jobs/", {"page": 10**9}).content.decode()


def links(page: str, words: str) -> list[str]:
    """The addresses with these words in them, that the page links to."""
    return [unescape(found) for found in re.findall(r'(?:href|hx-get)="([^"]*)"', page) if words in found]


def test_pages_and_filters_keep_each_other(signed_in: Client, things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.views.jobs.PAGE", 2)
    data_path = things.dataset().public_id
    for number in range(5):
        things.training(data_path=data_path, description=f"grapes & trees {number}")
    things.training(data_path=data_path, description="other")
    asked = {"q": "grapes & trees", "status": "pending", "kind": "training", "model_type": "random_forest", "page": "2"}
    page = signed_in.get("/ui/jobs/", asked).content.decode()
    assert "3–4 of 5" in page
    kept = "q=grapes+%26+trees&status=pending&kind=training&model_type=random_forest"
    assert f"?{kept}&page=3" in links(page, "page=")
    assert f"?{kept}&page=1" in links(page, "page=")
    assert f"/ui/jobs/export.csv?{kept}&page=2" in links(page, "export.csv")
    assert [link for link in links(page, "seen=") if link.startswith(f"?{kept}&page=2")]
    assert 'value="grapes &amp; trees"' in page
    assert page.count("selected") == 3
    rows = b"".join(signed_in.get("/ui/jobs/export.csv", asked)).decode().splitlines()
    assert len(rows) == 1 + 5


def test_models_keep_their_filters_on_every_page(
    signed_in: Client, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.views.models.PAGE", 2)
    for number in range(3):
        things.model(name=f"plant {number}")
    page = signed_in.get("/ui/models/", {"q": "plant", "model_type": "random_forest"}).content.decode()
    assert "?q=plant&model_type=random_forest&page=2" in links(page, "page=2")
    last = signed_in.get("/ui/models/", {"q": "plant", "page": "2"}).content.decode()
    assert "plant 0" in last and "plant 2" not in last


def test_a_list_that_has_not_moved_answers_nothing(signed_in: Client, things: Things) -> None:
    job = things.training()
    page = signed_in.get("/ui/jobs/", headers={"HX-Request": "true"}).content.decode()
    (again,) = links(page, "seen=")
    assert signed_in.get(f"/ui/jobs/{again}", headers={"HX-Request": "true"}).status_code == 204
    assert signed_in.post(f"/ui/jobs/{job.pk}/cancel/").status_code == 302
    moved = signed_in.get(f"/ui/jobs/{again}", headers={"HX-Request": "true"})
    assert moved.status_code == 200
    assert links(moved.content.decode(), "seen=") != [again]
    assert moved.content.decode().count("seen=") == 1
