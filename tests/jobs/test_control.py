"""Cancelling, running again and the trash: who may, and what follows."""

import pytest

from automl_site.errors import Conflict, Forbidden, InvalidSpec, NotCancellable, NotFound
from jobs import lifecycle
from jobs.models import Job, TrainedModel
from jobs.services.control import job_cancel, job_resume, job_run_again, model_restore, model_trash
from jobs.services.submission import inference_submit
from tracking.models import Project, ProjectMember
from tracking.services.projects import jobs_project, project_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(make_user):
    return make_user("bob")


@pytest.fixture
def shared(submit, user, bob):
    """A job of `user` in a project that bob may read."""
    project = project_create(owner=user, name="shared")
    ProjectMember.objects.create(project=project, user=bob, role="viewer")
    return submit(project_id=project.pk)


# --- Cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancelled_job_is_cancelled_when_the_answer_comes(training, user):
    assert job_cancel(user=user, job=training).status == "cancelled"
    with pytest.raises(NotCancellable) as caught:
        job_cancel(user=user, job=training)
    assert caught.value.message == "Job cannot be cancelled: it is already cancelled"
    assert caught.value.details == {"status": "cancelled"}


def test_what_ended_since_it_was_looked_at_is_not_cancelled(training, claim, user):
    attempt = claim(training)
    stale = Job.objects.get(pk=training.pk)
    lifecycle.complete(attempt=attempt, job=training, result={})
    with pytest.raises(NotCancellable, match="already completed"):
        job_cancel(user=user, job=stale)


def test_who_only_reads_may_not_cancel_and_who_sees_nothing_does_not_know_of_it(shared, training, bob):
    with pytest.raises(Forbidden):
        job_cancel(user=bob, job=shared)
    with pytest.raises(NotFound, match="Job not found"):
        job_cancel(user=bob, job=training)
    assert set(Job.objects.values_list("status", flat=True)) == {"pending"}


def test_editors_and_superusers_may_cancel(shared, training, bob, make_user):
    ProjectMember.objects.filter(user=bob).update(role="editor")
    assert job_cancel(user=bob, job=shared).status == "cancelled"
    assert job_cancel(user=make_user("root", is_superuser=True), job=training).status == "cancelled"


# --- Running again ----------------------------------------------------------------------------------------------------


def test_the_same_order_is_submitted_anew(submit, claim, user):
    job = submit(
        model_type="random_forest",
        hyperparameters={"n_estimators": 5},
        description="first",
        requires_gpu=True,
        framework_override="sklearn",
        contract="page",
    )
    lifecycle.cancel(job=job)
    again = job_run_again(user=user, job=job)
    assert again.pk != job.pk and again.run_id != job.run_id and again.model_public_id != job.model_public_id
    assert (again.status, again.retry_of, again.owner, again.project) == ("pending", job, user, job.project)
    order = ("model_type", "data_path", "hyperparameters", "description", "requires_gpu", "framework_override")
    assert [getattr(again, name) for name in (*order, "contract")] == [
        getattr(job, name) for name in (*order, "contract")
    ]


def test_other_hyperparameters_are_checked_like_any(submit, user):
    job = submit(model_type="random_forest", hyperparameters={"n_estimators": 5})
    assert job_run_again(user=user, job=job, hyperparameters={"n_estimators": 9}).hyperparameters["n_estimators"] == 9
    assert job_run_again(user=user, job=job, hyperparameters={}).hyperparameters == {}
    with pytest.raises(InvalidSpec) as caught:
        job_run_again(user=user, job=job, hyperparameters={"n_estimators": 0})
    assert "hyperparameters.n_estimators" in caught.value.errors


def test_a_readers_run_goes_into_a_project_of_the_readers_own(shared, bob):
    again = job_run_again(user=bob, job=shared)
    assert (again.owner, again.project) == (bob, jobs_project(bob))


# --- Resuming ---------------------------------------------------------------------------------------------------------


def test_a_cancelled_training_goes_on_as_a_new_job(submit, user):
    job = submit(timeout=60)
    lifecycle.cancel(job=job)
    Job.objects.filter(pk=job.pk).update(checkpoint_host="here")
    for timeout, seconds in ((None, 60.0), (90, 90.0)):
        resumed = job_resume(user=user, job=Job.objects.get(pk=job.pk), timeout=timeout)
        assert (resumed.resumes, resumed.retry_of, resumed.timeout_seconds) == (True, job, seconds)
        assert (resumed.status, resumed.hyperparameters) == ("pending", job.hyperparameters)
    assert not job_run_again(user=user, job=job).resumes


def test_what_there_is_no_checkpoint_of_is_not_resumed(submit, inference, claim, user):
    job = submit()
    with pytest.raises(Conflict, match="Only a training that was cancelled or has failed"):
        job_resume(user=user, job=job)
    attempt = claim(job)
    lifecycle.cancel(job=job)
    job.refresh_from_db()
    with pytest.raises(Conflict, match="are about to end; try again in a few seconds"):
        job_resume(user=user, job=job)
    lifecycle.attempt_stopped(attempt=attempt)
    with pytest.raises(Conflict, match="No checkpoint of this job is kept; run it again"):
        job_resume(user=user, job=job)
    lifecycle.cancel(job=inference)
    inference.refresh_from_db()
    with pytest.raises(Conflict, match="Only a training"):
        job_resume(user=user, job=inference)


def test_an_inference_is_run_again_while_its_model_is_there(inference, user):
    lifecycle.cancel(job=inference)
    again = job_run_again(user=user, job=inference)
    assert (again.model, again.input_data, again.retry_of) == (inference.model, "1,2", inference)
    lifecycle.cancel(job=again)
    model_trash(user=user, model=inference.model)
    inference.refresh_from_db()
    with pytest.raises(Conflict, match="The model of this job is gone"):
        job_run_again(user=user, job=inference)


# --- The trash --------------------------------------------------------------------------------------------------------


def test_a_trashed_model_answers_no_inference_until_it_is_restored(make_model, user):
    model = make_model()
    model_trash(user=user, model=model)
    with pytest.raises(NotFound):
        inference_submit(user=user, model_id=model.public_id, input_data="1")
    first = TrainedModel.objects.get(pk=model.pk).deleted_at
    model_trash(user=user, model=model)  # a second time changes nothing
    assert TrainedModel.objects.get(pk=model.pk).deleted_at == first
    model_restore(user=user, model=model)
    assert inference_submit(user=user, model_id=model.public_id, input_data="1").model == model


def test_a_model_in_use_is_not_trashed(inference, claim, user):
    for _ in ("pending", "running"):
        with pytest.raises(Conflict, match="pending or running; cancel it first"):
            model_trash(user=user, model=inference.model)
        if inference.status == "pending":
            claim(inference)
    lifecycle.cancel(job=inference)
    model_trash(user=user, model=inference.model)
    assert TrainedModel.objects.get(pk=inference.model_id).deleted_at is not None


def test_who_only_reads_a_model_may_neither_trash_nor_restore_it(make_model, bob, user):
    model = make_model()
    Project.objects.filter(pk=model.project_id).update(is_public=True)
    assert TrainedModel.objects.visible_to(bob).filter(pk=model.pk).exists()
    for change in (model_trash, model_restore):
        with pytest.raises(Forbidden):
            change(user=bob, model=model)
    assert TrainedModel.objects.get(pk=model.pk).deleted_at is None
