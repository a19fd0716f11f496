"""Files of runs: versions, bytes kept once a project, and space that is given back."""

import hashlib
import io
import threading

import pytest
from django.conf import settings as site
from django.db import connection

from automl_site.errors import Forbidden, InvalidSpec, NotFound, StorageError, TooLarge
from datasets_app.storage import FolderStorage, get_storage
from jobs.services import artifacts
from jobs.services.artifact_trash import artifact_purge, artifact_trash
from jobs.services.artifacts import artifact_link, artifact_put, blob_sweep, checked_path
from tracking.models import Artifact, ArtifactBlob, Project, ProjectMember, Run
from tracking.selectors.artifacts import artifact_get, artifact_list
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.services.trash import KEPT, run_delete_forever, run_trash, trash_sweep

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(user):
    return project_create(owner=user, name="garden")


@pytest.fixture
def run(project):
    return run_create(project=project, name="rose", config={}, tags=[])


@pytest.fixture
def put(user, run):
    def put(path="a/b.txt", content=b"hello", run_id=run.pk, **announced):
        return artifact_put(user=user, run_id=run_id, path=path, file=io.BytesIO(content), **announced)

    return put


def content_of(file):
    with get_storage().open(file.blob.key) as stored:
        return stored.read()


def staged_files():
    folder = site.DATA_DIR / "staging"
    return list(folder.iterdir()) if folder.exists() else []


def test_other_bytes_make_the_next_version_and_the_same_ones_none(put, run):
    first, made = put()
    again, made_again = put()
    second, _ = put(content=b"other")
    assert (made, made_again) == (True, False)
    assert first == again
    assert (first.version, second.version) == (1, 2)
    assert artifact_get(run=run, path="a/b.txt") == second
    assert content_of(artifact_get(run=run, path="a/b.txt", version=1)) == b"hello"
    assert list(artifact_list(run=run)) == [second]


@pytest.mark.usefixtures("s3_storage")
def test_in_a_bucket_too_bytes_are_kept_once_and_deleted_with_their_last_file(
    user, run, put, django_capture_on_commit_callbacks
):
    file, _ = put("a")
    put("b")
    assert content_of(file) == b"hello"
    for path, left in (("a", True), ("b", False)):
        with django_capture_on_commit_callbacks(execute=True):
            artifact_purge(user=user, run_id=run.pk, path=path)
        assert get_storage().exists(file.blob.key) is left


def test_a_digest_opens_nothing_of_another_project(user, make_user, put, run):
    file, _ = put()
    digest = file.blob.sha256
    linked, made = artifact_link(user=user, run_id=run.pk, path="copy", sha256=digest.upper())
    assert made
    assert linked.blob == file.blob
    bob = make_user("bob")
    theirs = run_create(project=project_create(owner=bob, name="x"), name="y", config={}, tags=[])
    with pytest.raises(NotFound, match="PUT"):
        artifact_link(user=bob, run_id=theirs.pk, path="mine", sha256=digest)
    own, _ = artifact_put(user=bob, run_id=theirs.pk, path="mine", file=io.BytesIO(b"hello"))
    assert own.blob != file.blob


