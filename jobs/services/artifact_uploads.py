"""Files of runs that come in pieces, so that a line that breaks costs one piece and not the file.

A piece is a file of the storage until all are there: any machine may take the next one. The upload's row says how far
it has come, and grows by a conditional update: of two that send the same piece one is told to look again.
"""

import secrets
from datetime import timedelta
from functools import partial
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from automl_site.errors import InvalidSpec, NotFound, TooLarge
from datasets_app.storage import get_storage
from datasets_app.storage.staging import staged
from jobs.services import artifact_assembly
from jobs.services.artifacts import checked_digest, checked_path, delete_keys, refuse_over_quota
from tracking.models import Artifact, ArtifactPiece, ArtifactUpload, User
from tracking.selectors.runs import run_to_change

MIN_PIECE = 256 * 1024  # bytes; the last one may be smaller
MAX_PIECE = 16 * 1024**2
MAX_OPEN = 200  # uploads a run
KEPT = timedelta(days=1)  # after the last piece
UPLOADS_A_SWEEP = 50


def upload_begin(*, user: User, run_id: int, path: str, size: int, sha256: str = "") -> tuple[ArtifactUpload, bool]:
    """An upload of `size` bytes with that digest; whether it was begun now. One begun before is gone on with.

    Without a digest ("", from who cannot read a file twice) each call begins an upload: go on with it by its id.

    Raises:
        NotFound, Forbidden: `user` may not see or not change the run.
        InvalidSpec: the path or digest; too many open uploads.
        TooLarge: more than settings.MAX_UPLOAD_BYTES, or than the project has left.
    """
    run = run_to_change(user=user, run_id=run_id)
    path, sha256 = checked_path(path), checked_digest(sha256)
    if size > settings.MAX_UPLOAD_BYTES:
        raise TooLarge(
            f"The file has {size:,} bytes; at most {settings.MAX_UPLOAD_BYTES:,} are taken.",
            details={"max_bytes": settings.MAX_UPLOAD_BYTES, "size_bytes": size},
        )
    open_ones = ArtifactUpload.objects.filter(run=run, artifact=None)
    if sha256:
        begun = open_ones.filter(created_by=user, path=path, size_bytes=size, sha256=sha256).first()
        if begun is not None:
            return begun, False
    if open_ones.count() >= MAX_OPEN:
        raise InvalidSpec(f"{MAX_OPEN} uploads of this run are open; finish or delete some of them first.")
    refuse_over_quota(run.project_id, size)
    return ArtifactUpload.objects.create(run=run, created_by=user, path=path, size_bytes=size, sha256=sha256), True


def upload_get(*, user: User, run_id: int, upload_id: str) -> ArtifactUpload:
    """An open upload of the run. Raises NotFound, Forbidden."""
    run = run_to_change(user=user, run_id=run_id)
    upload = ArtifactUpload.objects.filter(run=run, public_id=upload_id).first()
    if upload is None:
        raise NotFound("There is no such upload: it is complete, or was given up a day after its last piece.")
    return upload


