"""Whatever is sent, the answer is a 4xx in the contract's own error body, at the field, and nothing is stored."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.contracts.tracking.conftest import Api
from tracking.models import MetricSegment, Project, Run, User

pytestmark = pytest.mark.django_db

DEEP: Any = 1
for _ in range(70):
    DEEP = [DEEP]
NO_TEXT = (None, True, 5, 0.5, [], ["a"], {}, {"a": 1})
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "project": {
        "name": (*NO_TEXT, "", "  ", "x" * 201, "x" * 100_000),
        "description": (True, 5, [], {}, "x" * 10_001),
        "is_public": (5, 1, 0, "true", "", [], {}),
    },
    "run": {
        "name": (*NO_TEXT, "", " \n", "x" * 300),
        "config": (True, 5, "x", [], [1], {"big": "x" * 1_100_000}),
        "tags": (True, 5, "demo", {"a": 1}, [1], [None], [[]], [""], ["x" * 101], [str(n) for n in range(101)]),
        "notes": (True, 5, [], {}, "x" * 100_001),
        "status": (True, 5, "", "done", "RUNNING", [], {}, "x" * 10_000),
        "started_at": (True, 5, "", "yesterday", "10000-01-01T00:00:00", "2023-13-01T00:00:00", [], {}),
    },
    "run change": {
        "name": (True, 5, "", [], "x" * 300),
        "status": (True, 5, "", "done", "pending", ["running"]),
        "status_reason": (5, [], "x" * 501),
        "ended_at": (True, 5, "", "soon", "9999-12-31T23:59:59-14:00", [], {}),
        "archived": (1, "true", [], {}),
        "tags": (5, "a", [1]),
    },
    "member": {
        "username": (*NO_TEXT, "", "nobody", "x" * 300, "😀"),
        "role": (True, 5, "", "king", ["owner"], {}),
    },
}
PLACES = {
    "project": ("POST", "/projects/", {"name": "fine"}),
    "run": ("POST", "/runs/?project_id={project_id}", {"name": "fine"}),
    "run change": ("PUT", "/runs/{run_id}", {}),
    "member": ("POST", "/projects/{project_id}/members", {"username": "ann", "role": "viewer"}),
}
CASES = [
    pytest.param(place, field, value, id=f"{place}-{field}-{str(value)[:20]!r}-{type(value).__name__}")
    for place, fields in WRONG.items()
    for field, values in fields.items()
    for value in values
]
BODIES = (
    ("malformed", b"{", 400),
    ("two values", b"{} {}", 400),
    ("a list", b"[]", 400),
    ("a number", b"5", 400),
    ("null", b"null", 400),
    ("no utf-8", b'{"name": "\xff"}', 400),
    ("NUL", b'{"name": "a\\u0000b"}', 400),
    ("NUL as a key", b'{"a\\u0000b": 1, "name": "x"}', 400),
    ("half a surrogate pair", b'{"name": "\\ud800"}', 400),
    ("deep", json.dumps({"name": "x", "config": DEEP}).encode(), 400),
    ("very deep", b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    ("2^64", b'{"name": "x", "config": {"seed": 18446744073709551616}}', 400),
    ("huge", b'{"name": "' + b"x" * (17 * 1024 * 1024) + b'"}', 413),
)
POSTS = ("/projects/", "/runs/?project_id={project_id}", "/metrics/{run_id}", "/metrics/{run_id}/batch")


def counts() -> tuple[int, int, int]:
    return Project.objects.count(), Run.objects.count(), MetricSegment.objects.count()


@pytest.mark.parametrize(("place", "field", "value"), CASES)
def test_a_field_of_the_wrong_kind_is_400_at_its_name(
    api: Api, project_id: int, run_id: int, place: str, field: str, value: Any
) -> None:
    method, path, fine = PLACES[place]
    before = counts()
    answer = api.call(method, path.format(project_id=project_id, run_id=run_id), {**fine, field: value})
    assert answer.status == 400, answer.body
    assert answer.body["detail"] == "Validation error"
    assert {name.partition(".")[0] for name in answer.body["errors"]} == {field}
    assert len(json.dumps(answer.body)) < 1000
    assert counts() == before


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(("body", "status"), [pytest.param(body, status, id=name) for name, body, status in BODIES])
def test_a_body_that_cannot_be_kept_is_refused(
    api: Api, project_id: int, run_id: int, path: str, body: bytes, status: int
) -> None:
    before = counts()
    answer = api.call("POST", path.format(project_id=project_id, run_id=run_id), body)
    assert answer.status == status, answer.body
    assert set(answer.body) <= {"detail", "errors", "reason"}
    assert len(json.dumps(answer.body)) < 1000
    assert counts() == before


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_config_holds_what_json_can(api: Api, project_id: int, literal: bytes) -> None:
    answer = api.call("POST", f"/runs/?project_id={project_id}", b'{"name": "x", "config": {"lr": ' + literal + b"}}")
    assert answer.status == 400
    assert f"{literal.decode()} is no JSON number" in answer.body["detail"]


def test_what_is_odd_but_sane_is_kept(api: Api, project_id: int) -> None:
    order = {
        "name": "😀 ünï ‮ <script>alert(1)</script>",
        "config": {"": {"a.b": [None, True, 1e308, -(2**63), 2**64 - 1, "😀", {}]}, "__proto__": 1},
        "tags": [" padded ", "padded", "a,b", "😀"],
        "notes": "line\nline",
        "started_at": "0001-01-01T00:00:00",
    }
    created = api.call("POST", f"/runs/?project_id={project_id}", order)
    assert created.status == 201
    read = api.call("GET", f"/runs/{created.body['id']}").body
    assert read == created.body
    assert read == {**created.body, **order, "tags": ["padded", "a,b", "😀"]}
    renamed = api.call("PUT", f"/runs/{read['id']}", {"name": "still changeable"})
    assert (renamed.status, renamed.body["config"]) == (200, order["config"])


def test_null_is_the_same_as_leaving_out(api: Api, project_id: int) -> None:
    project = api.call("POST", "/projects/", {"name": "x", "description": None})
    assert (project.status, project.body["description"]) == (201, "")
    run = api.call("POST", f"/runs/?project_id={project_id}", {"name": "x", "config": None, "tags": None})
    assert (run.status, run.body["config"], run.body["tags"]) == (201, {}, [])


def test_an_unknown_field_names_the_nearest_known_one(api: Api, project_id: int, run_id: int) -> None:
    for method, path, sent, near in (
        ("POST", "/projects/", {"name": "x", "desciption": "y"}, "description"),
        ("PUT", f"/projects/{project_id}", {"public": True}, "is_public"),
        ("POST", f"/runs/?project_id={project_id}", {"name": "x", "tag": []}, "tags"),
        ("PUT", f"/runs/{run_id}", {"stauts": "completed"}, "status"),
    ):
        answer = api.call(method, path, sent)
        assert answer.status == 400
        ((field, sentences),) = answer.body["errors"].items()
        assert field in sent
        assert f"did you mean '{near}'?" in sentences[0]


@pytest.mark.parametrize("project", ["", "x", "1.5", "1e3", "null", "true", "😀", "-"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_project_id_that_is_no_number_is_400(api: Api, run_id: int, method: str, project: str) -> None:
    answer = api.call(method, f"/runs/?project_id={project}", {"name": "x"} if method == "POST" else None)
    if (method, project) == ("GET", ""):
        assert answer.status == 200  # a form that was left empty
    else:
        assert (answer.status, list(answer.body["errors"])) == (400, ["project_id"])


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 18, "9" * 400, "x", "1.0", "٣", "%00", "😀", "1%2F2"])
@pytest.mark.parametrize(
    "path",
    ["/projects/{}", "/runs/{}", "/metrics/{}", "/metrics/{}/summary", "/metrics/{}/history/a", "/runs?project_id={}"],
)
def test_an_id_that_nothing_has_is_404(api: Api, user: User, path: str, number: str) -> None:
    answer = api.call("GET", path.format(number))
    is_query = "?" in path
    assert answer.status in ((404, 400) if is_query or number == "%00" else (404,))
    if answer.status == 404:
        assert answer.body["detail"] == "Resource not found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/projects/", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/runs/{run_id}", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("PUT", "/metrics/{run_id}", "GET, POST, HEAD, OPTIONS"),
        ("GET", "/metrics/{run_id}/batch", "POST, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    api: Api, run_id: int, method: str, path: str, allowed: str
) -> None:
    answer = api.call(method, path.format(run_id=run_id))
    assert (answer.status, list(answer.body)) == (405, ["detail"])
    assert set(answer.headers["Allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize("path", ["/projects/", "/runs/", "/metrics/1", "/metrics/1/batch"])
def test_who_does_not_say_who_it_is_gets_401(client: Client, db: None, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        answer = client.post(path, "{}", content_type="application/json", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Could not validate credentials"}
        assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", POSTS)
def test_a_wrong_content_type_is_415(api: Api, project_id: int, run_id: int, path: str) -> None:
    where = path.format(project_id=project_id, run_id=run_id)
    answer = api.client.post(where, "name=x", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, list(answer.json())) == (415, ["detail"])


def test_a_session_needs_its_csrf_token(user: User, run_id: int) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    answer = client.post(f"/metrics/{run_id}", '{"name": "a", "value": 1}', content_type="application/json")
    assert answer.status_code == 403
    assert answer.json()["detail"] == "Not enough permissions"


def test_an_unforeseen_failure_says_nothing_but_its_id(api: Api, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("secret /srv/path SELECT")

    monkeypatch.setattr("api.tracking.views.run_get", broken)
    answer = api.call("GET", f"/runs/{run_id}")
    assert answer.status == 500
    assert answer.body["detail"] == "Internal server error"
    assert set(answer.body) == {"detail", "request_id"}