def test_a_viewer_writes_nothing(make_user, put, run):
    put()
    bob = make_user("bob")
    ProjectMember.objects.create(project=run.project, user=bob, role="viewer")
    for act in (
        lambda: artifact_put(user=bob, run_id=run.pk, path="x", file=io.BytesIO(b"")),
        lambda: artifact_link(user=bob, run_id=run.pk, path="x", sha256="0" * 64),
        lambda: artifact_trash(user=bob, run_id=run.pk, path="a/b.txt"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert Artifact.objects.count() == 1


@pytest.mark.parametrize(
    "announced",
    [{"size": 4}, {"size": 6}, {"sha256": "0" * 64}, {"sha256": "xyz"}],
    ids=["fewer", "more", "other", "odd"],
)
def test_other_bytes_than_were_announced_leave_nothing(put, announced):
    with pytest.raises(InvalidSpec):
        put(**announced)
    assert not Artifact.objects.exists()
    assert not ArtifactBlob.objects.exists()
    assert staged_files() == []


def test_an_upload_that_breaks_off_leaves_nothing(user, run):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise ConnectionResetError

    with pytest.raises((StorageError, OSError)):
        artifact_put(user=user, run_id=run.pk, path="x", file=Broken())
    assert not ArtifactBlob.objects.exists()
    assert staged_files() == []


def test_what_the_database_refuses_leaves_no_bytes(put, monkeypatch):
    keys = []
    put_file = FolderStorage.put_file
    monkeypatch.setattr(
        FolderStorage, "put_file", lambda self, key, source: keys.append(key) or put_file(self, key, source)
    )
    monkeypatch.setattr(artifacts, "MAX_FILES", 0)
    with pytest.raises(InvalidSpec, match="at most 0 files"):
        put()
    assert len(keys) == 1
    assert not get_storage().exists(keys[0])
    assert not ArtifactBlob.objects.exists()


def test_sizes_are_bounded_by_the_upload_and_by_the_projects_quota(put, settings):
    settings.MAX_UPLOAD_BYTES = 10
    with pytest.raises(TooLarge):
        put(content=b"x" * 11)
    settings.PROJECT_QUOTA_BYTES = 12
    put("a", b"x" * 10)
    put("b", b"x" * 10)  # the same bytes take no more space
    for size in (None, 3):
        with pytest.raises(TooLarge, match="12 allowed"):
            put("c", b"yyy", size=size)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", ".", "a\\b", "a\0b", "a\nb", "a\ud800", " a", "a/b ", "x" * 501,
     "é" * 128, "/".join("a" * 21)],
)  # fmt: skip
def test_tricks_with_paths_are_refused(path):
    with pytest.raises(InvalidSpec):
        checked_path(path)


@pytest.mark.parametrize("path", ["a", "a b/ü/日本/🌵.png", "...", "a/.hidden", "%2e%2e", "con:aux*?", "-rf"])
def test_other_paths_are_taken_and_name_no_place_in_the_storage(put, path):
    file, _ = put(path)
    assert file.path == path
    assert file.blob.key.startswith(f"artifacts/{file.run.project_id}/")
    assert file.blob.key.count("/") == 3


def test_a_run_that_goes_for_good_gives_its_space_back_but_not_what_others_use(
    user, project, run, put, django_capture_on_commit_callbacks
):
    other = run_create(project=project, name="tulip", config={}, tags=[])
    shared, _ = put("shared", b"shared")
    alone, _ = put("alone", b"alone")
    put("shared", b"shared", run_id=other.pk)
    run_trash(user=user, run_id=run.pk)
    assert blob_sweep() == 0
    run_delete_forever(user=user, run_id=run.pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert blob_sweep() == 1
    assert get_storage().exists(shared.blob.key)
    assert not get_storage().exists(alone.blob.key)


def test_a_project_that_goes_for_good_takes_its_bytes_along(project, put, django_capture_on_commit_callbacks):
    file, _ = put()
    Project.objects.update(deleted_at=project.created_at - KEPT * 2)
    with django_capture_on_commit_callbacks(execute=True):
        trash_sweep()
    assert not Project.objects.exists()
    assert not get_storage().exists(file.blob.key)


@pytest.mark.django_db(transaction=True)
def test_the_same_bytes_sent_at_once_are_kept_once(user, run):
    content = b"x" * 100_000
    folder = get_storage().root / "artifacts" / str(run.project_id)
    before = set(folder.glob("*/data"))  # of other tests' projects with this id
    errors = []
    start = threading.Barrier(6)

    def send(path):
        try:
            start.wait(10)
            artifact_put(user=user, run_id=run.pk, path=path, file=io.BytesIO(content))
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(f"file-{n % 3}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    blob = ArtifactBlob.objects.get()
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert get_storage().exists(blob.key)
    assert sorted(artifact_list(run=Run.objects.get()).values_list("path", "version")) == [
        ("file-0", 1),
        ("file-1", 1),
        ("file-2", 1),
    ]
    assert len(set(folder.glob("*/data")) - before) == 1
