"""The pieces of an upload become one file: read, checked against the digest, written to the storage.

That takes as long as the disk or the bucket takes for all the bytes, longer than a client or a proxy waits for an
answer. So a large file is put together by a thread, and who asks for the outcome is told that it is not there yet. The
upload's row says which process is at it, by a sign of life: should that one end, the next who asks begins anew.
"""

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import BinaryIO, cast

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from automl_site.errors import DomainError, Forbidden, InvalidSpec, NotFound, StorageError, TooLarge
from datasets_app.storage import get_storage
from jobs.services.artifacts import artifact_put, delete_keys
from tracking.models import Artifact, ArtifactUpload, User

logger = logging.getLogger(__name__)

AT_ONCE = 64 * 1024**2  # bytes that are put together while the caller waits
PATIENCE = 1.0  # seconds that the caller waits for more
SIGN_OF_LIFE = 5.0  # seconds between two
SILENT = timedelta(seconds=30)  # after the last one, nobody is at it any more
# What `artifact_put` raises, to be told to who asks next.
_REFUSALS = {each.code: each for each in (InvalidSpec, NotFound, Forbidden, TooLarge, StorageError)}


def assembled(*, user: User, upload: ArtifactUpload) -> tuple[Artifact, bool] | None:
    """The file that the upload's pieces make, and whether it is a new version; None while they are put together.

    All bytes must be there.

    Raises:
        InvalidSpec: they are others than were announced (errors.sha256); too many files.
        NotFound, Forbidden, TooLarge, StorageError: as `artifact_put`. A further call tries again.
    """
    if upload.size_bytes <= AT_ONCE:
        return _put(user, upload)
    if upload.artifact is None and not upload.refusal and (claimed_at := _claim(upload)):
        thread = threading.Thread(target=_put_aside, args=(user, upload, claimed_at), name="assembly", daemon=True)
        thread.start()
        thread.join(PATIENCE)
        found = ArtifactUpload.objects.select_related("artifact__blob").filter(pk=upload.pk).first()
        if found is None:
            raise NotFound("The upload was given up meanwhile.")
        upload = found
    if upload.refusal:
        # Told once: who asks again lets it be tried again.
        ArtifactUpload.objects.filter(pk=upload.pk).update(refusal={}, assembled_at=None)
        raise _refused(upload)
    return None if upload.artifact is None else (upload.artifact, True)


def _claim(upload: ArtifactUpload) -> datetime | None:
    """The claim to put the pieces together; None where another process has it."""
    now = timezone.now()
    free = ArtifactUpload.objects.filter(
        Q(assembled_at=None) | Q(assembled_at__lt=now - SILENT), pk=upload.pk, artifact=None
    )
    return now if free.update(assembled_at=now, refusal={}) else None


def _put_aside(user: User, upload: ArtifactUpload, claimed_at: datetime) -> None:
    """In a thread: the work in another one, and signs of life while it goes on.

    A sign renews the claim that it knows, so that it brings none back that was given up meanwhile.
    """
    work = threading.Thread(target=_put_and_note, args=(user, upload), name="assembly-work", daemon=True)
    work.start()
    try:
        work.join(SIGN_OF_LIFE)
        while work.is_alive():
            now = timezone.now()
            if ArtifactUpload.objects.filter(pk=upload.pk, assembled_at=claimed_at).update(assembled_at=now):
                claimed_at = now
            work.join(SIGN_OF_LIFE)
    finally:
        connection.close()


def _put_and_note(user: User, upload: ArtifactUpload) -> None:
    here = ArtifactUpload.objects.filter(pk=upload.pk)
    try:
        file, _ = _put(user, upload)
        with transaction.atomic():
            here.update(artifact=file)
            keys = list(upload.pieces.values_list("key", flat=True))
            upload.pieces.all().delete()
            transaction.on_commit(partial(delete_keys, keys))
    except DomainError as error:
        here.update(refusal=_kept(error))
    except Exception:
        logger.exception("The upload %s could not be put together", upload.public_id)
        here.update(refusal=_kept(StorageError()))
    finally:
        connection.close()


def _put(user: User, upload: ArtifactUpload) -> tuple[Artifact, bool]:
    keys = list(upload.pieces.order_by("offset").values_list("key", flat=True))
    with _Joined(keys) as whole:
        return artifact_put(
            user=user,
            run_id=upload.run_id or 0,
            path=upload.path,
            file=cast(BinaryIO, whole),
            size=upload.size_bytes,
            sha256=upload.sha256,
            reserved=upload.size_bytes,
        )


def _kept(error: DomainError) -> dict[str, object]:
    return {
        "code": error.code if error.code in _REFUSALS else StorageError.code,
        "message": error.message,
        "details": error.details,
        "errors": error.errors if isinstance(error, InvalidSpec) else {},
    }


def _refused(upload: ArtifactUpload) -> DomainError:
    kept = upload.refusal
    if kept["code"] == InvalidSpec.code:
        return InvalidSpec(kept["message"], errors=kept["errors"], details=kept["details"])
    return _REFUSALS[kept["code"]](kept["message"], details=kept["details"])


class _Joined(io.RawIOBase):
    """Files of the storage, read one after the other as one."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._files = self._open(keys)
        self._file = next(self._files, None)

    def _open(self, keys: Sequence[str]) -> Iterator[BinaryIO]:
        for key in keys:
            try:
                file = get_storage().open(key)
            except FileNotFoundError:
                raise StorageError from None
            with file:
                yield file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while self._file is not None:
            if count := self._file.readinto(buffer):  # type: ignore[attr-defined]
                return int(count)
            self._file = next(self._files, None)
        return 0

    def close(self) -> None:
        self._files.close()  # type: ignore[attr-defined]
        super().close()
