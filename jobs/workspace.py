"""The folders that attempts work in: `work/<job>/<attempt>/` under the data directory of the worker's machine.

checkpoint/   what a later attempt resumes from
out/          the artefacts, until they are published
stdout, stderr    what libraries printed
"""

import logging
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from jobs.models import FINAL_STATUSES, Attempt, Job

logger = logging.getLogger(__name__)

_DRAFT = "checkpoint.draft"
_SEED_TRIES = 3


@dataclass(frozen=True)
class Workspace:
    """The folder of one attempt."""

    folder: Path

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


def prepare(job_id: uuid.UUID, attempt_number: int) -> Workspace:
    """Make the attempt's folder, with a copy of the newest checkpoint of an earlier attempt. Raises OSError."""
    here = workspace(job_id, attempt_number)
    shutil.rmtree(here.folder, ignore_errors=True)
    here.out.mkdir(parents=True)
    earlier = (
        [number for number in _numbers(here.folder.parent) if number < attempt_number] if attempt_number > 1 else []
    )
    for number in sorted(earlier, reverse=True):
        if _seed(workspace(job_id, number).checkpoint, here):
            break
    here.checkpoint.mkdir(exist_ok=True)
    for number in earlier:
        # A zombie that still writes there finds its folder gone, and ends.
        shutil.rmtree(here.folder.parent / str(number), ignore_errors=True)
    return here


def _seed(source: Path, here: Workspace) -> bool:
    """Copy a checkpoint; whole or not at all. Drafts (`*.tmp`) are left out. False when there is none."""
    draft = here.folder / _DRAFT
    for _ in range(_SEED_TRIES):
        try:
            # A copy, no links: a zombie may still write to the files of its own.
            shutil.copytree(source, draft, ignore=shutil.ignore_patterns("*.tmp"))
        except FileNotFoundError:
            return False
        except shutil.Error:  # a zombie replaced a file meanwhile
            shutil.rmtree(draft, ignore_errors=True)
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
    shutil.rmtree(here.out, ignore_errors=True)
    for printed in (here.stdout, here.stderr):
        printed.unlink(missing_ok=True)


def remove(job_id: uuid.UUID) -> None:
    """Everything of a job that has ended."""
    shutil.rmtree(work_root() / str(job_id), ignore_errors=True)


def remove_ended() -> int:
    """Remove the folders of jobs that have ended, or are gone, and that no attempt still works in. Returns how many."""
    removed = 0
    for folder in _folders(work_root()):
        try:
            job_id = uuid.UUID(folder.name)
        except ValueError:
            continue  # not ours
        status = Job.objects.filter(pk=job_id).values_list("status", flat=True).first()
        if status is not None and status not in FINAL_STATUSES:
            continue
        if Attempt.objects.filter(job_id=job_id, status=Attempt.Status.RUNNING).exists():
            continue  # its processes are being killed
        remove(job_id)
        removed += 1
    return removed


def _numbers(folder: Path) -> list[int]:
    return [int(each.name) for each in _folders(folder) if each.name.isdigit()]


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except FileNotFoundError:
        return []
