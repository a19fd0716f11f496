"""Heartbeats: who promised to send them and fell silent has failed, and comes back; who did not is never judged."""

from datetime import timedelta

import pytest

from automl_site.errors import Forbidden, NotFound
from jobs.lifecycle import database_now
from jobs.models import Job
from jobs.reconciler import Reconciler
from tracking import stream
from tracking.models import ProjectMember, Run, RunEvent
from tracking.services.heartbeats import run_heartbeat, silent_runs_fail
from tracking.services.ingest import Entry, group_log
from tracking.services.metrics import points_log
from tracking.services.projects import project_create
from tracking.services.runs import run_create, run_update
from tracking.store_group import Part, SeriesCache

pytestmark = pytest.mark.django_db

SILENCE = timedelta(seconds=300)


@pytest.fixture
def run(user):
    return run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])


def sweep(*, after=SILENCE * 1.1, spared=None):
    """A sweep so long after now, on the database's clock."""
    spared = Run.objects.none().values("pk") if spared is None else spared
    return silent_runs_fail(now=database_now() + after, silence=SILENCE, spared=spared)


def test_a_run_that_fell_silent_has_failed_and_its_stream_tells_since_when(user, run):
    run_heartbeat(user=user, run_id=run.pk)
    assert sweep(after=SILENCE * 0.9) == 0
    assert sweep() == 1
    assert sweep() == 0
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.status_reason == f"no heartbeat since {stream.timestamp(run.heartbeat_at)}"
    assert run.ended_at == run.heartbeat_at
    event = RunEvent.objects.get(run=run)
    assert event.payload["status"] == "failed"
    assert event.seq == run.seq


def test_a_run_without_heartbeats_is_never_judged(run):
    points_log(run_id=run.pk, points=[stream.Point("loss", 0.5)])
    assert sweep(after=timedelta(days=400)) == 0
    run.refresh_from_db()
    assert run.status == "running"


def test_points_count_as_a_sign_of_life_for_one_more_period(user, run):
    run_heartbeat(user=user, run_id=run.pk)
    points_log(run_id=run.pk, points=[stream.Point("loss", 0.5)])
    assert sweep() == 0
    assert sweep(after=SILENCE * 2) == 0
    assert sweep(after=SILENCE * 2.2) == 1


def test_a_heartbeat_brings_it_back(user, run):
    run_heartbeat(user=user, run_id=run.pk)
    sweep()
    run_heartbeat(user=user, run_id=run.pk)
    run.refresh_from_db()
    assert (run.status, run.status_reason, run.ended_at, run.silent_at) == ("running", "", None, None)
    assert [event.payload["status"] for event in RunEvent.objects.filter(run=run)] == ["failed", "running"]
    assert sweep(after=SILENCE * 0.9) == 0
    assert sweep() == 1


def test_points_bring_it_back_by_either_way(user, run):
    cache = SeriesCache()

    def entry():
        return Entry(run_id=run.pk, parts=[Part("loss", [0.5])], heartbeat=True)

    assert group_log([entry()], cache) == [{"message": "Logged 1 metrics successfully"}]
    assert Run.objects.get(pk=run.pk).heartbeat_at is not None
    assert sweep() == 1
    # The short way leaves it to the view, which revives it.
    assert group_log([entry()], cache) == [None]
    points_log(run_id=run.pk, points=[stream.Point("loss", 0.4)])
    assert Run.objects.get(pk=run.pk).status == "running"
    assert group_log([entry()], cache) == [{"message": "Logged 1 metrics successfully"}]


@pytest.mark.parametrize("status", ["failed", "completed", "cancelled"])
def test_only_what_silence_ended_is_brought_back(user, run, status):
    run_heartbeat(user=user, run_id=run.pk)
    run_update(user=user, run_id=run.pk, changes={"status": status})
    run_heartbeat(user=user, run_id=run.pk)
    points_log(run_id=run.pk, points=[stream.Point("loss", 0.5)])
    assert Run.objects.get(pk=run.pk).status == status


@pytest.mark.parametrize("status", ["failed", "completed", "cancelled"])
def test_a_word_about_its_end_after_the_silence_stands(user, run, status):
    run_heartbeat(user=user, run_id=run.pk)
    sweep()
    run_update(user=user, run_id=run.pk, changes={"status": status})
    run_heartbeat(user=user, run_id=run.pk)
    assert Run.objects.get(pk=run.pk).status == status


def test_who_takes_it_up_again_by_hand_need_not_send_heartbeats(user, run):
    run_heartbeat(user=user, run_id=run.pk)
    sweep()
    run_update(user=user, run_id=run.pk, changes={"status": "running"})
    assert sweep(after=timedelta(days=1)) == 0


def test_the_run_of_a_live_job_is_the_jobs_to_judge(user, run):
    run_heartbeat(user=user, run_id=run.pk)
    assert sweep(spared=Run.objects.filter(pk=run.pk).values("pk")) == 0
    job = Job.objects.create(
        owner=user,
        project=run.project,
        run=run,
        status="running",
        kind="training",
        contract="job-queue",
        queue="sklearn",
    )
    reconciler = Reconciler()
    reconciler.fail_silent_runs(database_now() + SILENCE * 2)
    assert Run.objects.get(pk=run.pk).status == "running"
    Job.objects.filter(pk=job.pk).update(status="completed", ended_at=database_now())
    reconciler.fail_silent_runs(database_now() + SILENCE * 2)
    assert Run.objects.get(pk=run.pk).status == "failed"


def test_a_sweep_looks_at_a_bounded_number_of_runs_the_longest_silent_first(user, run):
    others = [run_create(project=run.project, name=str(n), config={}, tags=[]) for n in range(3)]
    for each in [run, *others]:
        run_heartbeat(user=user, run_id=each.pk)
    spared = Run.objects.none().values("pk")
    later = database_now() + SILENCE * 2
    assert silent_runs_fail(now=later, silence=SILENCE, spared=spared, limit=3) == 3
    assert list(Run.objects.filter(status="running")) == [others[-1]]


def test_only_who_may_log_into_the_run_sends_its_heartbeats(user, make_user, run):
    bob = make_user("bob")
    with pytest.raises(Forbidden):
        run_heartbeat(user=bob, run_id=run.pk)
    ProjectMember.objects.create(project=run.project, user=bob, role="viewer")
    with pytest.raises(Forbidden):
        run_heartbeat(user=bob, run_id=run.pk)
    with pytest.raises(NotFound):
        run_heartbeat(user=bob, run_id=run.pk + 1)
    assert Run.objects.get(pk=run.pk).heartbeat_at is None
