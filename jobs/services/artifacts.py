"""Writes of the files of runs: rows of the tracking app, bytes in the storage.

Bytes are kept once a project. Each blob has a key of its own, so bytes that are being deleted are never those of a new
blob; and its row is locked by who begins or ends a use of it, so no bytes go that a file still names.
"""

import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Sum

from automl_site.errors import InvalidSpec, NotFound, StorageError, TooLarge
from datasets_app.storage import get_storage
from datasets_app.storage.staging import StagedFile, staged
from tracking import stream, text
from tracking.models import Artifact, ArtifactBlob, ArtifactUpload, Run, User
from tracking.selectors.runs import run_to_change

logger = logging.getLogger(__name__)

MAX_PATH = 500  # characters
MAX_PART = 255  # bytes of a name
MAX_DEPTH = 20
MAX_FILES = 10_000  # versions of files a run
BLOBS_A_SWEEP = 200


def checked_path(path: str) -> str:
    """`path`, if it is plain, relative and fit to be unpacked anywhere. Raises InvalidSpec."""
    parts = path.split("/")
    problem = ""
    if not 0 < len(path) <= MAX_PATH:
        problem = f"A path has 1 to {MAX_PATH} characters, not {len(path)}."
    elif len(parts) > MAX_DEPTH:
        problem = f"A path has at most {MAX_DEPTH} parts, not {len(parts)}."
    elif not text.is_storable(path) or not path.isprintable() or "\\" in path:
        problem = "A path may not contain backslashes, control characters or halves of surrogate pairs."
    elif any(part in ("", ".", "..") or part != part.strip() for part in parts):
        problem = "A path is relative: no part of it is empty, '.', '..', or begins or ends with a space."
    elif any(len(part.encode()) > MAX_PART for part in parts):
        problem = f"Each part of a path has at most {MAX_PART} bytes."
    if problem:
        raise InvalidSpec(errors={"path": [problem]})
    return path


def artifact_put(
    *,
    user: User,
    run_id: int,
    path: str,
    file: BinaryIO,
    size: int | None = None,
    sha256: str = "",
    reserved: int = 0,
) -> tuple[Artifact, bool]:
    """Keep the stream's bytes as the run's file `path`; the file, and whether this made a new version.

    The same bytes again make none: an upload whose answer was lost may be repeated. `size` (bytes) and `sha256` (hex)
    are what the sender announced, if it did; `reserved` bytes of the project's quota are held for them already.

    Raises:
        NotFound, Forbidden: `user` may not see or not change the run.
        InvalidSpec: the path; other bytes than were announced; too many files. Nothing is kept.
        TooLarge: more than settings.MAX_UPLOAD_BYTES, or than the project has left.
        StorageError: the storage did not take it.
    """
    run = run_to_change(user=user, run_id=run_id)
    path, sha256 = checked_path(path), checked_digest(sha256)
    if size is not None:
        refuse_over_quota(run.project_id, size - reserved)
    with staged(file, max_bytes=settings.MAX_UPLOAD_BYTES) as stage:
        if size is not None and stage.size != size:
            raise InvalidSpec(f"{size:,} bytes were announced and {stage.size:,} came; send the file again.")
        if sha256 and stage.sha256 != sha256:
            raise InvalidSpec(errors={"sha256": [f"The bytes that came have {stage.sha256}; send the file again."]})
        return _known(user, run, path, stage.sha256) or _store(user, run, path, stage, reserved)


def artifact_link(*, user: User, run_id: int, path: str, sha256: str) -> tuple[Artifact, bool]:
    """The same for bytes that the run's project has already, and that need not be sent again.

    Raises:
        NotFound: the project has no such bytes (or the run is not there): put them.
        Forbidden, InvalidSpec: as for `artifact_put`.
    """
    run = run_to_change(user=user, run_id=run_id)
    found = _known(user, run, checked_path(path), checked_digest(sha256))
    if found is None:
        raise NotFound("The project does not have these bytes yet: PUT them.")
    return found


def blob_sweep(*, limit: int = BLOBS_A_SWEEP) -> int:
    """Remove at most `limit` blobs that no file names, since their runs are gone; how many. For the reconciler."""
    # No user asks: this cleans up for all.
    unused = ArtifactBlob.objects.filter(artifacts__isnull=True).order_by("pk").values_list("pk", flat=True)
    removed = 0
    for pk in list(unused[:limit]):
        with transaction.atomic():
            removed += release_blob(pk)
    return removed


