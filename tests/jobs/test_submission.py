"""Orders: what is taken is written and woken for; what is wrong is told by field, before anything is queued."""

import json
import math

import pytest
import redis
from django.db import connection

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from jobs import queue
from jobs.models import Job
from jobs.routing import ROUTES
from jobs.services.control import model_trash
from jobs.services.inference_inputs import inference_input
from jobs.services.submission import available_model_types, inference_submit, training_submit
from tests.jobs.conftest import TABLE
from tracking.models import Project, ProjectMember, Run
from tracking.services.projects import jobs_project, project_create

pytestmark = pytest.mark.django_db


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def refused(function, **order):
    """The errors by field of an order that is refused, of which nothing was kept."""
    jobs, runs = Job.objects.count(), Run.objects.count()
    with pytest.raises(InvalidSpec) as caught:
        function(**order)
    assert (Job.objects.count(), Run.objects.count()) == (jobs, runs)
    assert connection.is_usable()
    return caught.value.errors


# --- Trainings --------------------------------------------------------------------------------------------------------


def test_a_training_is_written_with_its_run_in_the_users_own_project(user, table):
    job = training_submit(
        user=user,
        model_type="random_forest",
        data_path=f"/data/{TABLE}",
        hyperparameters={"n_estimators": 5},
        description="A first try\nwith more words",
        framework_override="sklearn",
    )
    job.refresh_from_db()
    assert (job.status, job.queue, job.kind, job.attempt) == ("pending", "sklearn", "training", 0)
    assert (job.hyperparameters, job.data_path) == ({"n_estimators": 5}, f"/data/{TABLE}")
    assert job.model_public_id.startswith("model_")
    assert job.project == jobs_project(user)
    run = job.run
    assert (run.name, run.status, run.tags) == ("A first try", "pending", ["job", "random_forest"])
    assert run.config["hyperparameters"] == {"n_estimators": 5}


def test_what_has_no_description_is_named_by_its_order(submit):
    assert submit(description="  \n ").run.name == f"noop on {TABLE}"


