"""The form of a training for every kind of model: its fields, where it goes, its commands, orders that come back."""

import json
import re
import shlex
from html import unescape
from typing import Any

import pytest
from django.test import Client

from jobs.hyperparameter_fields import field_of
from jobs.models import Job
from jobs.services.submission import available_model_types, training_submit
from tests.pages_server.test_forms import errors_at, sent, values_of
from tests.pages_server.things import Things, worker
from tracking.models import User
from tracking.services.projects import project_create
from trainers import registry

PATH = "/ui/jobs/new/"


def opened(client: Client, **query: Any) -> str:
    answer = client.get(PATH, query)
    assert answer.status_code == 200
    return answer.content.decode()


def submitted(client: Client, values: dict[str, Any]) -> Job:
    answer = client.post(PATH, values)
    assert answer.status_code == 302, errors_at(answer.content.decode())
    return Job.objects.latest("created_at")


def field_names(page: str) -> set[str]:
    return set(re.findall(r'name="hp-(\w+)"', page))


def select_of(page: str, name: str) -> dict[str, str]:
    """{value: words} of a select's options."""
    (options,) = re.findall(rf'<select name="{name}".*?>(.*?)</select>', page, flags=re.DOTALL)
    return {
        value: unescape(words) for value, words in re.findall(r'<option value="([^"]*)"[^>]*>(.*?)</option>', options)
    }


# --- Every model type -------------------------------------------------------------------------------------------------


def test_every_model_type_shows_all_of_its_config_and_untouched_is_all_defaults(
    signed_in: Client, things: Things
) -> None:
    data_path = things.dataset().public_id
    for model_type in available_model_types():
        page = opened(signed_in, model_type=model_type, dataset=data_path)
        assert field_names(page) == set(registry.get(model_type).config.model_fields), model_type
        job = submitted(signed_in, values_of(page))
        assert (job.model_type, job.hyperparameters) == (model_type, {}), model_type


def test_model_types_stand_by_what_they_learn_from(signed_in: Client) -> None:
    page = opened(signed_in)
    groups = {
        label: re.findall(r'value="(\w+)"', options)
        for label, options in re.findall(r'<optgroup label="([^"]+)">(.*?)</optgroup>', page, flags=re.DOTALL)
    }
    assert set(groups["Tables"]) == {"random_forest", "svm", "logistic_regression"}
    assert {"resnet", "vgg", "alexnet"} <= set(groups["Images"])
    assert {"gpt", "transformer"} <= set(groups["Text"])
    assert groups["Any other"] == ["other"]


def test_the_many_fields_are_folded_and_units_stand_at_the_labels(signed_in: Client) -> None:
    page = opened(signed_in, model_type="resnet")
    shown, folded = page.split("Advanced hyperparameters")
    assert 'name="hp-epochs"' in shown and 'name="hp-optimizer"' in folded
    assert re.search(r'Image size\s*<span class="unit">pixels</span>', page)
    assert re.search(r'for="id_hp-epochs">Epochs</label>', page), "no unit that repeats the title"


@pytest.mark.parametrize(
    ("model_type", "typed", "given"),
    [
        (
            "resnet",
            {"depth": "18", "augment": "none", "flip": "false"},
            {"depth": 18, "augment": "none", "flip": False},
        ),
        ("resnet", {"image_size": "28", "gradient_clip": "null"}, {"image_size": 28, "gradient_clip": None}),
        ("vgg", {"batch_norm": "false", "class_weight": "balanced"}, {"batch_norm": False, "class_weight": "balanced"}),
        ("gpt", {"learning_rate": "1e-4", "max_length": "64"}, {"learning_rate": 1e-4, "max_length": 64}),
        ("random_forest", {"max_features": "sqrt"}, {"max_features": "sqrt"}),
        ("random_forest", {"max_features": "0.5", "verbose": "true"}, {"max_features": 0.5, "verbose": True}),
    ],
)
def test_what_is_chosen_or_typed_becomes_what_it_says(
    signed_in: Client, things: Things, model_type: str, typed: dict[str, str], given: dict[str, Any]
) -> None:
    order = {"model_type": model_type, "data_path": things.dataset().public_id}
    job = submitted(signed_in, order | {f"hp-{name}": text for name, text in typed.items()})
    assert job.hyperparameters == given