def clear_blobs(project_id: int) -> None:
    """Delete the project's bytes once the transaction that removes its rows has committed."""
    keys = list(ArtifactBlob.objects.filter(project_id=project_id).values_list("key", flat=True))
    if keys:
        transaction.on_commit(partial(delete_keys, keys))


def checked_digest(sha256: str) -> str:
    """In lower case; "" stays. Raises InvalidSpec."""
    digest = sha256.strip().lower()
    if digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise InvalidSpec(errors={"sha256": ["It must be 64 hexadecimal digits."]})
    return digest


def refuse_over_quota(project_id: int, size: int) -> None:
    """Raises TooLarge, where `size` more bytes would not fit beside the project's files and what is on its way."""
    quota = settings.PROJECT_QUOTA_BYTES
    if not quota:
        return
    kept = ArtifactBlob.objects.filter(project_id=project_id).aggregate(used=Sum("size_bytes"))["used"] or 0
    uploads = ArtifactUpload.objects.filter(run__project_id=project_id, artifact=None)
    coming = uploads.aggregate(used=Sum("size_bytes"))["used"] or 0
    used = kept + coming
    if used + size > quota:
        raise TooLarge(
            f"The project's files have {used:,} bytes; with {size:,} more they would pass the {quota:,} allowed. "
            "Delete some for good: what lies in the trash counts.",
            details={"max_bytes": quota, "size_bytes": used + size},
        )


def _known(user: User, run: Run, path: str, sha256: str) -> tuple[Artifact, bool] | None:
    with transaction.atomic():
        lock_run(run)
        blob = ArtifactBlob.objects.select_for_update().filter(project_id=run.project_id, sha256=sha256).first()
        return None if blob is None else _attach(user, run, path, blob)


def _store(user: User, run: Run, path: str, stage: StagedFile, reserved: int) -> tuple[Artifact, bool]:
    refuse_over_quota(run.project_id, stage.size - reserved)
    key = f"artifacts/{run.project_id}/{secrets.token_hex(16)}/data"
    storage = get_storage()
    stored = False
    try:
        storage.put_file(key, stage.path)
        with transaction.atomic():
            lock_run(run)
            blob, made = ArtifactBlob.objects.select_for_update().get_or_create(
                project_id=run.project_id, sha256=stage.sha256, defaults={"key": key, "size_bytes": stage.size}
            )
            attached = _attach(user, run, path, blob)
        stored = made
        return attached
    finally:
        if not stored:  # the same bytes came twice at once and the other was first, or the database refused
            delete_keys([key])


def lock_run(run: Run) -> None:
    """Runs are locked before blobs, everywhere. Raises NotFound: it went into the trash meanwhile."""
    # PostgreSQL locks no row of a question that only asks whether there is one.
    if not list(Run.objects.select_for_update().filter(pk=run.pk, deleted_at__isnull=True).values_list("pk")):
        raise NotFound()


def _attach(user: User, run: Run, path: str, blob: ArtifactBlob) -> tuple[Artifact, bool]:
    """Make the blob the latest version of the file. The rows of the run and the blob are locked."""
    files = Artifact.objects.filter(run=run)
    latest = files.filter(path=path, is_latest=True).select_related("blob").first()
    if latest is not None and latest.blob_id == blob.pk:
        return latest, False
    if files.count() >= MAX_FILES:
        raise InvalidSpec(
            f"A run has at most {MAX_FILES:,} files, all versions and the trash counted; delete some for good first."
        )
    version = (files.filter(path=path).aggregate(last=Max("version"))["last"] or 0) + 1
    files.filter(path=path, is_latest=True).update(is_latest=False)
    made = Artifact.objects.create(run=run, path=path, blob=blob, version=version, created_by=user)
    stream.append(run_id=run.pk, changes={"run_id": run.pk, "changed": ["artifacts"], "artifact": path})
    return made, True


def release_blob(blob_id: int) -> bool:
    """Remove the blob if no file names it. Must be called in a transaction."""
    blob = ArtifactBlob.objects.select_for_update().filter(pk=blob_id).first()
    if blob is None or blob.artifacts.exists():
        return False
    blob.delete()
    transaction.on_commit(partial(delete_keys, [blob.key]))
    return True


def delete_keys(keys: Sequence[str]) -> None:
    """Delete these files of the storage, whose rows are gone; what it keeps is told in the log."""
    for key in keys:
        try:
            get_storage().delete(key)
        except StorageError as error:
            # Its row is gone: nobody can ask for it again, so an operator has to know of what is left.
            logger.error("%s stays in the storage, no file names it any more: %s", key, error.message)
