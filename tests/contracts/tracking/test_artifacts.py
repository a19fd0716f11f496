"""The files of runs by the contract's extension: bytes in, bytes out, and who may do what."""

import hashlib

import pytest

from tests.contracts.tracking.conftest import Api
from tests.services.s3 import s3_client, s3_clients, s3_server, s3_storage  # noqa: F401 (fixtures)
from tracking.models import Artifact, ProjectMember, Run

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def files(run_id: int) -> str:
    return f"/runs/{run_id}/artifacts"


def raw(api: Api, path: str, method: str = "GET", **headers: str):
    answer = api.client.generic(method, path, headers=headers)
    return answer, b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_file_comes_back_as_it_was_sent(api: Api, files: str) -> None:
    sent = api.call("PUT", f"{files}/a%20b/%C3%BC.html", CONTENT)
    assert sent.status == 201
    digest = hashlib.sha256(CONTENT).hexdigest()
    told = {name: sent.body[name] for name in ("path", "version", "size", "sha256", "content_type")}
    assert told == {"path": "a b/ü.html", "version": 1, "size": 1024, "sha256": digest, "content_type": "text/html"}
    for path in (f"{files}/a%20b/%C3%BC.html", f"{files}/a%20b/%C3%BC.html/"):
        answer, content = raw(api, path)
        assert content == CONTENT
    # Never shown as a page of this site.
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert answer["ETag"] == f'"{digest}"'
    head, nothing = raw(api, path, "HEAD")
    assert (head.status_code, head["Content-Length"], nothing) == (200, "1024", b"")


@pytest.mark.parametrize(
    ("wanted", "status", "first", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000-", 206, 1000, 1024),
        ("bytes=1000-9999", 206, 1000, 1024),
        ("bytes=-24", 206, 1000, 1024),
        ("bytes=-9999", 200, 0, 1024),
        ("bytes=0-", 200, 0, 1024),
        ("bytes=0-1,5-6", 200, 0, 1024),
        ("rows=1-2", 200, 0, 1024),
        ("bytes=1024-", 416, 0, 0),
        ("bytes=5-4", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
def test_a_part_of_a_file_is_sent(api: Api, files: str, wanted: str, status: int, first: int, end: int) -> None:
    api.call("PUT", f"{files}/x", CONTENT)
    answer, content = raw(api, f"{files}/x", Range=wanted)
    assert (answer.status_code, content) == (status, CONTENT[first:end])
    if status == 206:
        assert answer["Content-Range"] == f"bytes {first}-{end - 1}/1024"
    stale, whole = raw(api, f"{files}/x", **{"Range": wanted, "If-Range": '"other"'})
    assert (stale.status_code, whole) == (200, CONTENT)


@pytest.mark.usefixtures("s3_storage")
def test_a_bucket_gives_the_file_itself(api: Api, files: str) -> None:
    api.call("PUT", f"{files}/x", CONTENT)
    answer, _ = raw(api, f"{files}/x")
    assert answer.status_code == 302
    assert "X-Amz-Signature" in answer["Location"]


def test_nothing_is_a_file_too(api: Api, files: str) -> None:
    assert api.call("PUT", f"{files}/empty", b"").body["size"] == 0
    assert raw(api, f"{files}/empty")[1] == b""


def test_bytes_that_the_project_has_are_not_sent_again(api: Api, files: str) -> None:
    order = {"path": "copy", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert api.call("POST", files, order).status == 404
    api.call("PUT", f"{files}/x", CONTENT)
    assert [api.call("POST", files, order).status for _ in range(2)] == [201, 200]
    assert raw(api, f"{files}/copy")[1] == CONTENT
    assert api.call("POST", files, {**order, "sha256": "x"}).status == 400


def test_files_are_listed_by_path_and_page(api: Api, files: str, django_assert_max_num_queries) -> None:
    for path in ("b/2", "a", "b/1", "a"):
        api.call("PUT", f"{files}/{path}", path.encode())
    answer = api.call("GET", f"{files}?skip=1&limit=1")
    assert [file["path"] for file in answer.body] == ["b/1"]
    assert answer.headers["X-Total-Count"] == "3"
    with django_assert_max_num_queries(2 + 3):  # the key; the run, the page, the total
        assert [file["path"] for file in api.call("GET", f"{files}/?prefix=b/").body] == ["b/1", "b/2"]


def test_an_older_version_stays_and_goes_with_the_file(api: Api, files: str) -> None:
    api.call("PUT", f"{files}/x", b"one")
    assert api.call("PUT", f"{files}/x", b"two").body["version"] == 2
    assert raw(api, f"{files}/x")[1] == b"two"
    assert raw(api, f"{files}/x?version=1")[1] == b"one"
    assert raw(api, f"{files}/x?version=3")[0].status_code == 404
    assert raw(api, f"{files}/x?version=x")[0].status_code == 400
    assert api.call("DELETE", f"{files}/x").status == 204
    assert [api.call(method, f"{files}/x").status for method in ("DELETE", "GET")] == [404, 404]
    assert raw(api, f"{files}/x?version=1")[0].status_code == 404
    assert Artifact.objects.trashed().count() == 2
    assert api.call("DELETE", f"{files}/x?forever=maybe").status == 400
    assert api.call("DELETE", f"{files}/x?forever=true").status == 204
    assert not Artifact.objects.exists()


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a%00b", "%2Fetc/passwd", "a//b", "a%5Cb", "x" * 501, "a%0A"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_tricks_with_paths_are_refused(api: Api, files: str, method: str, path: str) -> None:
    answer = api.call(method, f"{files}/{path}", b"x")
    assert answer.status in (400, 404)
    assert "detail" in answer.body
    assert not Artifact.objects.exists()


def test_a_wrong_digest_and_too_much_are_refused(api: Api, files: str, settings) -> None:
    assert api.call("PUT", f"{files}/x", b"x", **{"X-Content-SHA256": "0" * 64}).status == 400
    settings.MAX_UPLOAD_BYTES = 3
    assert api.call("PUT", f"{files}/x", b"1234").status == 413
    assert not Artifact.objects.exists()


def test_viewers_read_and_strangers_do_not(api: Api, files: str, make_user, api_of) -> None:
    api.call("PUT", f"{files}/x", CONTENT)
    bob = make_user("bob")
    theirs = api_of(bob)
    calls = [("GET", files), ("GET", f"{files}/x"), ("PUT", f"{files}/y"), ("DELETE", f"{files}/x")]
    assert [theirs.call(method, path).status for method, path in calls] == [403] * 4
    ProjectMember.objects.create(project=Run.objects.get().project, user=bob, role="viewer")
    assert theirs.call("GET", files).status == 200
    assert raw(theirs, f"{files}/x")[1] == CONTENT
    assert [theirs.call(method, path).status for method, path in calls[2:]] == [403] * 2
    assert api.call("GET", "/runs/999999/artifacts/x").status == 404
