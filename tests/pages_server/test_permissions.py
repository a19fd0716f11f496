"""Who may open which page: another's things are not there, strangers are asked to sign in, forms carry their token."""

from urllib.parse import quote

import pytest
from django.test import Client

from datasets_app.models import Dataset
from jobs.models import Job, TrainedModel
from tests.pages_server.things import Things
from tracking.models import Project, User

LISTS = (
    "/ui/",
    "/ui/jobs/",
    "/ui/jobs/export.csv",
    "/ui/jobs/new/",
    "/ui/jobs/new/fields/",
    "/ui/jobs/new/code/",
    "/ui/models/",
    "/ui/models/?trash=1",
    "/ui/datasets/",
    "/ui/datasets/export.csv",
    "/ui/workers/",
    "/ui/search/?q=secret",
)


def pages_of(things: Things) -> list[str]:
    """A page of each kind that shows one thing."""
    model = things.model(name="secret model", order={"description": "secret order"})
    prediction = things.prediction(model)
    model_path, dataset_path = f"/ui/models/{model.public_id}/", f"/ui/datasets/{model.dataset.public_id}/"
    job = model.job
    return [
        f"/ui/jobs/{job.pk}/",
        f"/ui/jobs/{job.pk}/log.txt",
        f"/ui/jobs/{prediction.pk}/",
        f"/ui/jobs/{prediction.pk}/log.txt",
        f"/ui/jobs/new/?from={job.pk}",
        f"/ui/runs/{job.run_id}/series.json",
        model_path,
        f"{model_path}model.json",
        f"{model_path}try/{prediction.pk}/",
        dataset_path,
        f"{dataset_path}columns.json",
        f"{dataset_path}columns.csv",
        f"{dataset_path}download",
    ]


def acts_on(things: Things) -> list[str]:
    """A form's address of each kind that changes one thing."""
    model = things.model(name="secret model")
    gone = things.model(name="secret trash")
    TrainedModel.objects.filter(pk=gone.pk).update(deleted_at=gone.created_at)
    trashed = things.dataset()
    Dataset.objects.filter(pk=trashed.pk).update(deleted_at=trashed.created_at)
    job = things.training()
    return [
        f"/ui/jobs/{job.pk}/cancel/",
        f"/ui/jobs/{job.pk}/again/",
        f"/ui/jobs/{job.pk}/resume/",
        f"/ui/models/{model.public_id}/try/",
        f"/ui/models/{model.public_id}/trash/",
        f"/ui/models/{gone.public_id}/restore/",
        f"/ui/datasets/{things.dataset().public_id}/trash/",
        f"/ui/datasets/{trashed.public_id}/restore/",
        f"/ui/datasets/{trashed.public_id}/purge/",
    ]


def state() -> list[object]:
    return [
        sorted(Job.objects.values_list("pk", "status")),
        sorted(TrainedModel.objects.values_list("pk", "deleted_at"), key=str),
        sorted(Dataset.objects.values_list("pk", "deleted_at"), key=str),
    ]


def body(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return (b"".join(answer) if answer.streaming else answer.content).decode()


def test_ones_own_pages_open(signed_in: Client, things: Things) -> None:
    paths = (*pages_of(things), *LISTS)
    assert {path: signed_in.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


def test_anothers_things_are_not_there(signed_in: Client, bobs: Things) -> None:
    for path in pages_of(bobs):
        assert (path, signed_in.get(path).status_code) == (path, 404)


def test_anothers_things_are_in_no_list(signed_in: Client, bobs: Things) -> None:
    pages_of(bobs)
    bobs.running(description="secret order", message="secret step")
    TrainedModel.objects.update(model_type="secret type")
    dataset = bobs.dataset(filename="secret.csv")
    for path in LISTS:
        page = body(signed_in, path).replace("q=secret", "").replace('value="secret"', "").replace("“secret”", "")
        assert "secret" not in page, path
        assert dataset.public_id not in page, path


def test_anothers_running_job_is_on_the_workers_page_without_its_name(signed_in: Client, bobs: Things) -> None:
    job = bobs.running(description="secret order")
    page = body(signed_in, "/ui/workers/")
    assert "a job of another user" in page
    assert str(job.pk) not in page and "secret" not in page


def test_anothers_things_cannot_be_changed(signed_in: Client, bobs: Things) -> None:
    paths = acts_on(bobs)
    before = state()
    for path in paths:
        assert (path, signed_in.post(path, {"rows": "1,2"}).status_code) == (path, 404)
    assert state() == before


def test_a_public_projects_things_are_shown_and_not_offered_to_be_changed(signed_in: Client, bobs: Things) -> None:
    job, model = bobs.training(), bobs.model()
    Project.objects.filter(pk=job.project_id).update(is_public=True)
    before = state()
    assert "Cancel this job?" not in body(signed_in, f"/ui/jobs/{job.pk}/")
    assert "into the trash?" not in body(signed_in, f"/ui/models/{model.public_id}/")
    for path in (f"/ui/jobs/{job.pk}/cancel/", f"/ui/models/{model.public_id}/trash/"):
        answer = signed_in.post(path, follow=True)
        assert "Not enough permissions" in answer.content.decode(), path
    assert state() == before


def test_a_superuser_sees_everything_and_staff_alone_does_not(make_user: object, bobs: Things, client: Client) -> None:
    paths = pages_of(bobs)
    client.force_login(make_user("staff", is_staff=True))
    assert {client.get(path).status_code for path in paths} == {404}
    client.force_login(make_user("root", is_superuser=True))
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    assert "secret order" in body(client, "/ui/jobs/")


def test_strangers_are_asked_to_sign_in_and_come_back(client: Client, bobs: Things) -> None:
    for path in (*LISTS, *pages_of(bobs)):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, f"/login?next={quote(path)}"), path


def test_strangers_change_nothing(client: Client, bobs: Things) -> None:
    paths = acts_on(bobs)
    before = state()
    for path in (*paths, "/ui/jobs/new/"):
        assert client.post(path)["Location"] == f"/login?next={path}"
    assert state() == before


def test_no_form_is_taken_without_its_csrf_token(user: User, things: Things) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    paths = acts_on(things)
    before = state()
    for path in (*paths, "/ui/jobs/new/"):
        answer = client.post(path)
        assert (path, answer.status_code) == (path, 403)
        assert answer["Content-Type"].startswith("text/html")
    assert state() == before


def test_what_changes_things_is_a_post_and_what_shows_them_is_not(signed_in: Client, things: Things) -> None:
    acts = acts_on(things)
    before = state()
    for path in acts:
        assert (path, signed_in.get(path).status_code) == (path, 405)
    shown = [path for path in (*LISTS, *pages_of(things)) if not path.startswith("/ui/jobs/new/?")]
    for path in shown:
        if path != "/ui/jobs/new/":
            assert (path, signed_in.post(path).status_code) == (path, 405)
    assert signed_in.delete("/ui/jobs/new/").status_code == 405
    assert all(row in state()[0] for row in before[0])  # `pages_of` made more


@pytest.mark.parametrize("path", ["/ui/jobs/not-a-uuid/", "/ui/models/model_0/", "/ui/datasets/x/", "/ui/nothing/"])
def test_what_is_not_there_is_a_page_that_says_so(signed_in: Client, path: str) -> None:
    answer = signed_in.get(path)
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")
    assert "There is nothing here" in answer.content.decode()
