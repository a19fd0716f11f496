"""Writes of data sets."""

import logging
import re
import secrets
import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from automl_site.errors import Conflict, Forbidden, InvalidSpec
from datasets_app.models import Blob, Dataset
from datasets_app.paths import BLOBS, names_folder
from datasets_app.storage import get_storage
from datasets_app.storage.staging import StagedFile, staged

if TYPE_CHECKING:
    from datasets_app.analysis import Analysis

logger = logging.getLogger(__name__)

FILENAME_BYTES = 200  # file systems allow 255
UNNAMED = "data"


def dataset_upload(*, owner: Any, file: BinaryIO, filename: str, format: str | None = None) -> Dataset:
    """Store a file and say what is in it. Its bytes are kept once per owner; each upload is a data set of its own.

    Raises:
        InvalidSpec: the format is none that there is.
        TooLarge: more than settings.MAX_UPLOAD_BYTES.
        DatasetError: the file can be read neither as a table nor as images. Nothing of it is kept.
        StorageError: the storage did not take it.
    """
    # Imported here: they bring Arrow and polars, which take as long to load as all the rest of a web process.
    from datasets_app import images, tables
    from datasets_app.analysis import analyse

    name = clean_filename(filename)
    wanted = _checked_format(format)
    with staged(file, max_bytes=settings.MAX_UPLOAD_BYTES) as stage:
        found = images.detect_format(stage.path, filename=name, wanted=wanted)
        if found is not None:
            analysis = images.analyse(stage.path, filename=name, format=found)
        else:
            found = tables.detect_format(stage.path, filename=name, wanted=wanted)
            analysis = analyse(stage.path, filename=name, format=found)
        return _store(owner=owner, stage=stage, filename=name, format=found, analysis=analysis)


def _store(*, owner: Any, stage: StagedFile, filename: str, format: str, analysis: "Analysis") -> Dataset:
    facts = {
        "owner": owner,
        "filename": filename,
        "format": format,
        "size_bytes": stage.size,
        "rows": analysis.rows,
        "columns": analysis.columns,
        "schema": analysis.schema,
        "analysis": analysis.as_json(),
    }
    blobs = Blob.objects.select_for_update().filter(owner=owner, sha256=stage.sha256)
    # Locked: a purge that takes away the last data set of these bytes either sees this one or has taken them already.
    with transaction.atomic():
        blob = blobs.first()
        if blob is not None:
            return Dataset.objects.create(blob=blob, **facts)

    # A key of its own for every blob: bytes that are being deleted are never those of a new blob.
    key = f"datasets/{BLOBS}/{secrets.token_hex(16)}/{filename}"
    storage = get_storage()
    stored = False
    storage.put_file(key, stage.path)
    try:
        with transaction.atomic():
            blob, stored = Blob.objects.select_for_update().get_or_create(
                owner=owner, sha256=stage.sha256, defaults={"key": key, "size_bytes": stage.size}
            )
            return Dataset.objects.create(blob=blob, **facts)
    except BaseException:
        stored = False
        raise
    finally:
        if not stored:  # the same file came twice at once and the other was first, or the database refused
            storage.delete(key)


def dataset_trash(*, user: Any, dataset: Dataset) -> Dataset:
    """Take a data set out of all lists; `dataset_restore` brings it back. Raises Forbidden, Conflict."""
    _check_may_change(user, dataset)
    if not Dataset.objects.live().filter(pk=dataset.pk).update(deleted_at=timezone.now()):
        raise Conflict(f"{dataset.filename} is in the trash already.")
    dataset.refresh_from_db(fields=["deleted_at"])
    return dataset


def dataset_restore(*, user: Any, dataset: Dataset) -> Dataset:
    """Bring a data set back from the trash. Raises Forbidden, Conflict (it is not there)."""
    _check_may_change(user, dataset)
    if not Dataset.objects.filter(pk=dataset.pk, deleted_at__isnull=False).update(deleted_at=None):
        raise Conflict(f"{dataset.filename} is not in the trash.")
    dataset.refresh_from_db(fields=["deleted_at"])
    return dataset


def dataset_purge(*, user: Any, dataset: Dataset) -> None:
    """Delete a trashed data set for good, and its bytes if no other data set has them. Raises Forbidden, Conflict."""
    _check_may_change(user, dataset)
    with transaction.atomic():
        blob = Blob.objects.select_for_update().get(pk=dataset.blob_id)
        deleted, _ = Dataset.objects.filter(pk=dataset.pk, deleted_at__isnull=False).delete()
        if not deleted:
            raise Conflict(f"{dataset.filename} is not in the trash; put it there first.")
        if not blob.datasets.exists():
            blob.delete()
            key = blob.key
            transaction.on_commit(lambda: get_storage().delete(key))
        transaction.on_commit(lambda: shutil.rmtree(names_folder(dataset), ignore_errors=True))


def _check_may_change(user: Any, dataset: Dataset) -> None:
    if not Dataset.objects.visible_to(user).filter(pk=dataset.pk).exists():
        raise Forbidden(f"{dataset.filename} is not yours.")


def _checked_format(format: str | None) -> str | None:
    wanted = (format or "").strip().lower() or None
    if wanted is not None and wanted not in Dataset.Format.values:
        raise InvalidSpec(errors={"format": [f"format must be one of {', '.join(Dataset.Format.values)}"]})
    return wanted


def clean_filename(filename: str) -> str:
    """The last part of what the client calls the file, fit to be a name on disk, in a URL and in a message."""
    name = re.split(r"[/\\]", filename or "")[-1]
    # Control characters, and lone surrogates, which no database takes.
    name = "".join(c for c in name if c.isprintable()).encode("utf-8", "ignore").decode("utf-8")
    name = name.strip().lstrip(".") or UNNAMED
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix[:20]
    room = FILENAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix
