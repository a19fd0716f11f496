"""Uploads in pieces: what breaks off goes on, nothing comes in twice, and what is given up leaves nothing behind."""

import hashlib
import io
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from automl_site.errors import Forbidden, InvalidSpec, NotFound, StorageError, TooLarge
from datasets_app.storage import get_storage
from jobs.services import artifact_assembly as assembly
from jobs.services import artifact_uploads as uploads
from jobs.services.artifact_uploads import upload_append, upload_begin, upload_cancel, upload_complete, upload_sweep
from jobs.services.artifacts import artifact_put
from tests.conftest import wait_until
from tracking.models import Artifact, ArtifactBlob, ArtifactPiece, ArtifactUpload, ProjectMember, Run
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 100
PIECE = 10_000


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(uploads, "MIN_PIECE", 10)


@pytest.fixture
def run(user):
    return run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])


@pytest.fixture
def begin(user, run):
    def begin(content=CONTENT, path="model.bin", **facts):
        order = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return upload_begin(user=user, run_id=run.pk, path=path, **{**order, **facts})[0]

    return begin


@pytest.fixture
def append(user, run):
    def append(upload, offset, data, **announced):
        return upload_append(
            user=user, run_id=run.pk, upload_id=upload.public_id, offset=offset, file=io.BytesIO(data), **announced
        )

    return append


@pytest.fixture
def send_all(append):
    def send_all(upload, content=CONTENT):
        for offset in range(upload.received_bytes, len(content), PIECE):
            append(upload, offset, content[offset : offset + PIECE])

    return send_all


def keys():
    return list(ArtifactPiece.objects.values_list("key", flat=True))


def check_completes(user, run, begin, send_all, capture):
    upload = begin()
    send_all(upload)
    pieces = keys()
    assert len(pieces) == 3
    with capture(execute=True):
        file, made = upload_complete(user=user, run_id=run.pk, upload_id=upload.public_id)
    assert made
    with get_storage().open(file.blob.key) as stored:
        assert stored.read() == CONTENT
    assert not ArtifactUpload.objects.exists()
    assert not any(get_storage().exists(key) for key in pieces)


def test_the_pieces_become_the_file_and_go(user, run, begin, send_all, django_capture_on_commit_callbacks):
    check_completes(user, run, begin, send_all, django_capture_on_commit_callbacks)


@pytest.mark.usefixtures("s3_storage")
def test_in_a_bucket_too(user, run, begin, send_all, django_capture_on_commit_callbacks):
    check_completes(user, run, begin, send_all, django_capture_on_commit_callbacks)


def test_what_was_begun_before_goes_on_where_it_was(begin, append, send_all, user, run):
    append(begin(), 0, CONTENT[:PIECE])
    again = begin()
    assert again.received_bytes == PIECE
    send_all(again)
    upload_complete(user=user, run_id=run.pk, upload_id=again.public_id)
    assert ArtifactBlob.objects.get().sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_an_empty_file_needs_no_piece(begin, user, run):
    upload = begin(b"")
    file, _ = upload_complete(user=user, run_id=run.pk, upload_id=upload.public_id)
    assert file.blob.size_bytes == 0


@pytest.mark.parametrize("offset", [0, PIECE - 1, PIECE + 1, 2**62])
def test_a_piece_that_begins_elsewhere_is_refused_with_the_place(begin, append, offset):
    upload = append(begin(), 0, CONTENT[:PIECE])
    with pytest.raises(InvalidSpec) as refused:
        append(upload, offset, CONTENT[:PIECE])
    assert refused.value.details["offset"] == PIECE
    assert len(keys()) == 1


def test_a_piece_that_is_cut_short_damaged_or_too_small_is_not_kept(begin, append):
    upload = begin()
    for data, announced in (
        (CONTENT[:50], {"size": 60}),
        (CONTENT[:50], {"sha256": "0" * 64}),
        (CONTENT[:9], {}),
        (b"", {}),
    ):
        with pytest.raises(InvalidSpec):
            append(upload, 0, data, **announced)
    assert keys() == []
    assert ArtifactUpload.objects.get().received_bytes == 0


def test_more_than_was_announced_is_refused(begin, append, monkeypatch):
    upload = begin(CONTENT[:100])
    with pytest.raises(TooLarge):
        append(upload, 0, CONTENT[:101])
    monkeypatch.setattr(uploads, "MAX_PIECE", 50)
    with pytest.raises(TooLarge):
        append(upload, 0, CONTENT[:51])
    assert keys() == []


