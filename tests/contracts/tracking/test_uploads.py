"""Uploads in pieces by the contract's extension."""

import hashlib

import pytest

from jobs.services import artifact_assembly as assembly
from jobs.services import artifact_uploads as uploads
from tests.conftest import wait_until
from tests.contracts.tracking.conftest import Api
from tracking.models import Artifact, ArtifactUpload, ProjectMember, Run

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 4
ORDER = {"path": "a b/ü.bin", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MIN_PIECE", 10)


@pytest.fixture
def place(run_id: int) -> str:
    return f"/runs/{run_id}/uploads"


def test_a_file_comes_in_pieces(api: Api, place: str) -> None:
    begun = api.call("POST", place, ORDER)
    assert begun.status == 201
    assert {name: begun.body[name] for name in ("path", "size", "sha256", "offset")} == {**ORDER, "offset": 0}
    assert set(begun.body) == {
        "id", "path", "size", "sha256", "offset", "min_piece", "max_piece", "created_at", "expires_at"
    }  # fmt: skip
    one = f"{place}/{begun.body['id']}"
    sent = api.call("PATCH", one, CONTENT[:600], **{"Upload-Offset": "0"})
    assert (sent.status, sent.body["offset"], sent.headers["Upload-Offset"]) == (200, 600, "600")
    assert api.call("POST", place, ORDER).status == 200
    refused = api.call("PATCH", one, CONTENT[:600], **{"Upload-Offset": "0"})
    assert (refused.status, list(refused.body["errors"])) == (400, ["offset"])
    assert api.call("GET", one).body["offset"] == 600
    assert api.client.head(one).headers["Upload-Offset"] == "600"
    early = api.call("POST", f"{one}/complete")
    assert (early.status, list(early.body["errors"])) == (400, ["offset"])
    digest = hashlib.sha256(CONTENT[600:]).hexdigest()
    api.call("PATCH", f"{one}/", CONTENT[600:], **{"Upload-Offset": "600", "X-Content-SHA256": digest})
    done = api.call("POST", f"{one}/complete")
    assert (done.status, done.body["path"], done.body["sha256"]) == (201, ORDER["path"], ORDER["sha256"])
    assert [api.call(method, one).status for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.django_db(transaction=True)
def test_a_large_file_is_answered_when_it_was_read(api: Api, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "AT_ONCE", 10)
    monkeypatch.setattr(assembly, "PATIENCE", 0.0)
    one = f"{place}/{api.call('POST', place, ORDER).body['id']}"
    api.call("PATCH", one, CONTENT, **{"Upload-Offset": "0"})
    first = api.call("POST", f"{one}/complete")
    assert (first.status, first.body["offset"], first.headers["Retry-After"]) == (202, len(CONTENT), "1")

    def is_answered() -> bool:
        answers.append(api.call("POST", f"{one}/complete"))
        return answers[-1].status != 202

    answers: list = []
    wait_until(is_answered, what="the file")
    assert (answers[-1].status, answers[-1].body["sha256"]) == (201, ORDER["sha256"])


def test_an_order_needs_no_digest(api: Api, place: str) -> None:
    order = {name: ORDER[name] for name in ("path", "size")}
    begun = [api.call("POST", place, order) for _ in range(2)]
    assert [(answer.status, answer.body["sha256"]) for answer in begun] == [(201, ""), (201, "")]
    assert begun[0].body["id"] != begun[1].body["id"]


def test_an_upload_is_given_up(api: Api, place: str) -> None:
    one = f"{place}/{api.call('POST', place, ORDER).body['id']}"
    assert [api.call("DELETE", one).status for _ in range(2)] == [204, 404]


@pytest.mark.parametrize("offset", [None, "", "-1", "x", "1.5", "9" * 30, "٣"])
def test_a_piece_says_where_it_begins(api: Api, place: str, offset: str | None) -> None:
    one = f"{place}/{api.call('POST', place, ORDER).body['id']}"
    headers = {} if offset is None else {"Upload-Offset": offset}
    answer = api.call("PATCH", one, CONTENT, **headers)
    assert answer.status == 400
    assert "detail" in answer.body


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": 2**60}, {"size": "x"}, {"sha256": "x" * 64}, {"sha256": ""}, {"path": "../x"},
     {"path": "x\0"}, {"path": None}, {"more": 1}],
)  # fmt: skip
def test_odd_orders_are_refused(api: Api, place: str, change: dict) -> None:
    answer = api.call("POST", place, {**ORDER, **change})
    assert answer.status == 400
    assert answer.body["detail"] == "Validation error"
    assert not ArtifactUpload.objects.exists()


def test_viewers_and_strangers_upload_nothing(api: Api, place: str, make_user, api_of) -> None:
    one = f"{place}/{api.call('POST', place, ORDER).body['id']}"
    bob = make_user("bob")
    calls = [("POST", place), ("GET", one), ("PATCH", one), ("POST", f"{one}/complete"), ("DELETE", one)]
    theirs = api_of(bob)

    def statuses() -> list[int]:
        return [theirs.call(m, p, ORDER if p == place else None, **{"Upload-Offset": "0"}).status for m, p in calls]

    assert statuses() == [403] * 5
    ProjectMember.objects.create(project=Run.objects.get().project, user=bob, role="viewer")
    assert statuses() == [403] * 5
    assert not Artifact.objects.exists()


@pytest.mark.parametrize("path", ["x", "0" * 31, "0" * 33, "0" * 31 + "G", "0" * 32])
def test_there_is_no_such_upload(api: Api, place: str, path: str) -> None:
    assert api.call("GET", f"{place}/{path}").status == 404
