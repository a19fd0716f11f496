"""The forms of the pages, without a browser: what is wrong stands at its field, and nothing that was typed is lost."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from jobs.models import Job, TrainedModel
from tests.pages_server.things import COLUMNS, Things
from tracking.models import User

FORM = {"model_type": "random_forest", "description": "my trees"}


@pytest.fixture
def form(things: Things) -> dict[str, str]:
    return FORM | {"data_path": things.dataset().public_id}


def errors_at(page: str) -> dict[str, str]:
    """{element id of a field: the sentence at it}"""
    found = re.findall(r'<ul class="errorlist" id="id_(.+?)_error"><li>(.*?)</li>', page)
    return {field: unescape(sentence) for field, sentence in found}


def values_of(page: str) -> dict[str, str]:
    """What the form of a page would send, as a browser reads it."""
    (form,) = re.findall(r"<form[^>]*data-job-form.*?</form>", page, flags=re.DOTALL)
    values = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and 'type="text"' in tag:
            values[unescape(name[1])] = unescape(value[1]) if value else ""
    for name, options in re.findall(r'<select name="([^"]*)".*?>(.*?)</select>', form, flags=re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        values[name] = unescape(chosen[1])
    return values


def sent(client: Client, data: dict[str, Any]) -> str:
    """The page that a refused form comes back on."""
    before = Job.objects.count()
    answer = client.post("/ui/jobs/new/", data)
    assert answer.status_code == 422
    assert Job.objects.count() == before
    return answer.content.decode()


def test_a_training_is_submitted(signed_in: Client, user: User, form: dict[str, str]) -> None:
    answer = signed_in.post("/ui/jobs/new/", form | {"hp-n_estimators": "7", "hp-bootstrap": "false", "hp-target": ""})
    job = Job.objects.get()
    assert answer["Location"] == f"/ui/jobs/{job.pk}/"
    assert (job.owner, job.contract, job.status, job.description) == (user, "page", "pending", "my trees")
    assert job.hyperparameters == {"n_estimators": 7, "bootstrap": False}
    assert job.run.name == "my trees"


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"data_path": ""}, "data_path", "This field is required."),
        ({"data_path": "ds_000000000000"}, "data_path", "ds_000000000000"),
        ({"data_path": "/data/../../etc/passwd"}, "data_path", "/data/../../etc/passwd"),
        ({"data_path": "http://example.com/x.csv"}, "data_path", "http"),
        ({"data_path": "nothing.csv"}, "data_path", "nothing.csv"),
        ({"data_path": "x" * 1001}, "data_path", "at most 1000 characters"),
        ({"data_path": "a\0b"}, "data_path", "Null characters"),
        ({"model_type": "perceptron"}, "model_type", "Select a valid choice"),
        ({"model_type": ""}, "model_type", "required"),
        ({"description": "x" * 5001}, "description", "at most 5000 characters"),
        ({"hp-n_estimators": "many"}, "hp-n_estimators", "must be a whole number of at least 1 and at most 100000"),
        ({"hp-n_estimators": "0"}, "hp-n_estimators", "got 0"),
        ({"hp-n_estimators": "1e999"}, "hp-n_estimators", "must be a whole number"),
        ({"hp-n_estimators": "9" * 5000}, "hp-n_estimators", "must be a whole number"),
        ({"hp-n_estimators": "🌳"}, "hp-n_estimators", "must be a whole number"),
        ({"hp-test_size": "NaN"}, "hp-test_size", "must be a number"),
        ({"hp-criterion": "vibes"}, "hp-criterion", "Select a valid choice"),
        ({"hp-bootstrap": "perhaps"}, "hp-bootstrap", "Select a valid choice"),
        ({"hp-class_weight": "{" * 9000}, "hp-class_weight", "must be"),
        ({"hp-class_weight": "x" * 10_001}, "hp-class_weight", "at most 10000 characters"),
        ({"hp-target": "nothing"}, "hp-target", "Select a valid choice"),
    ],
)
def test_what_is_wrong_stands_at_its_field(
    signed_in: Client, form: dict[str, str], change: dict[str, str], field: str, sentence: str
) -> None:
    page = sent(signed_in, form | change)
    errors = errors_at(page)
    assert list(errors) == [field]
    assert sentence in errors[field]
    # Screen readers are told, too.
    assert re.search(rf'id="id_{field}"[^>]*aria-invalid="true"|aria-invalid="true"[^>]*id="id_{field}"', page)


def test_all_that_is_wrong_is_said_at_once(signed_in: Client, form: dict[str, str]) -> None:
    page = sent(signed_in, form | {"data_path": "", "hp-n_estimators": "many"})
    assert "data_path" in errors_at(page)
    page = sent(signed_in, form | {"hp-n_estimators": "many", "hp-max_depth": "deep"})
    assert list(errors_at(page)) == ["hp-n_estimators", "hp-max_depth"]


def test_what_was_typed_is_kept(signed_in: Client, form: dict[str, str]) -> None:
    typed = form | {"hp-n_estimators": "many", "hp-max_depth": "5", "hp-bootstrap": "false", "hp-target": "leaves"}
    page = sent(signed_in, typed)
    values = values_of(page)
    assert {name: values[name] for name in typed} == typed


def test_the_target_is_one_of_the_data_sets_own_columns(signed_in: Client, form: dict[str, str]) -> None:
    page = signed_in.get("/ui/jobs/new/", {"dataset": form["data_path"]}).content.decode()
    assert "Last column (kind)" in page
    assert values_of(page)["data_path"] == form["data_path"]
    fields = signed_in.get(
        "/ui/jobs/new/fields/", {"data_path": form["data_path"], "model_type": "svm"}
    ).content.decode()
    assert [name for name in ("height", "leaves", "kind") if f'<option value="{name}"' in fields] == [
        "height",
        "leaves",
        "kind",
    ]


@pytest.mark.parametrize("name", ["null", "true", "5", "1e3", '"quoted"', "[a]", "{}", " ", "name with spaces", "🌳"])
def test_a_column_of_any_name_can_be_the_target(
    signed_in: Client, things: Things, form: dict[str, str], name: str
) -> None:
    quoted = name.replace('"', '""')
    dataset = things.dataset(f'"{quoted}",height\na,1\nb,2\n')
    target = dataset.columns[0]
    answer = signed_in.post("/ui/jobs/new/", form | {"data_path": dataset.public_id, "hp-target": target})
    assert answer.status_code == 302
    assert Job.objects.get().hyperparameters == {"target": target}


def test_anothers_data_set_shows_no_columns(signed_in: Client, bobs: Things) -> None:
    path = bobs.dataset().public_id
    page = signed_in.get("/ui/jobs/new/fields/", {"data_path": path, "model_type": "svm"}).content.decode()
    assert "leaves" not in page
    assert "data_path" in errors_at(sent(signed_in, FORM | {"data_path": path}))


def test_another_model_type_keeps_what_was_typed_under_the_same_names(signed_in: Client) -> None:
    typed = {"model_type": "svm", "hp-test_size": "0.3", "hp-n_estimators": "7"}
    page = signed_in.get("/ui/jobs/new/fields/", typed).content.decode()
    assert re.search(r'name="hp-test_size" value="0.3"', page)
    assert 'name="hp-C"' in page and "n_estimators" not in page


# --- Run again ------------------------------------------------------------------------------------------------------


def test_run_again_with_changes_starts_from_the_same_order(signed_in: Client, things: Things) -> None:
    order = {
        "target": "kind",
        "n_estimators": 7,
        "max_depth": None,
        "max_features": "sqrt",
        "bootstrap": False,
        "class_weight": {"tall": 2.0, "short": 1.0},
        "test_size": 0.25,
    }
    job = things.failed(hyperparameters=order, description="grapes & trees")
    page = signed_in.get(f"/ui/jobs/new/?from={job.pk}").content.decode()
    answer = signed_in.post("/ui/jobs/new/", values_of(page))
    assert answer.status_code == 302
    again = Job.objects.exclude(pk=job.pk).get()
    assert again.hyperparameters == order
    assert (again.data_path, again.description) == (job.data_path, "grapes & trees")


def test_run_again_is_a_new_job_of_the_caller(signed_in: Client, user: User, things: Things) -> None:
    job = things.failed(hyperparameters={"n_estimators": 7})
    answer = signed_in.post(f"/ui/jobs/{job.pk}/again/", follow=True)
    again = Job.objects.exclude(pk=job.pk).get()
    assert answer.redirect_chain[-1][0] == f"/ui/jobs/{again.pk}/"
    assert "submitted again" in answer.content.decode()
    assert (again.retry_of, again.owner, again.hyperparameters) == (job, user, {"n_estimators": 7})


def test_run_again_without_its_data_says_what_is_missing(signed_in: Client, things: Things) -> None:
    job = things.failed()
    signed_in.post(f"/ui/datasets/{job.dataset.public_id}/trash/")
    page = unescape(signed_in.post(f"/ui/jobs/{job.pk}/again/", follow=True).content.decode())
    assert Job.objects.count() == 1
    assert job.data_path in re.search(r'class="messages.*?</ul>|role="alert".*?</div>', page, re.DOTALL)[0]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_cancelling_what_has_ended_says_why_not(signed_in: Client, things: Things, status: str) -> None:
    job = things.model().job if status == "completed" else things.failed() if status == "failed" else things.training()
    if status == "cancelled":
        signed_in.post(f"/ui/jobs/{job.pk}/cancel/")
    page = signed_in.post(f"/ui/jobs/{job.pk}/cancel/", follow=True).content.decode()
    assert f"it is already {status}" in page
    assert Job.objects.get(pk=job.pk).status == status


def test_a_live_job_is_cancelled_and_that_is_said(signed_in: Client, things: Things) -> None:
    job = things.running()
    page = signed_in.post(f"/ui/jobs/{job.pk}/cancel/", follow=True).content.decode()
    assert "The job was cancelled." in page
    assert Job.objects.get(pk=job.pk).status == "cancelled"


# --- Trying a model ---------------------------------------------------------------------------------------------------


def test_a_row_that_was_typed_is_predicted(signed_in: Client, things: Things) -> None:
    model = things.model()
    answer = signed_in.post(f"/ui/models/{model.public_id}/try/", {"in-0": "1.5", "in-1": ""})
    job = Job.objects.get(kind="inference")
    assert answer["Location"] == f"/ui/jobs/{job.pk}/"
    assert job.input_data == [{"height": "1.5", "leaves": None}]
    assert job.parameters == {"probability": True}


def test_pasted_rows_win_over_the_fields(signed_in: Client, things: Things) -> None:
    model = things.model(task="regression")
    answer = signed_in.post(
        f"/ui/models/{model.public_id}/try/", {"in-0": "9", "rows": "1,2\n3,4\n"}, headers={"HX-Request": "true"}
    )
    job = Job.objects.get(kind="inference")
    assert (job.input_data, job.parameters) == ("1,2\n3,4", {})
    assert "Predicting" in answer.content.decode()
    assert f"/ui/models/{model.public_id}/try/{job.pk}/" in answer.content.decode()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"in-0": "x" * 10_001}, "height: Ensure this value has at most 10000 characters"),
        ({"in-0": "a\0b"}, "Null characters"),
        ({"rows": "ds_000000000000"}, "ds_000000000000"),
        ({"rows": "/data/../x.csv"}, "/data/../x.csv"),
        ({"rows": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    signed_in: Client, things: Things, values: dict[str, str], sentence: str
) -> None:
    model = things.model()
    path = f"/ui/models/{model.public_id}/try/"
    in_place = signed_in.post(path, values, headers={"HX-Request": "true"})
    assert in_place.status_code == 422
    assert sentence in unescape(in_place.content.decode())
    assert sentence in unescape(signed_in.post(path, values).content.decode())
    assert not Job.objects.filter(kind="inference").exists()


def test_a_refused_row_names_the_column_and_is_not_lost(signed_in: Client, things: Things) -> None:
    model = things.model()
    answer = signed_in.post(f"/ui/models/{model.public_id}/try/", {"in-0": "x" * 10_001, "in-1": "3"})
    page = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert "at most 10000 characters" in errors_at(page)["in-0"]
    assert 'name="in-1" value="3"' in page
    page = signed_in.post(f"/ui/models/{model.public_id}/try/", {"rows": "ds_000000000000"}).content.decode()
    assert ">ds_000000000000</textarea>" in page


def test_a_wide_model_is_tried_by_pasting(signed_in: Client, things: Things) -> None:
    columns = [COLUMNS[0] | {"name": f"c{number}"} for number in range(61)]
    model = things.model(schema={"columns": columns, "target": "kind"})
    page = signed_in.get(f"/ui/models/{model.public_id}/").content.decode()
    assert 'name="in-0"' not in page
    answer = signed_in.post(f"/ui/models/{model.public_id}/try/", {"rows": " "}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "Paste at least one row." in answer.content.decode()
    assert not Job.objects.filter(kind="inference").exists()


def test_a_model_in_the_trash_is_restored_there(signed_in: Client, things: Things) -> None:
    model = things.model()
    path = f"/ui/models/{model.public_id}/"
    assert "can be restored" in signed_in.post(f"{path}trash/", follow=True).content.decode()
    assert signed_in.get(path).status_code == signed_in.post(f"{path}try/", {"rows": "1,2"}).status_code == 404
    assert model.public_id in signed_in.get("/ui/models/?trash=1").content.decode()
    assert signed_in.post(f"{path}restore/")["Location"] == path
    assert TrainedModel.objects.live().get() == model


def test_a_model_that_predicts_is_not_trashed(signed_in: Client, things: Things) -> None:
    job = things.inference()
    page = signed_in.post(f"/ui/models/{job.model.public_id}/trash/", follow=True).content.decode()
    assert "cancel it first" in page
    assert TrainedModel.objects.live().exists()


def test_a_try_of_another_model_is_not_shown_as_this_ones(signed_in: Client, things: Things) -> None:
    job, other = things.prediction(), things.model()
    assert signed_in.get(f"/ui/models/{other.public_id}/try/{job.pk}/").status_code == 404
    shown = signed_in.get(f"/ui/models/{job.model.public_id}/try/{job.pk}/").content.decode()
    assert "tall" in shown and "hx-get" not in shown
