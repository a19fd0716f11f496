"""What the platform writes is read here, and changed by the services only: an operator's actions call them."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client

from datasets_app.models import Dataset
from datasets_app.storage import get_storage
from jobs.models import Attempt, Job, TrainedModel
from jobs.services.artifacts import artifact_put
from tests.admin.conftest import fill
from tests.admin.test_walk import MODELS, address, name_of
from tests.pages_server.things import Things
from tracking.models import (
    ApiKey,
    Artifact,
    ArtifactUpload,
    IdempotencyKey,
    MetricSeries,
    Project,
    Run,
    RunEnvironment,
    RunEvent,
    SavedView,
    User,
)
from tracking.services.accounts import api_key_create
from tracking.tokens import authenticate_token


def act(client: Client, model: type[Model], action: str, *rows: Model) -> str:
    """Choose `action` for these rows in the model's list; the page with what came of it."""
    form = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    answer = client.post(address(model, "changelist"), form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_secret_is_not_shown(admin_client: Client, user: User) -> None:
    key, secret = api_key_create(owner=user)
    for path in (address(ApiKey, "changelist"), address(ApiKey, "change", key.pk)):
        page = admin_client.get(path).content.decode()
        assert key.prefix in page
        assert key.digest not in page and secret not in page
    assert user.password not in admin_client.get(address(User, "change", user.pk)).content.decode()


# --- Actions ----------------------------------------------------------------------------------------------------------


def test_jobs_are_cancelled_and_the_others_told_why_not(admin_client: Client, things: Things) -> None:
    running, pending, failed = things.running(), things.training(), things.failed()
    page = act(admin_client, Job, "cancel", running, pending, failed)
    assert "2 cancelled." in page
    assert "it is already failed" in page
    assert dict(Job.objects.values_list("pk", "status")) == {
        running.pk: "cancelled",
        pending.pk: "cancelled",
        failed.pk: "failed",
    }
    assert Run.objects.get(pk=running.run_id).status == "cancelled"
    assert not Attempt.objects.filter(job=running, status="running").filter(job__status="running").exists()


def test_jobs_are_run_again_as_their_owners(admin_client: Client, things: Things, user: User) -> None:
    failed = things.failed(hyperparameters={"n_estimators": 7})
    assert "1 submitted again." in act(admin_client, Job, "run_again", failed)
    again = Job.objects.get(status="pending")
    assert (again.owner, again.retry_of, again.hyperparameters) == (user, failed, {"n_estimators": 7})


def test_what_cannot_be_run_again_is_told_why(admin_client: Client, things: Things) -> None:
    job = things.prediction()
    TrainedModel.objects.update(deleted_at=job.created_at)
    before = Job.objects.count()
    assert "The model of this job is gone" in act(admin_client, Job, "run_again", job)
    failed = things.failed()
    Dataset.objects.update(deleted_at=job.created_at)
    assert failed.data_path in act(admin_client, Job, "run_again", failed).partition('class="messagelist"')[2]
    assert Job.objects.count() == before + 1


def test_keys_are_revoked(admin_client: Client, user: User) -> None:
    key, secret = api_key_create(owner=user)
    _, other = api_key_create(owner=user)
    assert "1 revoked." in act(admin_client, ApiKey, "revoke", key)
    assert authenticate_token(secret) is None
    assert authenticate_token(other) == user


def test_users_are_deactivated_and_activated(admin_client: Client, user: User) -> None:
    _, secret = api_key_create(owner=user)
    assert "1 deactivated." in act(admin_client, User, "deactivate", user)
    assert authenticate_token(secret) is None
    assert "1 activated." in act(admin_client, User, "activate", user)
    assert authenticate_token(secret) == user


def test_an_operator_does_not_shut_itself_out(admin_client: Client, operator: User, user: User) -> None:
    page = act(admin_client, User, "deactivate", operator, user)
    assert "yourself" in page and "1 deactivated." in page
    operator.refresh_from_db()
    assert operator.is_active


@pytest.mark.parametrize("model", [TrainedModel, Dataset], ids=name_of)
def test_models_and_data_sets_go_to_the_trash_and_back(
    admin_client: Client, things: Things, model: type[Model]
) -> None:
    row = things.model() if model is TrainedModel else things.dataset()
    assert "1 trashed." in act(admin_client, model, "trash", row)
    assert not model.objects.live().filter(pk=row.pk).exists()
    assert "1 restored." in act(admin_client, model, "restore", row)
    assert model.objects.live().filter(pk=row.pk).exists()


def test_runs_and_projects_go_to_the_trash_and_back(admin_client: Client, everything: Things) -> None:
    run = Run.objects.get(name="run 0")
    for row in (run, run.project):
        model = type(row)
        assert "1 trashed." in act(admin_client, model, "trash", row)
        assert not model.objects.live().filter(pk=row.pk).exists()
        assert "1 restored." in act(admin_client, model, "restore", row)
        assert model.objects.live().filter(pk=row.pk).exists()


def test_a_file_goes_to_the_trash_and_back_with_all_its_versions(admin_client: Client, everything: Things) -> None:
    run = Run.objects.get(name="run 0")
    put = {"user": everything.owner, "run_id": run.pk, "path": "notes.txt"}
    artifact_put(**put, file=io.BytesIO(b"more"))
    versions = list(Artifact.objects.filter(run=run, path="notes.txt"))
    assert len(versions) == 2
    assert "It is not in the trash." in act(admin_client, Artifact, "restore", *versions)
    assert "1 trashed." in act(admin_client, Artifact, "trash", *versions)
    assert not Artifact.objects.live().filter(run=run).exists()
    assert "It is in the trash already." in act(admin_client, Artifact, "trash", versions[0])
    assert "1 restored." in act(admin_client, Artifact, "restore", *versions)
    assert list(Artifact.objects.live().filter(run=run, is_latest=True)) == [versions[0]]


def test_uploads_are_dropped_with_their_pieces_also_those_of_no_run(
    admin_client: Client, everything: Things, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    fill(everything, 1, first=1)
    kept, gone = ArtifactUpload.objects.order_by("-pk")
    ArtifactUpload.objects.filter(pk=gone.pk).update(run=None)
    key = gone.pieces.get().key
    page = admin_client.get(address(ArtifactUpload, "changelist") + "?q=leaves.bin").content.decode()
    assert page.count('class="field-path"') == 2
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 dropped." in act(admin_client, ArtifactUpload, "drop", gone)
    assert list(ArtifactUpload.objects.all()) == [kept]
    with pytest.raises(FileNotFoundError):
        get_storage().open(key)
    get_storage().open(kept.pieces.get().key).close()


def test_staff_that_may_not_change_a_run_drops_no_upload_of_it(
    client: Client, everything: Things, make_user: Callable[..., User]
) -> None:
    helper = make_user("helper", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_artifactupload"))
    client.force_login(helper)
    assert "dropped." not in act(client, ArtifactUpload, "drop", ArtifactUpload.objects.get())
    assert ArtifactUpload.objects.exists()


def test_a_run_and_a_project_with_a_live_job_are_not_trashed(admin_client: Client, things: Things) -> None:
    job = things.running()
    for row in (job.run, job.project):
        assert "cancel it first" in act(admin_client, type(row), "trash", row)
    assert Run.objects.live().filter(pk=job.run_id).exists()


def test_saved_views_are_deleted(admin_client: Client, everything: Things) -> None:
    fill(everything, 1, first=1)
    (gone, kept) = SavedView.objects.order_by("pk")
    assert "1 deleted." in act(admin_client, SavedView, "remove", gone)
    assert list(SavedView.objects.all()) == [kept]


def test_a_model_in_use_is_not_trashed(admin_client: Client, things: Things) -> None:
    job = things.inference()
    assert "cancel it first" in act(admin_client, TrainedModel, "trash", job.model)
    assert TrainedModel.objects.live().exists()


# --- What is edited by hand -------------------------------------------------------------------------------------------


def test_a_user_is_added_once_whatever_the_case(admin_client: Client, user: User) -> None:
    form = {"username": "bob", "email": "bob@example.com", "password1": "long-enough-7", "password2": "long-enough-7"}
    form |= {"usable_password": "true"}
    for change in ({"username": "ANN"}, {"email": "ANN@example.com"}, {"username": "a\0b"}, {"email": "nothing"}):
        answer = admin_client.post(address(User, "add"), form | change)
        assert (change, answer.status_code) == (change, 200)
        assert "errorlist" in answer.content.decode()
    assert admin_client.post(address(User, "add"), form).status_code == 302
    assert User.objects.get(username="bob").check_password("long-enough-7")


def test_a_projects_kind_and_its_times_are_not_edited(admin_client: Client, everything: Things) -> None:
    project = Project.objects.get(kind="jobs")
    form = {
        "name": "other",
        "description": "",
        "owner": project.owner_id,
        "kind": "normal",
        "deleted_at_0": "2020-01-01",
    }
    form |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
    assert admin_client.post(address(Project, "change", project.pk), form).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.kind, project.deleted_at) == ("other", "jobs", None)


def test_a_member_is_added_where_the_project_stands(admin_client: Client, everything: Things, operator: User) -> None:
    project = Project.objects.get(name="garden 0")
    found = admin_client.get(
        "/admin/autocomplete/",
        {"app_label": "tracking", "model_name": "projectmember", "field_name": "user", "term": "opera"},
    ).json()
    assert [row["id"] for row in found["results"]] == [str(operator.pk)]
    form = {"project": project.pk, "user": operator.pk, "role": "editor"}
    assert admin_client.post("/admin/tracking/projectmember/add/", form).status_code == 302
    assert "already exists" in admin_client.post("/admin/tracking/projectmember/add/", form).content.decode()
    assert project.members.get(user=operator).role == "editor"


# --- What a row shows -------------------------------------------------------------------------------------------------


def test_a_pending_job_says_why_it_waits(admin_client: Client, things: Things) -> None:
    page = admin_client.get(address(Job, "change", things.training().pk)).content.decode()
    assert "no live worker serves the Scikit-learn queue" in page


def test_what_can_be_megabytes_is_shown_by_its_beginning_and_its_size(admin_client: Client, things: Things) -> None:
    prediction = things.prediction()
    rows = [{"height": number, "leaves": "🌿"} for number in range(5_000)]
    Job.objects.filter(pk=prediction.pk).update(
        input_data=rows, result={"predictions": rows}, error_details={"r": rows}
    )
    TrainedModel.objects.update(report={"residuals": rows}, schema={"columns": rows})
    Dataset.objects.update(analysis={"rows": rows}, columns=rows, schema=rows)
    for row in (prediction, prediction.model, prediction.model.dataset):
        answer = admin_client.get(address(type(row), "change", row.pk))
        assert len(answer.content) < 100_000
        page = answer.content.decode()
        assert page.count("(the first 2,000 of ") == (2 if row == prediction.model else 3)
    page = admin_client.get(address(Job, "change", prediction.pk)).content.decode()
    assert f"of {len(json.dumps(rows, ensure_ascii=False)):,} characters)" in page


def test_what_a_run_was_made_with_is_shown_by_its_beginning_and_its_size(
    admin_client: Client, everything: Things
) -> None:
    long = {"leaves": ["🌿" * 100] * 1000}
    Run.objects.update(config=long)
    RunEvent.objects.update(payload=long)
    RunEnvironment.objects.update(environment=long, git=long)
    IdempotencyKey.objects.update(answer=long)
    for model, times in ((Run, 1), (RunEvent, 1), (RunEnvironment, 2), (IdempotencyKey, 1)):
        page = admin_client.get(address(model, "change", model.objects.first().pk)).content.decode()
        assert len(page) < 50_000
        assert page.count("(the first 2,000 of ") == times
    listed = admin_client.get(address(RunEvent, "changelist")).content.decode()
    assert "(the first 200 of " in listed and len(listed) < 50_000


def test_an_inference_is_named_by_its_model(admin_client: Client, things: Things) -> None:
    prediction = things.prediction()
    TrainedModel.objects.update(name="Grapes <b>" + "x" * 190)
    for path in (address(Job, "changelist"), address(Job, "change", prediction.pk)):
        page = admin_client.get(path).content.decode()
        assert "Inference with Grapes &lt;b&gt;xxx" in page and "x…" in page


def test_a_jobs_page_shows_its_attempts(admin_client: Client, things: Things) -> None:
    page = admin_client.get(address(Job, "change", things.running().pk)).content.decode()
    assert "gardener-1" in page
    assert "50%" in page


def test_a_series_is_drawn(admin_client: Client, things: Things) -> None:
    things.running()
    series = MetricSeries.objects.get(name="loss")
    page = admin_client.get(address(MetricSeries, "change", series.pk)).content.decode()
    assert "5 points from 1 to 0.2" in page
    assert "<polyline" in page


# --- Who may come in --------------------------------------------------------------------------------------------------


def test_only_operators_come_in(client: Client, make_user: Callable[..., Any], everything: Things) -> None:
    paths = ["/admin/", *(address(model, "changelist") for model in admin.site._registry)]
    assert {client.get(path)["Location"] for path in paths} == {f"/admin/login/?next={path}" for path in paths}
    client.force_login(make_user("bob"))
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")


def test_staff_without_rights_see_nothing(client: Client, make_user: Callable[..., Any], everything: Things) -> None:
    client.force_login(make_user("staff", is_staff=True))
    assert client.get("/admin/").status_code == 200
    assert {client.get(address(model, "changelist")).status_code for model in MODELS} == {403}
    job = Job.objects.filter(status="pending").first()
    form = {"action": "cancel", "_selected_action": [str(job.pk)]}
    assert client.post(address(Job, "changelist"), form).status_code == 403
    assert Job.objects.get(pk=job.pk).status == "pending"


def test_the_admin_has_one_door(client: Client, operator: User) -> None:
    answer = client.get("/admin/login/?next=/admin/jobs/job/")
    assert answer["Location"] == "/login?next=/admin/jobs/job/"
    form = {"username": "operator", "password": "password", "next": "/admin/jobs/job/"}
    assert client.post("/login", form)["Location"] == "/admin/jobs/job/"
