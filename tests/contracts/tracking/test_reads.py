"""The short way for reads answers as the view does, or leaves the request to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from api.tracking import reads
from tests.contracts.tracking.conftest import Api, ShortWay, compared
from tracking import access, store
from tracking.models import Project, Run, User
from tracking.services.members import member_add, member_remove
from tracking.services.metrics import points_log
from tracking.services.projects import project_create, project_update
from tracking.services.runs import run_create, run_update
from tracking.services.trash import project_trash, run_trash

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def filled(project_id: int) -> tuple[int, int]:
    """A project with runs of all kinds, and one of them, with points of all kinds."""
    project = Project.objects.get(pk=project_id)
    runs = [
        run_create(project=project, name=f"größe {number} 🎈", config={"lr": number}, tags=["a", "ü"] * (number % 2))
        for number in range(7)
    ]
    run_update(user=project.owner, run_id=runs[1].pk, changes={"status": "completed"})
    run_update(user=project.owner, run_id=runs[2].pk, changes={"archived": True})
    Run.objects.filter(pk=runs[3].pk).update(started_at="2023-01-01T00:00:00Z")
    run_trash(user=project.owner, run_id=runs[4].pk)
    run = runs[0].pk
    points_log(run_id=run, points=[store.Point("loss", 1 / (1 + n), step=n) for n in range(300)])
    points_log(run_id=run, points=[store.Point("a/b", value, step=5) for value in (1.0, float("nan"), 3.0)])
    return project_id, run


PLAIN = {
    "a page": "/runs/?project_id={project}",
    "a page without the slash": "/runs?project_id={project}",
    "a page in the middle": "/runs/?project_id={project}&skip=2&limit=2",
    "a page beyond the end": "/runs/?project_id={project}&skip=1000",
    "a page of nothing": "/runs/?project_id={project}&limit=0",
    "a page of more than there may be": "/runs/?limit=999999999&project_id={project}",
    "a chart": "/metrics/{run}/history/loss?max_points=2000",
    "a thinned chart": "/metrics/{run}/history/loss?max_points=20",
    "a chart from a step on": "/metrics/{run}/history/loss?max_points=20&since_step=200",
    "a chart with NaN and a slash": "/metrics/{run}/history/a/b?max_points=20",
    "a chart with a slash as it should be sent": "/metrics/{run}/history/a%2Fb?max_points=20",
}
PASSED_ON = {
    "runs of all projects": ("/runs/", 200),
    "a filter": ("/runs/?project_id={project}&filter=tags has %22a%22", 200),
    "no number": ("/runs/?project_id={project}&limit=all", 400),
    "a number below zero": ("/runs/?project_id={project}&skip=-1", 400),
    "a number with blanks": ("/runs/?project_id={project}&limit=%205", 200),
    "digits of another script": ("/runs/?project_id={project}&limit=%D9%A3", 200),
    "the same twice": ("/runs/?project_id={project}&limit=2&limit=3", 200),
    "what is unknown": ("/runs/?project_id={project}&colour=5", 200),
    "too far": ("/runs/?project_id={project}&skip=999999999999999999999", 400),
    "no such project": ("/runs/?project_id=999999", 404),
    "too few points": ("/metrics/{run}/history/loss?max_points=4", 400),
    "a whole history": ("/metrics/{run}/history/loss", 200),
    "no such metric": ("/metrics/{run}/history/los?max_points=5", 404),
    "no such run": ("/metrics/999999/history/loss?max_points=5", 404),
    "a name that ends with a slash": ("/metrics/{run}/history/loss/?max_points=50", 200),
    "NUL in a name": ("/metrics/{run}/history/a%00b?max_points=50", 400),
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_plain_is_answered_as_by_the_view(
    api: Api, short: ShortWay, filled: tuple[int, int], case: str
) -> None:
    project, run = filled
    path = PLAIN[case].format(project=project, run=run)
    for _ in range(2):  # first the right is asked for, then it is known
        theirs, ours = api.call("GET", path), short.get(path)
        assert short.passed_on == 0
        assert ours.status == theirs.status == 200
        assert ours.body == theirs.body
        assert compared(ours.headers) == compared(theirs.headers)
        assert {"x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"} <= ours.headers.keys()


@pytest.mark.parametrize("case", PASSED_ON)
def test_what_is_not_plain_is_left_to_the_view(api: Api, short: ShortWay, filled: tuple[int, int], case: str) -> None:
    project, run = filled
    path, status = PASSED_ON[case]
    path = path.format(project=project, run=run)
    theirs, ours = api.call("GET", path), short.get(path.replace(" ", "%20"))
    assert short.passed_on == 1
    assert ours.status == theirs.status == status
    assert ours.body == theirs.body


HEADERS = {
    "no token": {"authorization": ""},
    "a wrong token": {"authorization": "Bearer amk_wrong"},
    "a password": {"authorization": "Basic YTpi"},
    "a page to read": {"accept": "text/html"},
}


@pytest.mark.parametrize("case", HEADERS)
def test_whoever_brings_no_good_token_or_wants_no_json_is_left_to_the_view(
    short: ShortWay, filled: tuple[int, int], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    async def view(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 418, "headers": []})

    monkeypatch.setattr(short, "django", view)
    for path in ("/runs/?project_id={project}", "/metrics/{run}/history/loss?max_points=20"):
        assert short.get(path.format(project=filled[0], run=filled[1]), **HEADERS[case]).status == 418
    assert len(reached) == 2


def test_open_mode_and_a_redirect_to_https_are_left_to_the_view(
    short: ShortWay, filled: tuple[int, int], settings: Any
) -> None:
    path = f"/runs/?project_id={filled[0]}"
    settings.OPEN_MODE = True
    assert (short.get(path).status, short.passed_on) == (200, 1)
    settings.OPEN_MODE = False
    settings.ALLOWED_HOSTS = ["*"]
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    anew = ShortWay(short.token)  # Django asks for these once
    assert (anew.get(path, **{"x-forwarded-proto": "http"}).status, anew.passed_on) == (301, 1)
    assert (anew.get(path, **{"x-forwarded-proto": "https"}).status, anew.passed_on) == (200, 1)


def test_what_others_may_not_see_they_do_not_get(short: ShortWay, filled: tuple[int, int], stranger: ShortWay) -> None:
    for path in (f"/runs/?project_id={filled[0]}", f"/metrics/{filled[1]}/history/loss?max_points=20"):
        assert short.get(path).status == 200
        assert stranger.get(path).status == 403


@pytest.fixture
def friend(user: User, api_of: Callable[[User], Api], django_user_model: Any) -> User:
    return django_user_model.objects.create_user(username="friend", email="friend@example.com", password="x" * 12)


@pytest.fixture
def stranger(friend: User) -> ShortWay:
    from tracking.services.accounts import api_key_create

    return ShortWay(api_key_create(owner=friend, name="reads")[1])


def test_rights_that_end_end_at_once(
    short: ShortWay, stranger: ShortWay, user: User, friend: User, filled: tuple[int, int]
) -> None:
    project, run = filled
    paths = (f"/runs/?project_id={project}", f"/metrics/{run}/history/loss?max_points=20")

    def statuses(way: ShortWay) -> list[int]:
        return [way.get(path).status for path in paths]

    member_add(user=user, project_id=project, username=friend.username, role="viewer")
    assert statuses(stranger) == [200, 200]
    member_remove(user=user, project_id=project, member_id=friend.pk)
    assert statuses(stranger) == [403, 403]
    project_update(user=user, project_id=project, changes={"is_public": True})
    assert statuses(stranger) == [200, 200]
    project_update(user=user, project_id=project, changes={"is_public": False})
    assert statuses(stranger) == [403, 403]
    assert statuses(short) == [200, 200]
    run_trash(user=user, run_id=run)
    assert statuses(short) == [200, 404]
    project_trash(user=user, project_id=project)
    assert statuses(short) == [404, 404]


def test_the_limit_counts_the_short_way_and_the_view_together(
    api: Api, short: ShortWay, filled: tuple[int, int], settings: Any
) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": "4/h"}
    path = f"/runs/?project_id={filled[0]}"
    assert api.call("GET", path).headers["X-RateLimit-Remaining"] == "3"
    answers = [short.get(path) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert int(answers[-1].headers["retry-after"]) > 0


def test_what_is_left_of_the_contracts_limits_is_the_same_by_both_ways(
    api: Api, short: ShortWay, filled: tuple[int, int], settings: Any
) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": "100/m", "tracking_hour": "1000/h"}
    path = f"/runs/?project_id={filled[0]}"
    answers = [short.get(path) if turn % 3 else api.call("GET", path) for turn in range(30)]
    left = [int(compared(answer.headers, "x-ratelimit-remaining")["x-ratelimit-remaining"]) for answer in answers]
    assert left == list(range(99, 69, -1))
    assert short.passed_on == 0


def test_where_the_database_fails_the_view_answers(
    short: ShortWay, filled: tuple[int, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(reads, "run_page", away)
    answer = short.get(f"/runs/?project_id={filled[0]}")
    assert (answer.status, short.passed_on, len(answer.body)) == (200, 1, 6)
    assert "the connection is closed" in caplog.text


def test_a_page_to_a_known_caller_is_two_statements(
    short: ShortWay, filled: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = reads.order_of(
        {
            "type": "http",
            "method": "GET",
            "path": "/runs/",
            "query_string": f"project_id={filled[0]}".encode(),
            "headers": [(b"authorization", f"Bearer {short.token}".encode())],
        }
    )
    assert order is not None
    access.forget()
    assert order.read(short.token) is not None
    with connection.execute_wrapper(asked := _Statements()):
        answer = order.read(short.token)
    assert answer is not None
    assert len(json.loads(answer.body)) == 6
    assert [sql.split(" FROM ")[0][:16] for sql in asked.sql] == ["SELECT id, name,", "SELECT count(*)"]


class _Statements:
    def __init__(self) -> None:
        self.sql: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.sql.append(sql)
        return execute(sql, params, many, context)


def test_runs_of_another_project_and_of_the_trash_are_on_no_page(
    short: ShortWay, user: User, filled: tuple[int, int]
) -> None:
    other = project_create(owner=user, name="other")
    run_create(project=other, name="elsewhere", config={}, tags=[])
    names = [run["name"] for run in short.get(f"/runs/?project_id={filled[0]}").body]
    assert names == [f"größe {number} 🎈" for number in (6, 5, 3, 2, 1, 0)]