def test_nothing_is_complete_before_its_end(begin, append, user, run):
    upload = append(begin(), 0, CONTENT[:PIECE])
    with pytest.raises(InvalidSpec) as refused:
        upload_complete(user=user, run_id=run.pk, upload_id=upload.public_id)
    assert refused.value.details["offset"] == PIECE
    assert not Artifact.objects.exists()


def test_other_bytes_than_were_announced_end_the_upload(begin, append, user, run, django_capture_on_commit_callbacks):
    upload = append(begin(b"x" * 100), 0, b"y" * 100)
    (key,) = keys()
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(InvalidSpec, match="Validation"):
        upload_complete(user=user, run_id=run.pk, upload_id=upload.public_id)
    assert not ArtifactUpload.objects.exists()
    assert not Artifact.objects.exists()
    assert not get_storage().exists(key)


def test_sizes_and_the_quota_hold_for_what_is_on_its_way(begin, send_all, settings, user, run):
    settings.MAX_UPLOAD_BYTES = 100
    with pytest.raises(TooLarge):
        begin(b"x" * 101)
    settings.MAX_UPLOAD_BYTES, settings.PROJECT_QUOTA_BYTES = 1000, 150
    first = begin(b"x" * 100)
    with pytest.raises(TooLarge):
        begin(b"y" * 60, "other")
    with pytest.raises(TooLarge):
        artifact_put(user=user, run_id=run.pk, path="z", file=io.BytesIO(b"z" * 60))
    send_all(first, b"x" * 100)
    upload_complete(user=user, run_id=run.pk, upload_id=first.public_id)
    begin(b"y" * 50, "other")


