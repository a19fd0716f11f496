"""Projects, and who may submit into which."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from tracking.models import Project, ProjectMember
from tracking.selectors.runs import chart_series, log_lines, log_tail, run_get
from tracking.services.projects import jobs_project, project_create, project_for_submission
from tracking.services.runs import run_create

pytestmark = pytest.mark.django_db


def test_a_project_belongs_to_who_made_it(user):
    project = project_create(owner=user, name="  Wine 🍷 ", description="Reds", is_public=True)
    project.refresh_from_db()
    assert (project.name, project.owner, project.is_public, project.kind) == ("Wine 🍷", user, True, "normal")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": " \n"},
        {"name": "x" * 201},
        {"name": "nul\x00"},
        {"description": "x" * 10_001},
        {"description": "\ud800"},
    ],
)
def test_a_project_that_cannot_be_kept_is_refused_by_field(user, fields):
    with pytest.raises(InvalidSpec) as refused:
        project_create(owner=user, **{"name": "fine"} | fields)
    assert list(refused.value.errors) == list(fields)
    assert not Project.objects.exists()


def test_jobs_go_to_one_private_project_a_user(user, make_user, django_assert_num_queries):
    project = jobs_project(user)
    assert (project.name, project.kind, project.is_public) == ("Jobs", "jobs", False)
    with django_assert_num_queries(1):
        assert project_for_submission(user=user, project_id=None) == project
    assert jobs_project(make_user("bob")) != project


def test_the_jobs_project_comes_out_of_the_trash_when_it_is_needed(user):
    Project.objects.filter(pk=jobs_project(user).pk).update(deleted_at=timezone.now())
    assert jobs_project(user).deleted_at is None
    assert Project.objects.live().filter(owner=user).count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_first_jobs_at_once_make_one_project(user):
    barrier = threading.Barrier(6)
    found: list[int] = []

    def submit() -> None:
        try:
            barrier.wait()
            found.append(jobs_project(user).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_one_submits_into_projects_that_one_edits_only(user, make_user):
    bob, carol = make_user("bob"), make_user("carol", is_superuser=True)
    shared = project_create(owner=bob, name="shared")
    ProjectMember.objects.create(project=shared, user=user, role="editor")
    read_only = project_create(owner=bob, name="read only")
    ProjectMember.objects.create(project=read_only, user=user, role="viewer")
    public = project_create(owner=bob, name="public", is_public=True)
    private = project_create(owner=bob, name="private")
    trashed = project_create(owner=user, name="trashed")
    Project.objects.filter(pk=trashed.pk).update(deleted_at=timezone.now())

    assert project_for_submission(user=user, project_id=shared.pk) == shared
    for visible in (read_only, public):
        with pytest.raises(Forbidden):
            project_for_submission(user=user, project_id=visible.pk)
    for hidden in (private.pk, trashed.pk, 0, -1, 10**30):
        with pytest.raises(NotFound):
            project_for_submission(user=user, project_id=hidden)
    assert project_for_submission(user=carol, project_id=private.pk) == private


def test_a_run_is_read_by_who_sees_its_project(user, make_user, django_assert_num_queries):
    bob = make_user("bob")
    run = run_create(project=jobs_project(user), name="run", config={}, tags=[])
    with django_assert_num_queries(1):
        assert run_get(user=user, run_id=run.pk).project.owner_id == user.pk
    with pytest.raises(Forbidden):
        run_get(user=bob, run_id=run.pk)
    with pytest.raises(NotFound):
        run_get(user=bob, run_id=10**30)
    Project.objects.update(is_public=True)
    assert run_get(user=bob, run_id=run.pk) == run
    Project.objects.update(deleted_at=timezone.now())
    with pytest.raises(NotFound):
        run_get(user=user, run_id=run.pk)


def test_charts_show_the_last_point_of_a_step_by_ascending_steps(user):
    from django.db import transaction

    from tracking import stream

    run = run_create(project=jobs_project(user), name="run", config={}, tags=[])
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[stream.Point("loss", i / 10, step=i) for i in range(6)])
        # Resumed from step 4: logged again.
        stream.append(run_id=run.pk, points=[stream.Point("loss", 10 + i, step=i) for i in (4, 5, 6)])
    run.refresh_from_db()
    charts = chart_series(run=run, max_points=100)
    assert charts.last_id == 9
    assert charts.series["loss"].steps.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert charts.series["loss"].values.tolist() == [0, 0.1, 0.2, 0.3, 14, 15, 16]

    with transaction.atomic():
        stream.append(run_id=run.pk, points=[stream.Point("loss", 99, step=99)])
    # `run` was read before: what came after it is the socket's to bring.
    zoomed = chart_series(run=run, names=["loss"], min_step=2, max_step=50, max_points=100)
    assert zoomed.series["loss"].steps.tolist() == [2, 3, 4, 5, 6]
    assert len(chart_series(run=run, min_step=1000, max_points=100).series["loss"]) == 0


def test_the_logs_tail_and_pages_are_in_order(user):
    from django.db import transaction

    from tracking import stream

    run = run_create(project=jobs_project(user), name="run", config={}, tags=[])
    with transaction.atomic():
        stream.append(run_id=run.pk, logs=[stream.LogEntry("INFO", str(i)) for i in range(10)])
    assert [line.message for line in log_tail(run.pk, limit=3)] == ["7", "8", "9"]
    assert [line.message for line in log_lines(run.pk, after=2, limit=3)] == ["2", "3", "4"]
