"""A job submitted while its project, data or model goes: either the job is first, or the order is refused."""

import io

import pytest

from automl_site.errors import Conflict, InvalidSpec, NotFound
from datasets_app.services import dataset_purge, dataset_trash, dataset_upload
from jobs.models import Job
from jobs.services import submission
from tests.jobs.conftest import TABLE
from tests.meanwhile import Meanwhile
from tracking import holds
from tracking.models import Project, Run, User
from tracking.services.projects import jobs_project, project_create
from tracking.services.trash import project_trash

pytestmark = pytest.mark.django_db(transaction=True)


def training(user: User, project: Project | None) -> Job:
    project_id = project.pk if project else None
    return submission.training_submit(user=user, model_type="noop", data_path=TABLE, project_id=project_id)


@pytest.mark.parametrize("is_own", [True, False], ids=["jobs_project", "other_project"])
def test_a_project_is_not_trashed_under_a_job_that_is_being_submitted(user, table, monkeypatch, is_own):
    project = jobs_project(user) if is_own else project_create(owner=user, name="garden")
    trashing = Meanwhile(lambda: project_trash(user=user, project_id=project.pk))
    make = submission.run_create

    def slow(**fields):
        trashing.begin()
        return make(**fields)

    monkeypatch.setattr(submission, "run_create", slow)
    training(user, None if is_own else project)
    trashing.end()
    assert isinstance(trashing.error, Conflict) and "cancel it first" in trashing.error.message
    assert Project.objects.live().filter(pk=project.pk).exists()
    assert Run.objects.live().filter(job__status="pending").count() == 1


def test_no_job_is_submitted_into_a_project_that_is_being_trashed(user, table, monkeypatch):
    project = project_create(owner=user, name="garden")
    submitting = Meanwhile(lambda: training(user, project))
    check = holds.refuse_if_held

    def slow(**held):
        check(**held)
        submitting.begin()

    monkeypatch.setattr(holds, "refuse_if_held", slow)
    project_trash(user=user, project_id=project.pk)
    submitting.end()
    assert isinstance(submitting.error, NotFound)
    assert not Project.objects.live().exists()
    assert not Job.objects.exists() and not Run.objects.exists()


def test_a_project_that_is_kept_for_a_job_is_as_it_was(user, table):
    project = project_create(owner=user, name="garden")
    job = training(user, project)
    with pytest.raises(Conflict, match=job.public_id):
        project_trash(user=user, project_id=project.pk)
    before, project = project, Project.objects.get(pk=project.pk)
    assert (project.deleted_at, project.updated_at) == (None, before.updated_at)


@pytest.fixture
def after_the_checks(monkeypatch):
    """after_the_checks(act): `act` is done once between an order's checks and its transaction."""

    def arrange(act):
        estimate = submission.estimated_seconds

        def act_first(**order):
            act()
            return estimate(**order)

        monkeypatch.setattr(submission, "estimated_seconds", act_first)

    return arrange


def test_an_order_whose_data_set_is_deleted_meanwhile_is_refused_in_plain_words(user, after_the_checks):
    dataset = dataset_upload(owner=user, file=io.BytesIO(b"a,b\n1,2\n"), filename="plants.csv")

    def purge():
        dataset_trash(user=user, dataset=dataset)
        dataset_purge(user=user, dataset=dataset)

    after_the_checks(purge)
    with pytest.raises(InvalidSpec) as refused:
        submission.training_submit(user=user, model_type="noop", data_path=dataset.public_id)
    assert dataset.public_id in refused.value.errors["data_path"][0]
    assert not Job.objects.exists() and not Run.objects.exists()


def test_a_prediction_whose_model_is_deleted_meanwhile_is_refused_in_plain_words(user, make_model, after_the_checks):
    model = make_model()
    after_the_checks(model.delete)
    with pytest.raises(NotFound):
        submission.inference_submit(user=user, model_id=model.public_id, input_data="1,2")
    assert not Job.objects.exists()