def test_a_run_has_so_many_open_uploads(begin, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_OPEN", 1)
    begin(path="a")
    begin(path="a")
    with pytest.raises(InvalidSpec, match="are open"):
        begin(path="b")


def test_without_a_digest_each_order_begins_an_upload_that_goes_on_by_its_id(user, run, begin, append):
    first, second = begin(sha256=""), begin(sha256="")
    assert first.pk != second.pk
    append(append(first, 0, CONTENT[:PIECE]), PIECE, CONTENT[PIECE:])
    file, made = upload_complete(user=user, run_id=run.pk, upload_id=first.public_id)
    assert (made, file.blob.sha256) == (True, hashlib.sha256(CONTENT).hexdigest())
    assert ArtifactUpload.objects.get() == second


@pytest.fixture
def complete(user, run, monkeypatch):
    """complete(upload) in the way of large files: what it answers at last, or None after one call with `once`."""
    monkeypatch.setattr(assembly, "AT_ONCE", 10)
    monkeypatch.setattr(assembly, "PATIENCE", 0.0)
    monkeypatch.setattr(assembly, "SIGN_OF_LIFE", 0.01)
    yield lambda upload: upload_complete(user=user, run_id=run.pk, upload_id=upload.public_id)
    for thread in threading.enumerate():
        if thread.name == "assembly":
            thread.join(60)


@pytest.mark.django_db(transaction=True)
def test_a_large_file_is_put_together_while_nobody_waits(begin, send_all, complete, monkeypatch):
    upload = begin()
    send_all(upload)
    pieces, goes_on, copies = keys(), threading.Event(), []
    put = assembly.artifact_put

    def slow(**order):
        copies.append(order)
        assert goes_on.wait(60)
        return put(**order)

    monkeypatch.setattr(assembly, "artifact_put", slow)
    assert complete(upload) is None
    begun_at = ArtifactUpload.objects.get().assembled_at
    wait_until(lambda: ArtifactUpload.objects.get().assembled_at > begun_at, what="a sign of life")
    assert complete(upload) is None
    goes_on.set()
    file, made = wait_until(lambda: complete(upload), what="the file")
    assert (made, len(copies)) == (True, 1)
    with get_storage().open(file.blob.key) as stored:
        assert stored.read() == CONTENT
    assert not ArtifactUpload.objects.exists()
    # By the thread that put it together, once that is committed.
    wait_until(lambda: not any(get_storage().exists(key) for key in pieces), what="the end of the pieces")


@pytest.mark.django_db(transaction=True)
def test_what_hinders_a_large_file_is_told_to_who_asks_next(begin, append, complete, monkeypatch):
    upload = append(begin(b"x" * 100), 0, b"y" * 100)
    with monkeypatch.context() as storage_away:
        storage_away.setattr(assembly, "get_storage", lambda: (_ for _ in ()).throw(StorageError()))
        with pytest.raises(StorageError):
            wait_until(lambda: complete(upload), what="the refusal")
    with pytest.raises(InvalidSpec) as refused:
        wait_until(lambda: complete(upload), what="the refusal")
    assert list(refused.value.errors) == ["sha256"]
    assert not ArtifactUpload.objects.exists()
    assert not Artifact.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_sign_of_life_brings_no_claim_back_that_was_given_up(begin, send_all, complete, monkeypatch):
    upload = begin()
    send_all(upload)
    goes_on = threading.Event()

    def refused(**order):
        assert goes_on.wait(60)
        raise StorageError

    monkeypatch.setattr(assembly, "artifact_put", refused)
    assert complete(upload) is None
    wait_until(lambda: ArtifactUpload.objects.get().assembled_at, what="the claim")
    ArtifactUpload.objects.update(assembled_at=None)
    signs, now = [], timezone.now

    def sign():
        signs.append(now())
        return signs[-1]

    monkeypatch.setattr(assembly.timezone, "now", sign)
    wait_until(lambda: len(signs) > 2, what="two signs, the first of them written")
    claimed_at = ArtifactUpload.objects.get().assembled_at
    goes_on.set()
    assert claimed_at is None


@pytest.mark.django_db(transaction=True)
def test_a_large_file_whose_process_ended_is_put_together_by_the_next(begin, send_all, complete):
    upload = begin()
    send_all(upload)
    now = timezone.now()
    ArtifactUpload.objects.update(assembled_at=now)
    assert complete(upload) is None  # somebody is at it
    assert not Artifact.objects.exists()
    ArtifactUpload.objects.update(assembled_at=now - assembly.SILENT)
    assert wait_until(lambda: complete(upload), what="the file")


def test_who_may_not_change_the_run_has_no_upload(make_user, begin, append, run):
    upload = append(begin(), 0, CONTENT[:PIECE])
    bob = make_user("bob")
    ProjectMember.objects.create(project=run.project, user=bob, role="viewer")
    known = {"user": bob, "run_id": run.pk, "upload_id": upload.public_id}
    for act in (
        lambda: upload_begin(user=bob, run_id=run.pk, path="x", size=1, sha256="0" * 64),
        lambda: upload_append(**known, offset=PIECE, file=io.BytesIO(CONTENT[:PIECE])),
        lambda: upload_complete(**known),
        lambda: upload_cancel(**known),
    ):
        with pytest.raises(Forbidden):
            act()
    assert len(keys()) == 1


def test_an_upload_is_given_up_with_its_pieces(begin, append, user, run, django_capture_on_commit_callbacks):
    upload = append(begin(), 0, CONTENT[:PIECE])
    (key,) = keys()
    with django_capture_on_commit_callbacks(execute=True):
        upload_cancel(user=user, run_id=run.pk, upload_id=upload.public_id)
    assert not get_storage().exists(key)
    with pytest.raises(NotFound):
        append(upload, PIECE, CONTENT[:PIECE])


@pytest.mark.parametrize("why", ["stale", "run is gone"])
def test_what_nobody_goes_on_with_is_swept(begin, append, run, why, django_capture_on_commit_callbacks):
    append(begin(), 0, CONTENT[:PIECE])
    (key,) = keys()
    assert upload_sweep() == 0
    if why == "stale":
        ArtifactUpload.objects.update(touched_at=timezone.now() - uploads.KEPT - timedelta(minutes=1))
    else:
        Run.objects.filter(pk=run.pk).delete()
    with django_capture_on_commit_callbacks(execute=True):
        assert upload_sweep() == 1
    assert not ArtifactUpload.objects.exists()
    assert not get_storage().exists(key)


@pytest.mark.django_db(transaction=True)
def test_of_the_same_piece_sent_at_once_one_is_kept(begin, append):
    upload = begin()
    start = threading.Barrier(4)
    outcomes = []

    def send():
        try:
            start.wait(10)
            append(upload, 0, CONTENT[:PIECE])
            outcomes.append("kept")
        except InvalidSpec as refused:
            outcomes.append(refused.details.get("offset"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, outcomes)) == [str(PIECE)] * 3 + ["kept"]
    assert len(keys()) == 1
    assert ArtifactUpload.objects.get().received_bytes == PIECE
