"""The folders that attempts work in: `work/<job>/<attempt>/` under the data directory of the worker's machine.

checkpoint/   what a later attempt resumes from; of a job that was cancelled or failed it is kept for a time
out/          the artefacts, until they are published
stdout, stderr    what libraries printed
"""

import logging
import shutil
import socket
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from automl_site.disk import is_disk_full
from jobs.models import FINAL_STATUSES, Attempt, Job, JobStatus

logger = logging.getLogger(__name__)

_DRAFT = "checkpoint.draft"
_SEED_TRIES = 3
_KEPT_STATUSES = (JobStatus.CANCELLED, JobStatus.FAILED)


@dataclass(frozen=True)
class Workspace:
    """The folder of one attempt. `seeded` tells whether it began with a checkpoint of an earlier one, or job."""

    folder: Path
    seeded: bool = False

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def stdout(self) -> Path:
        return self.folder / "stdout"

    @property
    def stderr(self) -> Path:
        return self.folder / "stderr"


def work_root() -> Path:
    return Path(settings.DATA_DIR) / "work"


def workspace(job_id: uuid.UUID, attempt_number: int) -> Workspace:
    return Workspace(work_root() / str(job_id) / str(attempt_number))


def prepare(job_id: uuid.UUID, attempt_number: int, *, resume_from: uuid.UUID | None = None) -> Workspace:
    """Make the attempt's folder, with a copy of the newest checkpoint of an earlier attempt, or of another job.

    Raises OSError.
    """
    here = workspace(job_id, attempt_number)
    shutil.rmtree(here.folder, ignore_errors=True)
    here.out.mkdir(parents=True)
    earlier = (
        [number for number in _numbers(here.folder.parent) if number < attempt_number] if attempt_number > 1 else []
    )
    seeded = any(_seed(workspace(job_id, number).checkpoint, here) for number in sorted(earlier, reverse=True))
    if not seeded and resume_from is not None:
        kept = sorted(_numbers(work_root() / str(resume_from)), reverse=True)
        seeded = any(_seed(workspace(resume_from, number).checkpoint, here) for number in kept)
    here.checkpoint.mkdir(exist_ok=True)
    for number in earlier:
        # A zombie that still writes there finds its folder gone, and ends.
        shutil.rmtree(here.folder.parent / str(number), ignore_errors=True)
    return Workspace(here.folder, seeded)


def _seed(source: Path, here: Workspace) -> bool:
    """Copy a checkpoint; whole or not at all. Drafts (`*.tmp`) are left out. False when there is none."""
    draft = here.folder / _DRAFT
    for _ in range(_SEED_TRIES):
        try:
            # A copy, no links: a zombie may still write to the files of its own.
            shutil.copytree(source, draft, ignore=shutil.ignore_patterns("*.tmp"))
        except FileNotFoundError:
            return False
        except shutil.Error as error:  # a zombie replaced a file meanwhile
            shutil.rmtree(draft, ignore_errors=True)
            if is_disk_full(error):
                raise
            continue
        if not any(draft.iterdir()):
            shutil.rmtree(draft)
            return False
        draft.rename(here.checkpoint)
        return True
    return False


def remove_partial_artefacts(job_id: uuid.UUID, attempt_number: int) -> None:
    """What an attempt left that was stopped: its checkpoint stays, for the next one."""
    here = workspace(job_id, attempt_number)
    with suppress(FileNotFoundError):
        for entry in here.folder.iterdir():
            if entry != here.checkpoint:
                _remove(entry)
    for draft in list(here.checkpoint.rglob("*.tmp")):
        _remove(draft)


def remove(job_id: uuid.UUID) -> None:
    """Everything of a job that has ended."""
    shutil.rmtree(work_root() / str(job_id), ignore_errors=True)


def clear(job_id: uuid.UUID) -> None:
    """Of a job that has ended and that no attempt works in: its last checkpoint stays if it was cancelled or failed.

    The job's row then says so.
    """
    ended = Job.objects.filter(pk=job_id, kind=Job.Kind.TRAINING, status__in=_KEPT_STATUSES)
    numbers = _numbers(work_root() / str(job_id))
    for number in numbers:
        remove_partial_artefacts(job_id, number)
    kept = [number for number in numbers if _has_files(workspace(job_id, number).checkpoint)]
    if not kept or not ended.update(checkpoint_host=socket.gethostname()):
        remove(job_id)
        return
    for number in numbers:
        if number != max(kept):
            shutil.rmtree(workspace(job_id, number).folder, ignore_errors=True)


def remove_ended() -> int:
    """Remove the folders of jobs that have ended, or are gone, and that no attempt still works in. Returns how many.

    Checkpoints of cancelled and failed ones stay for `settings.JOBS["checkpoint_seconds"]`, the newest of them up to
    `settings.JOBS["checkpoint_bytes"]`.
    """
    removed = 0
    kept: list[tuple[datetime, uuid.UUID]] = []
    for folder in _folders(work_root()):
        try:
            job_id = uuid.UUID(folder.name)
        except ValueError:
            continue  # not ours
        job = Job.objects.filter(pk=job_id).only("status", "ended_at", "checkpoint_host").first()
        if job is not None and job.status not in FINAL_STATUSES:
            continue
        if Attempt.objects.filter(job_id=job_id, status=Attempt.Status.RUNNING).exists():
            continue  # its processes are being killed
        if job is None or not job.checkpoint_host:
            clear(job_id)
        if job is not None and job.ended_at is not None and folder.exists():
            kept.append((job.ended_at, job_id))
        else:
            removed += 1
    return removed + _remove_old(kept)


def _remove_old(kept: Iterable[tuple[datetime, uuid.UUID]]) -> int:
    """Remove the checkpoints that are kept for too long, or beside too many newer ones. Returns how many."""
    oldest = timezone.now() - timedelta(seconds=settings.JOBS["checkpoint_seconds"])
    total = removed = 0
    for ended_at, job_id in sorted(kept, reverse=True):
        total += sum(path.stat().st_size for path in (work_root() / str(job_id)).rglob("*") if path.is_file())
        if ended_at < oldest or total > settings.JOBS["checkpoint_bytes"]:
            Job.objects.filter(pk=job_id).update(checkpoint_host="")
            remove(job_id)
            removed += 1
    return removed


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    return [int(each.name) for each in _folders(folder) if each.name.isdigit()]


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except FileNotFoundError:
        return []
