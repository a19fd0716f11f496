"""The trash of runs' files: what goes in comes back as it was, and goes for good after 30 days."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from datasets_app.storage import get_storage
from jobs.services import artifact_trash as trash
from jobs.services.artifact_trash import artifact_purge, artifact_restore, artifact_trash, artifact_trash_sweep
from jobs.services.artifacts import artifact_put
from tracking.models import Artifact, ArtifactBlob, ProjectMember
from tracking.selectors.artifacts import artifact_get, artifact_list, folder_get, trashed_files
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.services.trash import KEPT

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(user):
    return run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])


@pytest.fixture
def put(user, run):
    def put(path, content=b"hello"):
        return artifact_put(user=user, run_id=run.pk, path=path, file=io.BytesIO(content))[0]

    return put


def shown(run):
    return list(artifact_list(run=run).values_list("path", "version"))


def test_a_file_comes_back_with_its_versions_and_the_last_is_the_latest(user, run, put):
    put("x", b"one")
    put("x", b"two")
    put("y")
    moment = artifact_trash(user=user, run_id=run.pk, path="x")
    assert shown(run) == [("y", 1)]
    for version in (None, 1):
        with pytest.raises(NotFound):
            artifact_get(run=run, path="x", version=version)
    (entry,) = trashed_files(run=run)
    assert (entry.path, entry.versions, entry.size, entry.deleted_at) == ("x", 2, 3, moment)
    assert artifact_restore(user=user, run_id=run.pk, path="x", deleted_at=moment) == 1
    assert shown(run) == [("x", 2), ("y", 1)]
    with pytest.raises(NotFound):
        artifact_restore(user=user, run_id=run.pk, path="x")


def test_what_was_uploaded_meanwhile_stays_the_latest(user, run, put):
    put("x", b"one")
    artifact_trash(user=user, run_id=run.pk, path="x")
    put("x", b"one")
    artifact_restore(user=user, run_id=run.pk, path="x")
    assert shown(run) == [("x", 2)]
    assert artifact_get(run=run, path="x", version=1).blob == artifact_get(run=run, path="x").blob


def test_a_folder_goes_and_comes_as_one_without_its_neighbours(user, run, put):
    for path in ("a/x", "a/b/y", "A/x", "ab/x", "ab/z"):
        put(path)
    earlier = artifact_trash(user=user, run_id=run.pk, path="a/x")
    moment = artifact_trash(user=user, run_id=run.pk, path="a/")
    assert [path for path, _ in shown(run)] == ["A/x", "ab/x", "ab/z"]
    assert artifact_restore(user=user, run_id=run.pk, path="a/", deleted_at=moment) == 1
    assert earlier != moment
    assert [path for path, _ in shown(run)] == ["A/x", "a/b/y", "ab/x", "ab/z"]
    artifact_restore(user=user, run_id=run.pk, path="")
    assert "a/x" in dict(shown(run))


def test_for_good_means_with_the_bytes_that_nobody_else_names(user, run, put, django_capture_on_commit_callbacks):
    shared, alone = put("x", b"shared").blob, put("x", b"alone").blob
    put("y", b"shared")
    put("z", b"live")
    artifact_trash(user=user, run_id=run.pk, path="x")
    with django_capture_on_commit_callbacks(execute=True):
        assert artifact_purge(user=user, run_id=run.pk, path="", only_trashed=True) == 2
    assert [path for path, _ in shown(run)] == ["y", "z"]
    assert get_storage().exists(shared.key)
    assert not get_storage().exists(alone.key)
    with pytest.raises(NotFound):
        artifact_purge(user=user, run_id=run.pk, path="", only_trashed=True)


def test_many_blobs_are_left_to_the_sweep(user, run, put, monkeypatch):
    monkeypatch.setattr(trash, "RELEASED_AT_ONCE", 1)
    for number in range(3):
        put(f"a/{number}", str(number).encode())
    assert artifact_purge(user=user, run_id=run.pk, path="a/") == 3
    assert ArtifactBlob.objects.count() == 2


def test_after_thirty_days_the_sweep_removes_and_nobody_restores(user, run, put):
    put("old")
    put("new")
    artifact_trash(user=user, run_id=run.pk, path="")
    Artifact.objects.filter(path="old").update(deleted_at=timezone.now() - KEPT - timedelta(minutes=1))
    with pytest.raises(NotFound, match="30 days"):
        artifact_restore(user=user, run_id=run.pk, path="old")
    assert artifact_trash_sweep() == 1
    assert [file.path for file in trashed_files(run=run)] == ["new"]
    assert artifact_trash_sweep() == 0


def test_who_may_not_change_the_run_may_do_none_of_it(make_user, run, put):
    put("x")
    bob = make_user("bob")
    ProjectMember.objects.create(project=run.project, user=bob, role="viewer")
    for act in (artifact_trash, artifact_restore, artifact_purge):
        with pytest.raises(Forbidden):
            act(user=bob, run_id=run.pk, path="x")
    assert shown(run) == [("x", 1)]


@pytest.mark.parametrize("path", ["../", "a//", "/", "a/../", "x\0"])
def test_tricks_with_folders_are_refused(user, run, put, path):
    put("x")
    with pytest.raises(InvalidSpec):
        artifact_trash(user=user, run_id=run.pk, path=path)
    assert shown(run) == [("x", 1)]


def test_a_folder_tells_what_lies_in_it_and_below(run, put):
    for path, size in (("b.txt", 3), ("a/x", 1), ("a/deep/y", 4), ("C", 2)):
        put(path, b"." * size)
    top = folder_get(run=run)
    assert [(e.name, e.path, e.files, e.size, e.version) for e in top.page] == [
        ("a", "a/", 2, 5, None),
        ("b.txt", "b.txt", 1, 3, 1),
        ("C", "C", 1, 2, 1),
    ]
    assert (top.files, top.size) == (4, 10)
    assert [entry.name for entry in folder_get(run=run, folder="a/").page] == ["deep", "x"]
    assert [entry.name for entry in folder_get(run=run, sort="size").page] == ["a", "C", "b.txt"]
    assert [entry.name for entry in folder_get(run=run, sort="-name").page] == ["a", "C", "b.txt"]
    found = folder_get(run=run, query="Y")
    assert [(entry.name, entry.author) for entry in found.page] == [("a/deep/y", "ann")]
    assert folder_get(run=run, folder="nowhere/").files == 0


def test_ten_thousand_files_come_in_pages_by_one_question(user, run, put, django_assert_num_queries):
    blob = put("x").blob
    Artifact.objects.bulk_create(
        [Artifact(run=run, blob=blob, path=f"many/{n:05}", version=1) for n in range(9_999)], batch_size=500
    )
    with django_assert_num_queries(1):
        page = folder_get(run=run, folder="many/", number=100).page
        assert (len(page), page[0].name) == (99, "09900")
    with django_assert_num_queries(1):
        assert [(entry.name, entry.files) for entry in folder_get(run=run).page] == [("many", 9_999), ("x", 1)]