def upload_append(
    *,
    user: User,
    run_id: int,
    upload_id: str,
    offset: int,
    file: BinaryIO,
    size: int | None = None,
    sha256: str = "",
) -> ArtifactUpload:
    """Keep the stream's bytes as the piece from `offset` on; the upload as it is then.

    `size` (bytes) and `sha256` (hex) are what the sender announced of this piece, if it did.

    Raises:
        NotFound, Forbidden: as `upload_get`.
        InvalidSpec: `offset` is not where the upload is (errors.offset); a piece too small, cut short, or with another
            digest. Nothing of it is kept.
        TooLarge: more than MAX_PIECE bytes, or than are left of the file.
        StorageError: the storage did not take it.
    """
    upload = upload_get(user=user, run_id=run_id, upload_id=upload_id)
    _refuse_offset(upload, offset)
    left = upload.size_bytes - offset
    with staged(file, max_bytes=min(left, MAX_PIECE)) as stage:
        if size is not None and stage.size != size:
            raise InvalidSpec(f"{size:,} bytes were announced and {stage.size:,} came; send the piece again.")
        if stage.size < min(left, MIN_PIECE) or not stage.size:
            raise InvalidSpec(
                f"A piece has at least {MIN_PIECE:,} bytes, unless it is the last; this has {stage.size:,}."
            )
        if checked_digest(sha256) not in ("", stage.sha256):
            raise InvalidSpec(errors={"sha256": [f"The bytes that came have {stage.sha256}; send the piece again."]})
        key = f"uploads/{upload.public_id}/{offset}-{secrets.token_hex(8)}"
        stored = False
        try:
            get_storage().put_file(key, stage.path)
            stored = _append(upload, offset, stage.size, key)
        finally:
            if not stored:
                delete_keys([key])
    if not stored:  # somebody else has sent the same piece meanwhile
        _refuse_offset(upload_get(user=user, run_id=run_id, upload_id=upload_id), offset)
    upload.refresh_from_db()
    return upload


@transaction.atomic
def _append(upload: ArtifactUpload, offset: int, size: int, key: str) -> bool:
    here = ArtifactUpload.objects.filter(pk=upload.pk, received_bytes=offset)
    if not here.update(received_bytes=offset + size, touched_at=timezone.now()):
        return False
    ArtifactPiece.objects.create(upload=upload, offset=offset, size_bytes=size, key=key)
    return True


def upload_complete(*, user: User, run_id: int, upload_id: str) -> tuple[Artifact, bool] | None:
    """Make the pieces the run's file; the file, and whether this made a new version. The upload is gone then.

    None: a large file is still being put together. Who asks again is told the outcome.

    Raises:
        InvalidSpec: bytes are missing (errors.offset); all are there, but they are others than were announced: the
            upload is given up, begin anew.
        NotFound, Forbidden, TooLarge, StorageError: as `artifact_put`.
    """
    upload = upload_get(user=user, run_id=run_id, upload_id=upload_id)
    _refuse_offset(upload, upload.size_bytes)
    try:
        file = artifact_assembly.assembled(user=user, upload=upload)
    except InvalidSpec as error:
        if "sha256" in error.errors:
            _remove(upload)
        raise
    if file is not None:
        _remove(upload)
    return file


def upload_cancel(*, user: User, run_id: int, upload_id: str) -> None:
    """Give an upload up; its pieces go. Raises NotFound, Forbidden."""
    _remove(upload_get(user=user, run_id=run_id, upload_id=upload_id))


def upload_drop(*, user: User, upload: ArtifactUpload) -> None:
    """Give anybody's upload up, as an operator does; superusers also one whose run is gone or in the trash.

    Raises:
        NotFound, Forbidden: `user` may not see or not change its run.
    """
    if not user.is_superuser:
        run_to_change(user=user, run_id=upload.run_id or 0)
    _remove(upload)


def upload_sweep(*, limit: int = UPLOADS_A_SWEEP) -> int:
    """Remove at most `limit` uploads that nobody goes on with, or whose run is gone; how many. For the reconciler."""
    # No user asks: this cleans up for all.
    stale = ArtifactUpload.objects.filter(Q(touched_at__lt=timezone.now() - KEPT) | Q(run__isnull=True))
    uploads = list(stale.order_by("pk")[:limit])
    for upload in uploads:
        _remove(upload)
    return len(uploads)


@transaction.atomic
def _remove(upload: ArtifactUpload) -> None:
    keys = list(upload.pieces.values_list("key", flat=True))
    upload.delete()
    if keys:
        transaction.on_commit(partial(delete_keys, keys))


def _refuse_offset(upload: ArtifactUpload, offset: int) -> None:
    if offset != upload.received_bytes:
        raise InvalidSpec(
            errors={
                "offset": [f"The upload has {upload.received_bytes:,} of {upload.size_bytes:,} bytes: go on there."]
            },
            details={"offset": upload.received_bytes},
        )
