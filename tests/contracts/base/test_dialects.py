"""Every error of every contract has that contract's body."""

import pytest
from django.test import Client

UNKNOWN = {
    "/projects-of-old": None,
    "/auth/nope": {"detail": "Resource not found"},
    "/projects/1/nope": {"detail": "Resource not found"},
    "/v1/nope": {"detail": "Resource not found"},
    "/jobs/a/b/c": {"error": "Not found", "detail": "Resource not found", "status_code": 404},
    "/health/nope": {"error": "Not found", "detail": "Resource not found", "status_code": 404},
    "/api/v1/train/a/b/c": {"error": "not_found", "message": "Resource not found", "details": {}},
    "/api/v1/nope": {"error": "NOT_FOUND", "message": "Resource not found", "metadata": {}},
}


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize("path", [path for path, body in UNKNOWN.items() if body])
def test_an_unknown_path_answers_in_its_contracts_words_whatever_is_accepted(
    client: Client, path: str, accept: str
) -> None:
    answer = client.get(path, headers={"accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json() == UNKNOWN[path]


def test_an_unknown_path_of_no_contract_is_a_page_for_browsers_and_json_for_programs(client: Client) -> None:
    assert client.get("/projects-of-old", headers={"accept": "text/html"})["Content-Type"].startswith("text/html")
    for accept in ("application/json", "*/*"):
        answer = client.get("/projects-of-old", headers={"accept": accept})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Resource not found"})
