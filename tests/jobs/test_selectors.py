"""Reads of jobs, models and queues: each shows what its user may see, in a stated order."""

import uuid

import pytest

from automl_site.errors import NotFound
from jobs import lifecycle
from jobs.consumers import JobSource
from jobs.models import Attempt, Job, Worker
from jobs.selectors.jobs import job_get, job_list, job_snapshot, log_lines, parse_job_id, status_counts
from jobs.selectors.models import model_get, model_list
from jobs.selectors.queues import current_attempts, queue_states
from jobs.services.control import model_trash
from tracking.models import Project
from tracking.stream import LogEntry, Point

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(make_user):
    return make_user("bob")


@pytest.mark.parametrize("text", ["", "job_", "5", "job_job_", "a\0b", "\ud83d", "x" * 10_000, None, 5])
def test_what_is_no_job_id_is_none(text):
    assert parse_job_id(text) is None


def test_a_jobs_id_is_good_with_and_without_its_prefix(training, user):
    assert job_get(user=user, job_id=training.public_id) == training
    assert job_get(user=user, job_id=str(training.pk)) == training
    for unknown in (str(uuid.uuid4()), "nonsense", "a\0b"):
        with pytest.raises(NotFound, match="Job not found"):
            job_get(user=user, job_id=unknown)


def test_anothers_jobs_and_models_are_not_there_unless_their_project_is_public(training, make_model, bob):
    model = make_model()
    for read in (
        lambda: job_get(user=bob, job_id=training.public_id),
        lambda: model_get(user=bob, model_id=model.public_id),
    ):
        with pytest.raises(NotFound):
            read()
    assert not job_list(user=bob).exists() and not model_list(user=bob).exists()
    assert not Attempt.objects.visible_to(bob).exists()
    Project.objects.filter(pk=training.project_id).update(is_public=True)
    assert job_get(user=bob, job_id=training.public_id) == training
    assert model_get(user=bob, model_id=model.path) == model
    assert list(job_list(user=bob)) == [training]


def test_lists_are_filtered_and_the_newest_comes_first(submit, inference, user):
    forest = submit(model_type="random_forest", description="The Big one")
    plain = submit()
    lifecycle.cancel(job=plain)
    listed = {job.pk for job in job_list(user=user)}
    assert listed == {forest.pk, plain.pk, inference.pk}
    times = [job.created_at for job in job_list(user=user)]
    assert times == sorted(times, reverse=True)
    filters = {
        forest: {"query": "big ONE"},
        plain: {"statuses": ["cancelled"]},
        inference: {"kind": "inference"},
    }
    for job, given in filters.items():
        assert list(job_list(user=user, **given)) == [job]
    assert list(job_list(user=user, query=forest.public_id)) == [forest]
    assert list(job_list(user=user, model_type="random_forest", queue="sklearn")) == [forest]
    assert not job_list(user=user, query="100%").exists()
    assert status_counts(user) == {"pending": 2, "running": 0, "completed": 0, "failed": 0, "cancelled": 1}


def test_children_are_listed_below_their_parent_only(submit, user):
    parent, child = submit(), submit()
    Job.objects.filter(pk=child.pk).update(parent=parent)
    assert list(job_list(user=user)) == [parent]
    assert list(job_list(user=user, parent=parent.pk)) == [child]
    assert status_counts(user)["pending"] == 1


def test_a_snapshot_shows_what_a_live_page_needs(training, claim):
    waiting = job_snapshot(training.pk)
    assert (waiting["status"], waiting["eta_seconds"]) == ("pending", None)
    assert waiting["waiting"].startswith("queued, 1st")
    attempt = claim(training)
    lifecycle.report(attempt=attempt, job=training, entry=lifecycle.Report(progress=0.5, message="half"))
    running = job_snapshot(training.pk)
    assert (running["status"], running["progress"], running["message"]) == ("running", 0.5, "half")
    assert (running["waiting"], running["attempt"]) == ("", 1)
    assert running["eta_seconds"] is not None
    assert job_snapshot(uuid.uuid4()) is None


def test_a_log_is_read_from_a_number_on_and_in_pieces(training, inference, claim, make_worker):
    worker = make_worker("other", queues=[inference.queue])
    answers = lifecycle.claim_next(queue_names=[inference.queue], worker=worker)
    lines = [LogEntry("INFO", str(number)) for number in range(5)]
    for attempt, job in ((claim(training), training), (answers, inference)):
        lifecycle.report(attempt=attempt, job=job, entry=lifecycle.Report(logs=lines))
        first = log_lines(job, limit=2)
        assert [line.message for line in first] == ["0", "1"]
        assert [line.message for line in log_lines(job, after=first[-1].seq)] == ["2", "3", "4"]


def test_a_jobs_socket_reads_its_run_or_its_own_log_with_zoned_times(training, inference, claim):
    lifecycle.report(attempt=claim(training), job=training, entry=lifecycle.Report(points=[Point("a", 1.0)]))
    source = JobSource(training.pk, training.run_id)
    messages = source.read(0, 100)
    assert [message["type"] for message in messages] == ["run", "metric"]
    assert messages[1]["timestamp"].endswith("Z")
    assert source.head() == messages[-1]["id"]
    assert not source.state().is_final

    own = JobSource(inference.pk, None)
    assert own.read(own.head(), 100) == []
    lifecycle.cancel(job=inference)
    assert [(message["id"], message["message"]) for message in own.read(0, 100)] == [(1, "Job cancelled by user")]
    assert own.head() == 1
    assert own.state().is_final
    assert JobSource(uuid.uuid4(), None).state().is_final


def test_models_are_listed_without_or_from_the_trash(make_model, user):
    kept, trashed = make_model(name="Kept"), make_model(name="thrown")
    model_trash(user=user, model=trashed)
    assert list(model_list(user=user)) == [kept]
    assert list(model_list(user=user, trashed=True)) == [trashed]
    assert list(model_list(user=user, query="KEP")) == [kept]
    assert list(model_list(user=user, query=kept.public_id, model_type="noop")) == [kept]
    assert not model_list(user=user, model_type="svm").exists()
    with pytest.raises(NotFound):
        model_get(user=user, model_id=trashed.public_id)


def test_queues_show_their_work_and_their_workers(submit, claim, make_worker, django_assert_num_queries):
    claim(submit())
    waiting = submit()
    serving = make_worker("torch", queues=["pytorch-2.1"], state=Worker.State.IDLE)
    workers = list(Worker.objects.all())
    with django_assert_num_queries(1):
        states = {state.spec.name: state for state in queue_states(workers)}
    assert list(states) == ["pytorch-2.1", "sklearn"]
    assert (states["sklearn"].pending, states["sklearn"].running) == (1, 1)
    assert states["sklearn"].oldest == Job.objects.get(pk=waiting.pk).created_at
    assert [worker.name for worker in states["pytorch-2.1"].workers] == [serving.name]
    assert states["pytorch-2.1"].oldest is None
    doing = current_attempts(workers)
    assert [attempt.worker.name for attempt in doing.values()] == ["w"]
