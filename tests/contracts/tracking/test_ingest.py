"""The short way for metrics answers as the view does, or leaves the request to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from api.tracking import ingest
from tests.contracts.tracking.conftest import Api, ShortWay, compared, encoded
from tracking import store
from tracking.models import IdempotencyKey, MetricSegment, ProjectMember, User
from tracking.services.accounts import api_key_create, api_key_revoke, user_deactivate, user_register
from tracking.services.members import member_remove
from tracking.services.trash import project_trash, run_trash

pytestmark = pytest.mark.django_db(transaction=True)


def stored(run_id: int) -> list[tuple[str, int, float]]:
    points = store.read_points(run_id=run_id, after=0, until=10**9)
    return [(point.name, point.step, point.value) for point in points]


PLAIN: dict[str, tuple[str, Any]] = {
    "a point": ("", {"name": "loss", "value": 0.5, "step": 1}),
    "a point without a step": ("", {"name": "loss", "value": 1}),
    "a name in any script": ("", {"name": "größe/🎈", "value": -1e300, "step": -3}),
    "NaN as a word": ("", {"name": "loss", "value": "NaN", "step": 2**62}),
    "NaN as Python writes it": ("", b'{"name": "loss", "value": NaN, "step": 0}'),
    "a time": ("", {"name": "loss", "value": 0.5, "step": 1, "timestamp": "2023-01-01T00:00:00"}),
    "many metrics": ("/batch", {"metrics": {"loss": 0.5, "accuracy": 0.85, "learning_rate": 0.001}, "step": 1}),
    "many metrics without a step": ("/batch", {"metrics": {"loss": 0.5, "accuracy": "Infinity"}}),
    "points": ("/batch", {"points": [{"name": "b", "value": 1}, {"name": "a", "value": 2}, {"name": "b", "value": 3}]}),
    "columns": ("/batch", {"series": {"loss": {"steps": [5, 3, 3], "values": [1, 2.5, 0], "timestamps": [3, 2, 1.5]}}}),
    "columns of values": ("/batch", {"series": {"b": {"values": [1.0] * 40}, "a": {"values": [2]}}}),
    "columns with a NaN": ("/batch", {"series": {"loss": {"values": [1.0, "NaN", 3.0], "steps": [1, 2, 3]}}}),
    "columns with times in words": (
        "/batch",
        {"series": {"loss": {"values": [1.0, 2.0], "timestamps": ["2023-01-01T00:00:00", "2023-01-01T00:00:01.5"]}}},
    ),
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_plain_is_answered_and_stored_as_by_the_view(
    api: Api, short: ShortWay, project_id: int, case: str
) -> None:
    suffix, body = PLAIN[case]
    runs = [api.call("POST", f"/runs/?project_id={project_id}", {"name": "r"}).body["id"] for _ in range(2)]
    for _ in range(2):
        theirs = api.call("POST", f"/metrics/{runs[0]}{suffix}", body)
        ours = short.call(f"/metrics/{runs[1]}{suffix}", body)
        assert short.passed_on == 0
        assert ours.status == theirs.status == 201
        if "id" in theirs.body:
            assert ours.body.keys() == theirs.body.keys()
            point = store.read_points(run_id=runs[1], after=0, until=10**9)[-1]
            assert (ours.body["step"], ours.body["name"]) == (point.step, point.name)
            assert ours.body["id"] == MetricSegment.objects.filter(run_id=runs[1]).last().first_id
            same = ("name", "value", "step", *(["timestamp"] if b"timestamp" in encoded(body) else []))
            assert {name: ours.body[name] for name in same} == {name: theirs.body[name] for name in same}
        else:
            assert ours.body == theirs.body
        assert compared(ours.headers) == compared(theirs.headers)
        assert {"x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"} <= ours.headers.keys()
    assert str(stored(runs[0])) == str(stored(runs[1]))
    summaries = [
        [
            (s.name, s.count, s.nan_count, str(s.last_value), s.last_step, s.min_value, s.max_value, s.mean_value)
            for s in store.summaries(run)
        ]
        for run in runs
    ]
    assert summaries[0] == summaries[1]


REFUSED: dict[str, tuple[str, Any, dict[str, str]]] = {
    "no value": ("", {"name": "loss"}, {}),
    "an unknown field": ("", {"name": "loss", "value": 1, "stp": 1}, {}),
    "a true": ("", {"name": "loss", "value": True}, {}),
    "trues among numbers": ("/batch", {"series": {"loss": {"values": [1, True]}}}, {}),
    "a list": ("", [1], {}),
    "no JSON": ("", b"{", {}),
    "an empty body": ("", b"", {}),
    "a step beyond 2^62": ("/batch", {"series": {"loss": {"values": [1], "steps": [2**62 + 1]}}}, {}),
    "columns of two lengths": ("/batch", {"series": {"loss": {"values": [1], "steps": [1, 2]}}}, {}),
    "a blank name": ("/batch", {"series": {" ": {"values": [1]}}}, {}),
    "NUL in a name": ("/batch", {"metrics": {"a\0": 1}}, {}),
    "another content type": ("", b"name=loss&value=1", {"content-type": "text/plain"}),
    "a key that is none": ("", {"name": "loss", "value": 1}, {"idempotency-key": ""}),
    "a wrong token": ("", {"name": "loss", "value": 1}, {"authorization": "Bearer amk_wrong"}),
    "no token": ("", {"name": "loss", "value": 1}, {"authorization": ""}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_in_the_views_words(api: Api, short: ShortWay, run_id: int, case: str) -> None:
    suffix, body, headers = REFUSED[case]
    data = encoded(body)
    content_type = headers.get("content-type", "application/json")
    others = {name: value for name, value in headers.items() if name != "content-type"}
    theirs = api.client.generic("POST", f"/metrics/{run_id}{suffix}", data, content_type=content_type, headers=others)
    ours = short.call(f"/metrics/{run_id}{suffix}", body, **headers)
    assert short.passed_on == 1
    assert ours.status == theirs.status_code >= 400
    assert ours.body == json.loads(theirs.content)
    assert stored(run_id) == []


def test_one_bad_request_among_many_spoils_no_other(api: Api, short: ShortWay, project_id: int) -> None:
    runs = [api.call("POST", f"/runs/?project_id={project_id}", {"name": "r"}).body["id"] for _ in range(3)]
    requests: list[tuple[str, Any, dict[str, str]]] = []
    for number in range(60):
        requests.append((f"/metrics/{runs[number % 3]}", {"name": "loss", "value": number}, {}))
        if number % 10 == 0:
            requests.append((f"/metrics/{runs[0]}", {"name": "loss", "value": "much"}, {}))
            requests.append(("/metrics/999999", {"name": "loss", "value": 1}, {}))
    answers = short.at_once(requests)
    assert [answer.status for answer in answers].count(400) == 6
    assert [answer.status for answer in answers].count(404) == 6
    good = [answer.body for answer in answers if answer.status == 201]
    assert len({body["id"] for body in good}) == 60
    for run in runs:
        steps = sorted(body["step"] for body in good if body["run_id"] == run)
        assert steps == list(range(20))
        assert sorted(value for _, _, value in stored(run)) == sorted(
            body["value"] for body in good if body["run_id"] == run
        )


def test_requests_that_wait_together_are_one_segment_a_run(
    api: Api, short: ShortWay, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.Committer, "_work", hold_until(short, 30))
    answers = short.at_once([(f"/metrics/{run_id}", {"name": "loss", "value": n}, {}) for n in range(30)])
    assert {answer.status for answer in answers} == {201}
    assert MetricSegment.objects.filter(run_id=run_id).count() == 1


def hold_until(short: ShortWay, count: int) -> Callable[..., None]:
    """A committer that takes nothing before `count` requests wait."""
    work = ingest.Committer._work

    def held(self: ingest.Committer) -> None:
        while self._waiting.qsize() < count:
            pass
        work(self)

    return held


def test_a_repeated_key_adds_nothing_however_often_and_however_close(api: Api, short: ShortWay, run_id: int) -> None:
    body = {"name": "loss", "value": 0.5}
    answers = short.at_once([(f"/metrics/{run_id}", body, {"Idempotency-Key": "k-1"})] * 8)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert api.call("POST", f"/metrics/{run_id}", body, **{"Idempotency-Key": "k-1"}).body == answers[0].body
    other = short.call(f"/metrics/{run_id}", {"name": "loss", "value": 1}, **{"Idempotency-Key": "k-1"})
    assert other.status == 400
    assert len(stored(run_id)) == 1


def test_a_batch_with_a_key_to_a_known_run_takes_the_shortest_way(
    short: ShortWay, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = f"/metrics/{run_id}/batch", {"series": {"loss": {"values": [1.0, 2.0]}}}
    assert short.call(path, body).status == 201

    def longer(*_: Any) -> None:
        raise AssertionError("it was locked and read first")

    monkeypatch.setattr("tracking.services.ingest.append_group", longer)
    answer = short.call(path, body, **{"Idempotency-Key": "k-1"})
    assert (answer.status, short.passed_on) == (201, 0)
    [key] = IdempotencyKey.objects.filter(run_id=run_id)
    assert (key.key, key.answer) == ("k-1", answer.body)
    assert len(stored(run_id)) == 4


def test_a_repeated_key_costs_the_others_of_its_group_nothing(api: Api, short: ShortWay, project_id: int) -> None:
    runs = [api.call("POST", f"/runs/?project_id={project_id}", {"name": "r"}).body["id"] for _ in range(2)]
    body = {"series": {"loss": {"values": [1.0]}}}
    key = {"Idempotency-Key": "k"}
    assert [short.call(f"/metrics/{run}/batch", body, **key).status for run in runs] == [201, 201]
    new = [(f"/metrics/{run}/batch", body, {"Idempotency-Key": f"k-{n}"}) for n in range(3) for run in runs]
    old = [(f"/metrics/{runs[0]}/batch", body, key)] * 2
    answers = short.at_once([*new, *old, *new])
    assert {answer.status for answer in answers} == {201}
    assert [len(stored(run)) for run in runs] == [4, 4]


def test_a_key_that_the_view_has_seen_is_known_to_the_short_way(api: Api, short: ShortWay, run_id: int) -> None:
    body = json.dumps({"metrics": {"loss": 0.5}}).encode()
    first = api.call("POST", f"/metrics/{run_id}/batch", body, **{"Idempotency-Key": "k"})
    assert short.call(f"/metrics/{run_id}/batch", body, **{"Idempotency-Key": "k"}).body == first.body
    assert len(stored(run_id)) == 1


def test_rights_that_end_end_at_once(api: Api, short: ShortWay, user: User, project_id: int, run_id: int) -> None:
    point = {"name": "loss", "value": 1}

    def status(way: ShortWay, run: int = run_id) -> int:
        return way.call(f"/metrics/{run}", point).status

    assert status(short) == 201
    friend = user_register(username="friend", email="friend@example.com", password="a long password")
    ProjectMember.objects.create(project_id=project_id, user=friend, role="editor")
    key, secret = api_key_create(owner=friend, name="x")
    theirs = ShortWay(secret)
    assert status(theirs) == 201
    member_remove(user=user, project_id=project_id, member_id=friend.pk)
    assert status(theirs) == 403
    ProjectMember.objects.create(project_id=project_id, user=friend, role="editor")
    assert status(theirs) == 201
    api_key_revoke(key=key)
    assert status(theirs) == 401
    again = ShortWay(api_key_create(owner=friend, name="y")[1])
    assert status(again) == 201
    user_deactivate(user=friend)
    assert status(again) == 401
    other = api.call("POST", f"/runs/?project_id={project_id}", {"name": "r"}).body["id"]
    assert status(short, other) == 201
    run_trash(user=user, run_id=other)
    assert status(short, other) == 404
    assert status(short) == 201
    project_trash(user=user, project_id=project_id)
    assert status(short) == 404


def test_the_limit_counts_the_short_way_and_the_view_together(
    api: Api, short: ShortWay, run_id: int, settings: Any
) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_metrics": "5/h"}
    point = {"name": "loss", "value": 1}
    assert api.call("POST", f"/metrics/{run_id}", point).status == 201
    answers = short.at_once([(f"/metrics/{run_id}", point, {})] * 7)
    assert [answer.status for answer in answers].count(201) == 4
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 3
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status == 201]
    assert sorted(left) == [0, 1, 2, 3]
    assert len(stored(run_id)) == 5


def test_without_the_database_nothing_is_acknowledged(
    short: ShortWay, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(ingest, "group_log", away)
    monkeypatch.setattr("api.tracking.metric_views.points_log", lambda **_: away())
    answer = short.call(f"/metrics/{run_id}", {"name": "loss", "value": 1})
    assert answer.status == 503
    assert stored(run_id) == []


def test_a_full_queue_says_when_to_come_again(short: ShortWay, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MAX_WAITING", 0)
    answer = short.call(f"/metrics/{run_id}", {"name": "loss", "value": 1})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.body["detail"].startswith("More metrics wait")
    assert stored(run_id) == []