def test_what_can_be_listed_is_chosen_from_a_list(signed_in: Client) -> None:
    page = opened(signed_in, model_type="resnet")
    assert select_of(page, "hp-depth") == {"": "Default (50)", "18": "18", "34": "34", "50": "50"}
    assert select_of(page, "hp-flip") == {"": "Default (none)", "true": "Yes", "false": "No"}
    assert select_of(page, "hp-class_weight") == {"": "Default (none)", "balanced": "balanced"}
    page = opened(signed_in, model_type="random_forest")
    words = re.search(r'<datalist id="options-max_features">(.*?)</datalist>', page, flags=re.DOTALL)
    assert words and re.findall(r'value="(\w+)"', words[1]) == ["auto", "sqrt", "log2", "null"]


def test_null_can_be_chosen_where_it_is_not_the_default() -> None:
    schema = {"anyOf": [{"enum": ["a", "b"], "type": "string"}, {"type": "null"}], "default": "a", "title": "Letter"}
    assert field_of("letter", schema).choices == [("", "Default (a)"), ("a", "a"), ("b", "b"), ("null", "None")]


def test_columns_of_the_data_are_offered_for_what_names_one(signed_in: Client, things: Things) -> None:
    page = opened(signed_in, model_type="gpt", dataset=things.dataset().public_id)
    assert list(select_of(page, "hp-text_column")) == ["", "height", "leaves", "kind"]


def test_what_two_fields_make_of_each_other_is_refused_at_the_field(signed_in: Client, things: Things) -> None:
    order = {"model_type": "gpt", "data_path": things.dataset().public_id, "hp-hidden_size": "100", "hp-num_heads": "3"}
    errors = errors_at(sent(signed_in, order))
    assert list(errors) == ["hp-num_heads"]
    assert "cannot be shared among 3 heads" in errors["hp-num_heads"]


@pytest.mark.parametrize(("model_type", "formats"), [("svm", "csv parquet jsonl json"), ("resnet", "zip csv parquet")])
def test_data_are_picked_by_what_the_model_type_learns_from(signed_in: Client, model_type: str, formats: str) -> None:
    page = signed_in.get(f"{PATH}fields/", {"model_type": model_type}).content.decode()
    assert f'data-formats="{formats}"' in page


def test_what_the_operator_has_laid_out_for_all_is_offered_as_data(
    signed_in: Client, things: Things, data_root: Any
) -> None:
    for name in ("photos", "models", ".hidden"):
        (data_root / "files" / name).mkdir(parents=True, exist_ok=True)
    (data_root / "files" / "digits.csv").write_text("a,b\n1,2\n")
    offered = re.findall(r'<option value="(/data/[^"]*)"', opened(signed_in))
    assert offered == ["/data/digits.csv", "/data/photos/"]


# --- Any other architecture -------------------------------------------------------------------------------------------


def test_another_architecture_wants_a_name(signed_in: Client, things: Things) -> None:
    order = {"model_type": "other", "architecture": " ", "data_path": things.dataset().public_id}
    assert "Name the architecture" in errors_at(sent(signed_in, order))["architecture"]


