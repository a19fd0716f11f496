"""The folders that attempts work in: each its own, seeded from the newest whole checkpoint, cleared at the end."""

import shutil
import socket
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import workspace
from jobs.models import Job
from jobs.workspace import prepare, remove, remove_partial_artefacts, work_root
from jobs.workspace import workspace as folder_of


@pytest.fixture
def job_id():
    job_id = uuid.uuid4()
    yield job_id
    shutil.rmtree(work_root() / str(job_id), ignore_errors=True)


def checkpoint_of(job_id, number, **files):
    here = folder_of(job_id, number)
    here.checkpoint.mkdir(parents=True)
    for name, text in files.items():
        (here.checkpoint / name.replace("__", ".")).write_text(text)
    return here


def test_a_first_attempt_begins_with_empty_folders(job_id):
    here = prepare(job_id, 1)
    assert here.folder == work_root() / str(job_id) / "1"
    assert list(here.checkpoint.iterdir()) == list(here.out.iterdir()) == []


def test_a_later_attempt_gets_the_newest_checkpoint_there_is(job_id):
    checkpoint_of(job_id, 1, step="old")
    second = checkpoint_of(job_id, 2, step="new", half__tmp="draft")
    (second.checkpoint / "deep").mkdir()
    (second.checkpoint / "deep" / "weights").write_text("w")
    checkpoint_of(job_id, 3)  # it died before it had written one
    here = prepare(job_id, 4)
    assert (here.checkpoint / "step").read_text() == "new"
    assert (here.checkpoint / "deep" / "weights").read_text() == "w"
    assert not (here.checkpoint / "half.tmp").exists()
    assert [each.name for each in here.folder.parent.iterdir()] == ["4"]


def test_what_an_earlier_process_of_the_same_attempt_left_is_not_taken_over(job_id):
    here = prepare(job_id, 1)
    (here.out / "model.json").write_text("half")
    assert list(prepare(job_id, 1).out.iterdir()) == []


def test_a_zombie_writing_into_its_own_checkpoint_does_not_reach_the_copy(job_id):
    before = checkpoint_of(job_id, 1, step="7")
    with (before.checkpoint / "step").open("r+") as file:
        here = prepare(job_id, 2)
        file.write("9")
    assert (here.checkpoint / "step").read_text() == "7"


def test_a_checkpoint_that_changes_while_it_is_copied_is_copied_once_more(job_id, monkeypatch):
    checkpoint_of(job_id, 1, step="7")
    copytree, tries = shutil.copytree, []

    def disturbed(source, target, **options):
        tries.append(target)
        if len(tries) == 1:
            target.mkdir()
            (target / "step").write_text("half")
            raise shutil.Error("a file was replaced")
        return copytree(source, target, **options)

    monkeypatch.setattr(workspace.shutil, "copytree", disturbed)
    here = prepare(job_id, 2)
    assert len(tries) == 2
    assert (here.checkpoint / "step").read_text() == "7"


def test_a_checkpoint_that_cannot_be_copied_at_all_means_a_new_start(job_id, monkeypatch):
    checkpoint_of(job_id, 1, step="7")

    def broken(source, target, **options):
        target.mkdir()
        raise shutil.Error("a file was replaced")

    monkeypatch.setattr(workspace.shutil, "copytree", broken)
    here = prepare(job_id, 2)
    assert list(here.checkpoint.iterdir()) == []


def test_a_disk_too_full_for_the_checkpoint_is_no_reason_to_begin_anew(job_id, monkeypatch):
    checkpoint_of(job_id, 1, step="7")

    def full(source, target, **options):
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(workspace.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(job_id, 2)
    assert (folder_of(job_id, 1).checkpoint / "step").read_text() == "7"


def test_a_stopped_attempt_keeps_its_checkpoint_only(job_id):
    here = prepare(job_id, 1)
    for path in (here.checkpoint / "step", here.out / "model.json", here.stdout, here.stderr):
        path.write_text("x")
    for scratch in (here.folder / ".scratch", here.checkpoint / "8.tmp"):
        scratch.mkdir()
        (scratch / "x").write_text("x")
    remove_partial_artefacts(job_id, 1)
    assert [each.name for each in here.folder.iterdir()] == ["checkpoint"]
    assert [each.name for each in here.checkpoint.iterdir()] == ["step"]
    remove_partial_artefacts(job_id, 1)
    remove(job_id)
    assert not here.folder.parent.exists()
    remove(job_id)


# --- Checkpoints of jobs that have ended ------------------------------------------------------------------------------


@pytest.fixture
def ended(submit):
    """ended("cancelled", days=2) -> a job that ended so long ago, with a checkpoint of 100 bytes."""
    made = []

    def make(status="cancelled", *, days=0.0):
        job = submit()
        made.append(job.pk)
        fields = {"status": status, "ended_at": timezone.now() - timedelta(days=days)}
        Job.objects.filter(pk=job.pk).update(**fields, checkpoint_host=socket.gethostname())
        checkpoint_of(job.pk, 1, step="x" * 100)
        return job

    yield make
    for pk in made:
        remove(pk)


def is_kept(job):
    job.refresh_from_db()
    there = (folder_of(job.pk, 1).checkpoint / "step").exists()
    assert there == bool(job.checkpoint_host)
    return there


@pytest.mark.django_db
def test_checkpoints_are_kept_for_a_time_and_up_to_a_number_of_bytes(ended, settings):
    settings.JOBS = {**settings.JOBS, "checkpoint_seconds": 3 * 86400.0, "checkpoint_bytes": 250}
    old, third, second, first = (ended(days=days) for days in (4, 3 - 1e-3, 2, 1))
    workspace.remove_ended()
    assert [is_kept(job) for job in (old, third, second, first)] == [False, False, True, True]


@pytest.mark.django_db
def test_a_job_that_was_cancelled_while_it_waited_for_another_attempt_keeps_its_checkpoint_too(ended):
    cancelled, completed = ended(), ended("completed")
    Job.objects.filter(pk__in=[cancelled.pk, completed.pk]).update(checkpoint_host="")
    checkpoint_of(cancelled.pk, 2)  # it died before it had written one
    workspace.remove_ended()
    assert (is_kept(cancelled), is_kept(completed)) == (True, False)
    assert [each.name for each in folder_of(cancelled.pk, 1).folder.parent.iterdir()] == ["1"]


@pytest.mark.django_db
def test_another_job_goes_on_from_the_newest_checkpoint_that_is_kept(job_id, ended):
    origin = ended()
    here = prepare(job_id, 1, resume_from=origin.pk)
    assert (here.seeded, (here.checkpoint / "step").read_text()) == (True, "x" * 100)
    (here.checkpoint / "step").write_text("mine")
    assert (prepare(job_id, 2, resume_from=origin.pk).checkpoint / "step").read_text() == "mine"
    remove(origin.pk)
    assert not prepare(job_id, 1, resume_from=origin.pk).seeded


@pytest.mark.django_db
def test_folders_that_are_no_jobs_are_left_alone_and_links_not_followed(job_id, tmp_path):
    (tmp_path / "precious").write_text("x")
    link = work_root() / str(uuid.uuid4())
    prepare(job_id, 1)
    link.symlink_to(tmp_path)
    assert workspace.remove_ended() >= 1
    assert not (work_root() / str(job_id)).exists()
    assert (tmp_path / "precious").exists()
    link.unlink()