def test_submitting_wakes_a_worker_once_the_row_is_there(submit, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        submit()
        assert queue.wake_ups("sklearn") == 0
    assert queue.wake_ups("sklearn") == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_refused_wakes_nobody(submit):
    with pytest.raises(InvalidSpec):
        submit(data_path="nowhere.csv")
    assert queue.wake_ups("sklearn") == 0


@pytest.mark.django_db(transaction=True)
def test_without_redis_an_order_is_taken_all_the_same(submit, settings, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queue.close_connections()
    job = submit()
    assert Job.objects.get(pk=job.pk).status == "pending"
    assert "Redis is away" in caplog.text


def test_a_data_sets_id_is_a_data_path(user):
    from io import BytesIO

    from datasets_app.services import dataset_upload

    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    job = training_submit(user=user, model_type="noop", data_path=dataset.public_id)
    assert job.dataset == dataset


@pytest.mark.parametrize(
    ("order", "field", "words"),
    [
        ({"model_type": "random_forst"}, "model_type", "Did you mean random_forest?"),
        ({"model_type": "x" * 10_000}, "model_type", "Available:"),
        ({"model_type": "a\0b"}, "model_type", "There is no model type"),
        ({"model_type": 5}, "model_type", 'There is no model type "5"'),
        ({"framework_override": "mxnet"}, "framework_override", "known ones: pytorch-2.1"),
        ({"framework_override": "tensorflow"}, "framework_override", "use 'sklearn'"),
        ({"framework_override": "sklearn-inference"}, "framework_override", "is not known"),
        ({"data_path": "nowhere.csv"}, "data_path", "does not exist in the data root"),
        ({"data_path": ""}, "data_path", "Name a data set"),
        ({"data_path": None}, "data_path", "Name a data set"),
        ({"data_path": "../../etc/passwd"}, "data_path", "leads upwards"),
        ({"data_path": "/etc/passwd"}, "data_path", "lies outside the data root"),
        ({"data_path": "http://example.com/a.csv"}, "data_path", "an address that is not opened"),
        ({"data_path": "s3://elsewhere/a.csv"}, "data_path", "a bucket that is not allowed"),
        ({"data_path": "a\0.csv"}, "data_path", "a control character"),
        ({"data_path": "a\ud83d.csv"}, "data_path", "not valid Unicode"),
        ({"data_path": "x" * 5000}, "data_path", "1000 are allowed"),
        ({"data_path": "ds_000000000000"}, "data_path", "does not exist, or is not yours"),
        ({"description": "a\0b"}, "description", "NUL"),
        ({"description": "fine\nbut \ud83d"}, "description", "surrogate"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_field(user, table, order, field, words):
    whole = {"user": user, "model_type": "random_forest", "data_path": TABLE, **order}
    errors = refused(training_submit, **whole)
    assert list(errors) == [field]
    assert words in errors[field][0]
    assert len(errors[field][0]) < 1000


@pytest.mark.parametrize(
    ("hyperparameters", "field"),
    [
        ({"n_estimators": "many"}, "n_estimators"),
        ({"n_estimators": True}, "n_estimators"),
        ({"n_estimators": -1}, "n_estimators"),
        ({"n_estimators": 10**400}, "n_estimators"),
        ({"n_estimators": math.nan}, "n_estimators"),
        ({"min_impurity_decrease": math.inf}, "min_impurity_decrease"),
        ({"max_features": nested(5000)}, "max_features"),
        ({"n_trees": 5}, "n_trees"),
        ({"target": ""}, "target"),
        ({"target": "a\0b"}, "target"),
        ({"target": "half \ud83d"}, "target"),
        ({"class_weight": {"a\0": 1.0}}, "class_weight"),
        ({"class_weight": {"a": math.nan}}, "class_weight"),
        ({"oob_score": True, "bootstrap": False}, "oob_score"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused_by_name(user, table, hyperparameters, field):
    errors = refused(
        training_submit, user=user, model_type="random_forest", data_path=TABLE, hyperparameters=hyperparameters
    )
    assert list(errors) == [f"hyperparameters.{field}"]
    assert errors[f"hyperparameters.{field}"][0]


def test_every_wrong_hyperparameter_is_told_at_once(user, table):
    wrong = {"n_estimators": 0, "max_depth": "deep", "colour": "red"}
    errors = refused(training_submit, user=user, model_type="svm", data_path=TABLE, hyperparameters=wrong)
    assert set(errors) == {f"hyperparameters.{name}" for name in wrong}


@pytest.mark.parametrize("text", ["🌳 größer", "a,b;'\"--", "x" * 1000])
def test_odd_names_are_names(submit, text):
    job = submit(model_type="random_forest", hyperparameters={"target": text}, description=text)
    job.refresh_from_db()
    assert (job.hyperparameters["target"], job.description) == (text, text)


def test_anothers_data_set_is_not_there(user, make_user):
    from io import BytesIO

    from datasets_app.services import dataset_upload

    theirs = dataset_upload(owner=make_user("bob"), file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    errors = refused(training_submit, user=user, model_type="noop", data_path=theirs.public_id)
    assert "does not exist, or is not yours" in errors["data_path"][0]


def test_a_job_goes_where_its_user_may_write(submit, user, make_user):
    bob = make_user("bob")
    theirs = project_create(owner=bob, name="theirs")
    with pytest.raises(NotFound):
        submit(project_id=theirs.pk)
    Project.objects.filter(pk=theirs.pk).update(is_public=True)
    with pytest.raises(Forbidden):
        submit(project_id=theirs.pk)
    ProjectMember.objects.create(project=theirs, user=user, role="editor")
    job = submit(project_id=theirs.pk)
    assert (job.project, job.run.project, job.owner) == (theirs, theirs, user)
    assert not Job.objects.filter(project=jobs_project(user)).exists()


def test_what_can_be_trained_is_named_in_the_order_of_the_table():
    names = available_model_types()
    assert names == sorted(names, key=list(ROUTES).index)
    assert names[-3:] == ["random_forest", "svm", "logistic_regression"]


@pytest.mark.parametrize("timeout", [0, 0.5, -1, math.nan, math.inf, 10**9])
def test_a_timeout_that_makes_no_sense_is_refused(submit, timeout):
    errors = refused(submit, timeout=timeout)
    assert "timeout must be from 1 to 3.1536e+07 seconds" in errors["timeout"][0]


def test_the_operators_timeout_is_the_default_and_the_most(submit, make_model, user, settings):
    assert submit().timeout_seconds is None
    settings.JOBS = {**settings.JOBS, "training_timeout": 100.0, "inference_timeout": 50.0}
    assert (submit().timeout_seconds, submit(timeout=7).timeout_seconds) == (100.0, 7.0)
    assert "from 1 to 100 seconds; it is 101" in refused(submit, timeout=101)["timeout"][0]
    order = {"user": user, "model_id": make_model().public_id, "input_data": "1"}
    assert inference_submit(**order, timeout=5).timeout_seconds == 5.0
    assert "from 1 to 50 seconds" in refused(inference_submit, **order, timeout=51)["timeout"][0]


# --- Inferences -------------------------------------------------------------------------------------------------------


def test_an_inference_goes_to_the_warm_workers_of_its_models_framework(make_model, user):
    model = make_model()
    job = inference_submit(user=user, model_id=model.public_id, input_data="1,2", parameters={"top_k": 3})
    job.refresh_from_db()
    assert (job.status, job.queue, job.kind, job.model) == ("pending", "sklearn-inference", "inference", model)
    assert (job.input_data, job.parameters, job.run, job.timeout_seconds) == ("1,2", {"top_k": 3}, None, 300.0)


def test_a_models_path_is_as_good_as_its_id(make_model, user):
    model = make_model()
    assert inference_submit(user=user, model_id=model.path, input_data="1,2").model == model


def test_a_model_that_one_may_not_see_is_not_there(make_model, make_user, user):
    bob = make_user("bob")
    theirs, trashed = make_model(owner=bob), make_model()
    model_trash(user=user, model=trashed)
    unknown = (theirs.public_id, trashed.public_id, "model_000000000000", "", "a\0b", "\ud83d", 5, None, "x" * 10_000)
    for model_id in unknown:
        with pytest.raises(NotFound) as caught:
            inference_submit(user=user, model_id=model_id, input_data="1,2")
        assert len(caught.value.message) < 200
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("input_data", "words"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ([], "is empty"),
        ({}, "is empty"),
        (None, "must be a string, an object or a list"),
        (5, "must be a string, an object or a list"),
        (True, "must be a string, an object or a list"),
        ("nowhere.csv", "does not exist"),
        ("/etc/passwd", "lies outside the data root"),
        ("s3://elsewhere/a.csv", "not allowed"),
        ("ds_000000000000", "does not exist, or is not yours"),
        ("1,a\0b", "NUL"),
        ("1,\ud83d", "surrogate"),
        ([{"a": "x\0"}], "NUL"),
        ([{"a\0": 1}], "NUL"),
        ([math.nan], "NaN"),
        ({"a": math.inf}, "NaN or Infinity"),
        (nested(100), "nested deeper than 64 levels"),
        ([10**5000], "larger than 64 bits"),
        ([{1, 2}], "JSON lacks"),
    ],
)
def test_input_that_cannot_be_used_is_refused(make_model, user, input_data, words):
    errors = refused(inference_submit, user=user, model_id=make_model().public_id, input_data=input_data)
    assert list(errors) == ["input_data"]
    assert words in errors["input_data"][0]


@pytest.mark.parametrize(
    "input_data", ["5.1,🌳", {"a": None}, [[1, 2.5, "x"]], [2**63], "see /data for more", "a.csv,2"]
)
def test_input_that_is_data_is_kept_as_it_is(make_model, user, input_data):
    job = inference_submit(user=user, model_id=make_model().public_id, input_data=input_data)
    job.refresh_from_db()
    assert job.input_data == json.loads(json.dumps(input_data))


def test_a_file_is_found_when_the_order_is_given(make_model, user, table):
    job = inference_submit(user=user, model_id=make_model().public_id, input_data=f"/data/{TABLE}")
    assert (job.input_data, job.dataset) == (f"/data/{TABLE}", None)


IMAGE, TEXT = "image_classification", "text_classification"
DATA_URI = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    ("task", "given", "named"),
    [
        (IMAGE, "/data/plants.csv", {"/data/plants.csv"}),
        (IMAGE, ["plants.csv", {"image": "/data/plants.csv"}], {"plants.csv", "/data/plants.csv"}),
        (IMAGE, [DATA_URI, "/9j/4AAQSkZJRg==", {"image": "iVBORw0KGgo="}], set()),
        (TEXT, "/data/plants.csv", {"/data/plants.csv"}),
        (TEXT, "/shrug is what I say to plants.csv", set()),
        (TEXT, "plants.csv", set()),
        (TEXT, ["/data/plants.csv"], set()),
        ("language_modelling", "/imagine a plant", set()),
        ("classification", ["plants.csv"], set()),
        ("classification", {"image": "/data/plants.csv"}, set()),
    ],
)
def test_what_names_a_file_depends_on_what_the_model_reads(user, table, task, given, named):
    found = inference_input(user=user, input_data=given, task=task)
    assert set(found.files) == named
    read = found.local()
    assert read == given if not named else str(table.resolve()) in str(read) and "/data/plants" not in str(read)


def test_each_image_of_a_list_is_looked_for(user, make_model):
    model = make_model(task=IMAGE)
    for given, words in (
        (["/data/nowhere.png"], "/data/nowhere.png does not exist"),
        ([{"image": "/etc/passwd"}], "lies outside the data root"),
        ("cat.jpeg", "cat.jpeg does not exist"),
        ([f"/data/{number}.png" for number in range(300)], "names 300 files; at most 256 may be listed"),
        (" ", "give an image as a file, a data set's id or a data URI"),
    ):
        errors = refused(inference_submit, user=user, model_id=model.public_id, input_data=given)
        assert words in errors["input_data"][0]


@pytest.mark.parametrize(
    ("parameters", "field", "words"),
    [
        ({"probability": "yes"}, "probability", "true or false"),
        ({"top_k": 0}, "top_k", "of at least 1"),
        ({"top_k": True}, "top_k", "got true"),
        ({"temperature": "0.7"}, "temperature", "must be a number"),
        ({"temperature": True}, "temperature", "must be a number"),
        ({"temperature": -0.0001}, "temperature", "of at least 0 "),
        ({"temperature": math.nan}, "temperature", "got NaN"),
        ({"confidence_threshold": "0.5"}, "confidence_threshold", "must be a number"),
        ({"confidence_threshold": 1.5}, "confidence_threshold", "at most 1"),
        ({"max_length": 0}, "max_length", "of at least 1"),
        ({"temprature": 1}, "temprature", 'is no inference parameter. Did you mean "temperature"?'),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make_model, user, parameters, field, words):
    errors = refused(
        inference_submit, user=user, model_id=make_model().public_id, input_data="1", parameters=parameters
    )
    assert list(errors) == [f"parameters.{field}"]
    assert words in errors[f"parameters.{field}"][0]


def test_every_documented_parameter_is_taken_for_every_model(make_model, user):
    documented = {"temperature": 0.7, "max_length": 100, "top_k": 5, "confidence_threshold": 0.8, "probability": True}
    job = inference_submit(user=user, model_id=make_model().public_id, input_data="1", parameters=documented)
    assert job.parameters == documented


@pytest.mark.django_db(transaction=True)
def test_an_inference_is_woken_for_and_taken_without_redis(make_model, user, settings):
    model = make_model()
    inference_submit(user=user, model_id=model.public_id, input_data="1")
    assert queue.wake_ups("sklearn-inference") == 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queue.close_connections()
    assert inference_submit(user=user, model_id=model.public_id, input_data="1").status == "pending"
    with pytest.raises(redis.RedisError):
        queue.wake_ups("sklearn-inference")