def test_an_architecture_that_there_is_not_is_refused_at_its_field_and_nothing_typed_is_lost(
    signed_in: Client, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.get

    def get(name: str) -> Any:
        if name == "rezzznet":
            raise registry.UnknownTrainer(f'There is no model type "{name}". Did you mean resnet?')
        return known(name)

    monkeypatch.setattr(registry, "get", get)
    order = {
        "model_type": "other",
        "architecture": "rezzznet",
        "data_path": things.dataset().public_id,
        "hp-more_hyperparameters": '{"num_hidden_layers": 2}',
    }
    page = sent(signed_in, order)
    assert "Did you mean resnet?" in errors_at(page)["architecture"]
    assert 'value="rezzznet"' in page and "num_hidden_layers" in page


def test_an_architecture_takes_its_own_settings_beside_those_of_its_family(signed_in: Client, things: Things) -> None:
    order = {
        "model_type": "other",
        "architecture": "distilbert",
        "data_path": things.dataset().public_id,
        "hp-epochs": "2",
        "hp-more_hyperparameters": '{"n_layers": 2, "sinusoidal_pos_embds": true}',
    }
    job = submitted(signed_in, order)
    assert (job.model_type, job.queue) == ("distilbert", "pytorch-2.1")
    assert job.hyperparameters == {"epochs": 2, "n_layers": 2, "sinusoidal_pos_embds": True}
    values = values_of(opened(signed_in, **{"from": job.pk}))
    assert (values["model_type"], values["architecture"], values["hp-epochs"]) == ("other", "distilbert", "2")
    assert "sinusoidal_pos_embds" in opened(signed_in, **{"from": job.pk})


@pytest.mark.parametrize("text", ["{", "[1]", '"a"', "5", "{" * 5000, "nothing"])
def test_more_hyperparameters_are_a_json_object(signed_in: Client, things: Things, text: str) -> None:
    order = {"model_type": "random_forest", "data_path": things.dataset().public_id, "hp-more_hyperparameters": text}
    assert "must be a JSON object" in errors_at(sent(signed_in, order))["hp-more_hyperparameters"]


def test_a_hyperparameter_that_there_is_not_is_refused_where_it_stands(signed_in: Client, things: Things) -> None:
    order = {"model_type": "svm", "data_path": things.dataset().public_id, "hp-more_hyperparameters": '{"depht": 3}'}
    assert "depht is no hyperparameter" in errors_at(sent(signed_in, order))["hp-more_hyperparameters"]


# --- Where it goes ----------------------------------------------------------------------------------------------------


def destination(client: Client, **given: str) -> str:
    page = client.get(f"{PATH}fields/", given).content.decode()
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page.split('id="destination"')[1])).split())


def test_the_queue_that_it_goes_to_is_named_with_who_serves_it(signed_in: Client, things: Things) -> None:
    assert "which no live worker serves" in destination(signed_in, model_type="resnet")
    assert "--queues pytorch-2.0" in destination(signed_in, model_type="resnet")
    assert "--queues pytorch-2.0-gpu" in destination(signed_in, model_type="resnet", requires_gpu="on")
    worker(queues=["pytorch-2.0", "sklearn"])
    things.training()
    assert "PyTorch 2.0 CPU pytorch-2.0: 1 worker, 1 idle." in destination(signed_in, model_type="resnet")
    assert "1 idle; 1 job waits before it." in destination(signed_in, model_type="svm")


def test_a_queue_that_cannot_run_the_model_type_is_refused_before_and_at_its_field(
    signed_in: Client, things: Things
) -> None:
    given = {"model_type": "svm", "framework_override": "tensorflow"}
    assert "cannot run model_type 'svm'" in destination(signed_in, **given)
    errors = errors_at(sent(signed_in, given | {"data_path": things.dataset().public_id}))
    assert "cannot run model_type 'svm'" in errors["framework_override"]


def test_project_time_limit_and_gpu_are_part_of_the_order(signed_in: Client, user: User, things: Things) -> None:
    project = project_create(owner=user, name="Plants")
    order = {
        "model_type": "resnet",
        "data_path": things.dataset().public_id,
        "project": str(project.pk),
        "timeout": "90",
        "priority": "-3",
        "requires_gpu": "on",
        "framework_override": "pytorch-2.1-gpu",
    }
    job = submitted(signed_in, order)
    assert (job.project, job.timeout_seconds, job.priority, job.requires_gpu) == (project, 90.0, -3, True)
    assert job.queue == "pytorch-2.1-gpu"


@pytest.mark.parametrize("timeout", ["soon", "-1", "nan", "inf", "1e999", "0.01"])
def test_a_time_limit_that_is_none_is_refused_at_its_field(signed_in: Client, things: Things, timeout: str) -> None:
    order = {"model_type": "svm", "data_path": things.dataset().public_id, "timeout": timeout}
    assert list(errors_at(sent(signed_in, order))) == ["timeout"]


