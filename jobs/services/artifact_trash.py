"""The trash of runs' files: what is deleted can be restored for 30 days, and then goes for good.

`path` is a file's, or a folder's with its final slash for all that lies in it, or "" for all files of the run.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from automl_site.errors import NotFound
from jobs.services.artifacts import checked_path, lock_run, release_blob
from tracking import stream
from tracking.models import Artifact, Run, User
from tracking.querysets import ArtifactQuerySet
from tracking.selectors.runs import run_to_change
from tracking.services.trash import GONE, KEPT

RELEASED_AT_ONCE = 200  # blobs; what more there are goes with the reconciler's sweeps
FILES_A_SWEEP = 1000
_IN_A_QUESTION = 500  # values; SQLite takes 32,766 at most
_NO_FILE = "The run has no such file."


def checked_place(path: str) -> str:
    """A path of a file, of a folder, or "". Raises InvalidSpec."""
    if path:
        checked_path(path.removesuffix("/"))
    return path


@transaction.atomic
def artifact_trash(*, user: User, run_id: int, path: str) -> datetime:
    """Put a file with all its versions, or all files of a folder, into the trash; when, by which it can be restored.

    Raises:
        NotFound: no such file, nothing in the folder, or the run is not there.
        Forbidden, InvalidSpec: `user` may not change the run; the path.
    """
    run = run_to_change(user=user, run_id=run_id)
    checked_place(path)
    lock_run(run)
    now = timezone.now()
    files = Artifact.objects.live().filter(run=run).at(path)
    if not files.update(deleted_at=now, is_latest=False):
        raise NotFound(_NO_FILE)
    _tell(run, path)
    return now


@transaction.atomic
def artifact_restore(*, user: User, run_id: int, path: str, deleted_at: datetime | None = None) -> int:
    """Take files out of the trash: what was put there at `deleted_at`, or whenever; how many.

    What has been uploaded to the same path meanwhile stays the latest version.

    Raises: as `artifact_trash`; NotFound also for what has lain there for more than 30 days.
    """
    run = run_to_change(user=user, run_id=run_id)
    checked_place(path)
    lock_run(run)
    files = Artifact.objects.trashed().filter(run=run).at(path)
    if deleted_at is not None:
        files = files.filter(deleted_at=deleted_at)
    paths = sorted(set(files.values_list("path", flat=True)))
    if not paths:
        raise NotFound(_NO_FILE)
    if not files.filter(deleted_at__gte=timezone.now() - KEPT).update(deleted_at=None):
        raise NotFound(GONE)
    _mark_latest(run, paths)
    _tell(run, path)
    return len(paths)


@transaction.atomic
def artifact_purge(*, user: User, run_id: int, path: str, only_trashed: bool = False) -> int:
    """Remove files with all their versions for good, those in the trash too; how many versions.

    Bytes that no file names any more give their space back: at once, or within minutes where they are many.

    Raises: as `artifact_trash`.
    """
    run = run_to_change(user=user, run_id=run_id)
    checked_place(path)
    lock_run(run)
    files = Artifact.objects.filter(run=run).at(path)
    if only_trashed:
        files = files.trashed()
    removed = _remove(files)
    if not removed:
        raise NotFound(_NO_FILE)
    _tell(run, path)
    return removed


def artifact_trash_sweep(*, limit: int = FILES_A_SWEEP) -> int:
    """Remove at most `limit` versions of files that have lain in the trash for 30 days; how many.

    For the reconciler.
    """
    # No user asks: this cleans up for all.
    old = Artifact.objects.filter(deleted_at__lt=timezone.now() - KEPT).order_by("pk")
    doomed = list(old.values_list("pk", flat=True)[:limit])
    with transaction.atomic():
        return sum(_remove(old.filter(pk__in=pks)) for pks in _slices(doomed))


def _remove(files: ArtifactQuerySet) -> int:
    blobs = sorted(set(files.order_by().values_list("blob_id", flat=True)))
    removed, _ = files.delete()
    for blob in blobs[:RELEASED_AT_ONCE]:
        release_blob(blob)
    return removed


def _mark_latest(run: Run, paths: Sequence[str]) -> None:
    """Make the newest live version of each of these files its latest."""
    files = Artifact.objects.live().filter(run=run)
    newest: dict[str, tuple[int, bool]] = {}
    wrong: list[int] = []
    for some in _slices(paths):
        rows = files.filter(path__in=some).order_by("path", "version").values_list("path", "pk", "is_latest")
        for path, pk, is_latest in rows:
            before = newest.get(path)
            if before is not None and before[1]:
                wrong.append(before[0])
            newest[path] = (pk, is_latest)
    for pks in _slices(wrong):
        files.filter(pk__in=pks).update(is_latest=False)
    for pks in _slices([pk for pk, is_latest in newest.values() if not is_latest]):
        files.filter(pk__in=pks).update(is_latest=True)


def _slices(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[at : at + _IN_A_QUESTION] for at in range(0, len(values), _IN_A_QUESTION))


def _tell(run: Run, path: str) -> None:
    stream.append(run_id=run.pk, changes={"run_id": run.pk, "changed": ["artifacts"], "artifact": path})
