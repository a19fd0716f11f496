"""The trash: restored, emptied by hand, and emptied after thirty days."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automl_site.errors import Conflict, Forbidden, NotFound
from datasets_app.storage import get_storage
from jobs.models import Job, TrainedModel
from jobs.reconciler import Reconciler
from tests.conftest import wait_until
from tracking import stream
from tracking.models import IdempotencyKey, LogLine, MetricSegment, MetricSeries, Project, ProjectMember, Run
from tracking.selectors.projects import project_trash_list
from tracking.selectors.runs import run_trash_list
from tracking.services.metrics import Idempotency, points_log
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.services.trash import (
    KEPT,
    project_empty_trash,
    project_restore,
    project_trash,
    run_delete_forever,
    run_restore,
    run_trash,
    trash_sweep,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(user):
    return project_create(owner=user, name="garden")


@pytest.fixture
def run(project):
    run = run_create(project=project, name="rose", config={}, tags=[])
    points_log(run_id=run.pk, points=[stream.Point("loss", 0.5)])
    return run


def age(rows, days):
    rows.update(deleted_at=timezone.now() - KEPT - timedelta(days=days))


def test_a_trashed_run_is_listed_in_the_trash_and_comes_back_whole(user, project, run):
    run_trash(user=user, run_id=run.pk)
    assert list(run_trash_list(user=user, project_id=project.pk)) == [run]
    assert not Run.objects.live().exists()
    run_restore(user=user, run_id=run.pk)
    assert Run.objects.live().get() == run
    assert MetricSeries.objects.get().count == 1


def test_who_may_only_look_throws_nothing_away(user, make_user, project, run):
    bob = make_user("bob")
    ProjectMember.objects.create(project=project, user=bob, role="viewer")
    for act in (
        lambda: run_trash(user=bob, run_id=run.pk),
        lambda: project_trash(user=bob, project_id=project.pk),
        lambda: project_empty_trash(user=bob, project_id=project.pk),
    ):
        with pytest.raises(Forbidden):
            act()
    ProjectMember.objects.update(role="editor")
    run_trash(user=bob, run_id=run.pk)
    with pytest.raises(Forbidden):
        project_trash(user=bob, project_id=project.pk)
    run_trash_of = run_trash_list(user=bob, project_id=project.pk)
    assert list(run_trash_of) == [run]
    ProjectMember.objects.update(role="viewer")
    for act in (run_restore, run_delete_forever):
        with pytest.raises(Forbidden):
            act(user=bob, run_id=run.pk)


def test_what_is_not_in_the_trash_is_neither_restored_nor_deleted_for_good(user, run):
    for act in (run_restore, run_delete_forever):
        with pytest.raises(NotFound):
            act(user=user, run_id=run.pk)
    with pytest.raises(NotFound):
        project_restore(user=user, project_id=run.project_id)


def test_a_run_of_a_trashed_project_comes_back_with_it_but_not_one_thrown_away_before(user, project, run):
    other = run_create(project=project, name="tulip", config={}, tags=[])
    run_trash(user=user, run_id=other.pk)
    project_trash(user=user, project_id=project.pk)
    assert list(project_trash_list(user=user)) == [project]
    with pytest.raises(NotFound):
        run_restore(user=user, run_id=other.pk)
    project_restore(user=user, project_id=project.pk)
    assert list(Run.objects.live()) == [run]
    assert list(Run.objects.trashed()) == [other]


def test_emptying_takes_the_trashed_runs_and_their_points_only(user, project, run):
    kept = run_create(project=project, name="tulip", config={}, tags=[])
    points_log(run_id=kept.pk, points=[stream.Point("loss", 0.5)])
    run_trash(user=user, run_id=run.pk)
    assert project_empty_trash(user=user, project_id=project.pk) == 1
    assert list(Run.objects.all()) == [kept]
    assert MetricSegment.objects.count() == MetricSeries.objects.count() == 1


def test_the_sweep_takes_what_is_older_than_thirty_days(user, project, run):
    old = run_create(project=project, name="old", config={}, tags=[])
    key = Idempotency.of(user_id=user.pk, key="k", path="/", body=b"")
    points_log(run_id=old.pk, points=[stream.Point("loss", 0.5)], idempotency=key)
    run_trash(user=user, run_id=run.pk)
    run_trash(user=user, run_id=old.pk)
    assert trash_sweep() == 0
    age(Run.objects.filter(pk=old.pk), days=1)
    with pytest.raises(NotFound, match="30 days"):
        run_restore(user=user, run_id=old.pk)
    assert trash_sweep() == 1
    assert list(Run.objects.all()) == [run]
    assert MetricSegment.objects.count() == 1
    assert not IdempotencyKey.objects.exists()


def test_the_sweep_stops_in_time_and_goes_on_later(user, project, run, monkeypatch):
    monkeypatch.setattr("tracking.services.trash.ROWS_A_STEP", 3)
    LogLine.objects.bulk_create(LogLine(run=run, seq=100 + n, message="x") for n in range(10))
    run_trash(user=user, run_id=run.pk)
    age(Run.objects.all(), days=1)
    assert trash_sweep(seconds=0) == 0
    assert Run.objects.exists()
    wait_until(lambda: trash_sweep(seconds=0) or not Run.objects.exists(), what="the trash to be empty")
    assert not LogLine.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_project_goes_for_good_with_its_models_files(user, project, run, tmp_path):
    model = TrainedModel.objects.create(owner=user, project=project, run=run, name="m", model_type="svm", task="c")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    key = f"models/{model.public_id}"
    get_storage().put_folder(key, folder)
    kept = project_create(owner=user, name="kept")
    project_trash(user=user, project_id=project.pk)
    age(Project.objects.filter(pk=project.pk), days=1)
    Reconciler().tick()
    assert list(Project.objects.all()) == [kept]
    assert not Run.objects.exists() and not TrainedModel.objects.exists()
    assert not get_storage().exists(f"{key}/model.json")


def test_a_project_with_a_live_job_is_kept(user, project, run):
    job = Job.objects.create(owner=user, project=project, kind="training", contract="job-queue", queue="sklearn")
    with pytest.raises(Conflict, match="cancel it first"):
        project_trash(user=user, project_id=project.pk)
    run_trash(user=user, run_id=run.pk)  # another's
    assert job.is_live
