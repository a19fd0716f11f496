"""`GET /runs/` narrowed and sorted by the filter language: an extension of the document's list."""

from typing import Any

import pytest

from tests.contracts.tracking.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(api: Api, project_id: int) -> dict[str, int]:
    made = {}
    for name, lr, loss in (("a", 0.1, 0.5), ("b", 0.01, 0.2), ("c", 0.1, 0.1)):
        body = {"name": name, "config": {"lr": lr}, "tags": ["baseline"] if name == "a" else []}
        made[name] = api.call("POST", f"/runs/?project_id={project_id}", body).body["id"]
        api.call("POST", f"/metrics/{made[name]}", {"name": "loss", "value": loss})
    return made


def names(api: Api, project_id: int, **query: str) -> list[str]:
    answer = api.client.get("/runs/", {"project_id": project_id, **query})
    assert answer.status_code == 200, answer.content
    assert answer.headers["X-Total-Count"] == str(len(answer.json()))
    return [run["name"] for run in answer.json()]


def test_a_filter_and_a_sort_narrow_the_list(api: Api, project_id: int, runs: dict[str, int]) -> None:
    assert names(api, project_id, filter="metrics.loss.min < 0.3") == ["c", "b"]
    assert names(api, project_id, filter='config.lr = 0.1 or tags has "baseline"', sort="metrics.loss") == ["c", "a"]
    assert names(api, project_id, sort="-metrics.loss") == ["a", "b", "c"]
    assert names(api, project_id, filter='name = "nobody"') == []


@pytest.mark.parametrize("skip", [0, 1, 2, 9])
@pytest.mark.parametrize("limit", [0, 1, 9])
@pytest.mark.parametrize("sort", ["", "metrics.loss"])
def test_a_page_of_filtered_runs_says_how_many_there_are_in_all(
    api: Api, project_id: int, runs: dict[str, int], skip: int, limit: int, sort: str
) -> None:
    query = {"project_id": project_id, "filter": "metrics.loss.min < 0.3", "sort": sort, "skip": skip, "limit": limit}
    answer = api.client.get("/runs/", query)
    assert [run["name"] for run in answer.json()] == ["c", "b"][skip : skip + limit]
    assert answer.headers["X-Total-Count"] == "2"


def test_filtered_and_sorted_runs_are_chosen_and_counted_by_one_statement(
    api: Api, project_id: int, runs: dict[str, int], django_assert_max_num_queries: Any
) -> None:
    query = {"project_id": project_id, "filter": "metrics.loss.min < 0.3", "sort": "metrics.loss"}
    api.client.get("/runs/", query)
    with django_assert_max_num_queries(4):  # the key with its user, and its last use; the project; the runs
        assert api.client.get("/runs/", query).status_code == 200


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ({"filter": "metrics.loss <"}, "filter", "Character 15"),
        ({"filter": "nmae = 'a'"}, "filter", "Did you mean “name”?"),
        ({"sort": "metrics.loss <"}, "sort", "not one field"),
        ({"sort": "nmae"}, "sort", "Did you mean “name”?"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(
    api: Api, project_id: int, query: dict[str, Any], field: str, says: str
) -> None:
    answer = api.client.get("/runs/", {"project_id": project_id, **query})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Validation error"
    assert says in answer.json()["errors"][field][0]