@pytest.mark.parametrize(
    ("priority", "why"), [("1", "for operators"), ("-11", "from -10 to 10"), ("high", "whole number")]
)
def test_a_priority_that_may_not_be_given_is_refused_at_its_field(
    signed_in: Client, things: Things, priority: str, why: str
) -> None:
    order = {"model_type": "svm", "data_path": things.dataset().public_id, "priority": priority}
    errors = errors_at(sent(signed_in, order))
    assert list(errors) == ["priority"] and why in errors["priority"]


def test_anothers_project_is_not_to_be_chosen(signed_in: Client, things: Things, bobs: Things) -> None:
    project = project_create(owner=bobs.owner, name="secret")
    assert "secret" not in opened(signed_in)
    order = {"model_type": "svm", "data_path": things.dataset().public_id, "project": str(project.pk)}
    assert "Select a valid choice" in errors_at(sent(signed_in, order))["project"]


# --- The same by API --------------------------------------------------------------------------------------------------


def test_the_form_is_shown_as_the_request_that_it_makes(signed_in: Client) -> None:
    given = {
        "model_type": "resnet",
        "data_path": "/data/it's here",
        "hp-depth": "18",
        "hp-epochs": "",
        "hp-flip": "true",
        "hp-learning_rate": "not yet a number",
        "requires_gpu": "on",
        "timeout": "90",
        "csrfmiddlewaretoken": "secret",
    }
    page = signed_in.get(f"{PATH}code/", given).content.decode()
    curl = unescape(re.search(r"<code>(curl.*?)</code>", page, flags=re.DOTALL)[1])
    body = json.loads(shlex.split(curl)[-1])
    assert body == {
        "model_type": "resnet",
        "data_path": "/data/it's here",
        "hyperparameters": {"depth": 18, "flip": True, "learning_rate": "not yet a number"},
        "requires_gpu": True,
        "timeout": 90,
    }
    assert "requests.post" in page and "secret" not in page


# --- Run again with changes -------------------------------------------------------------------------------------------


def test_run_again_keeps_all_of_the_order_and_both_jobs_lead_to_each_other(
    signed_in: Client, user: User, things: Things
) -> None:
    project = project_create(owner=user, name="Plants")
    first = training_submit(
        user=user,
        model_type="resnet",
        data_path=things.dataset().public_id,
        hyperparameters={"depth": 18, "augment": "none", "gradient_clip": None, "flip": True},
        description="First",
        framework_override="pytorch-2.1",
        project_id=project.pk,
        timeout=90,
    )
    signed_in.post(f"/ui/jobs/{first.pk}/cancel/")
    page = opened(signed_in, **{"from": first.pk})
    values = values_of(page) | {"from": str(first.pk), "hp-epochs": "3"}
    second = submitted(signed_in, values)
    assert second.hyperparameters == {**first.hyperparameters, "epochs": 3}
    for name in ("model_type", "data_path", "description", "queue", "framework_override", "project", "timeout_seconds"):
        assert getattr(second, name) == getattr(first, name), name
    assert second.retry_of == first
    assert f"/ui/jobs/{first.pk}/" in signed_in.get(f"/ui/jobs/{second.pk}/").content.decode().split("Repeats")[1]
    assert f"/ui/jobs/{second.pk}/" in signed_in.get(f"/ui/jobs/{first.pk}/").content.decode().split("Repeated by")[1]


def test_a_refused_change_still_knows_what_it_changes(signed_in: Client, things: Things) -> None:
    first = things.failed()
    values = values_of(opened(signed_in, **{"from": first.pk})) | {"from": str(first.pk)}
    page = sent(signed_in, values | {"hp-n_estimators": "many"})
    assert f'<input type="hidden" name="from" value="{first.pk}">' in page
    assert submitted(signed_in, values).retry_of == first


def test_an_order_of_anothers_is_not_to_be_repeated(signed_in: Client, things: Things, bobs: Things) -> None:
    order = {"model_type": "svm", "data_path": things.dataset().public_id, "from": str(bobs.failed().pk)}
    assert signed_in.post(PATH, order).status_code == 404
