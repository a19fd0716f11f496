"""The contract's routing table, and the orders that pages show as commands."""

import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs import routing, snippets
from jobs.capabilities import servable_queues
from jobs.models import Job, TrainedModel
from jobs.routing import QUEUES, ROUTES, TRAINING_QUEUES, RoutingError, inference_queue, route

ROOT = Path(__file__).resolve().parent.parent.parent
# The document's table, line by line: model types, queue without and with a GPU.
TABLE = [
    (("bert", "transformer", "gpt"), "PyTorch 2.1 CPU", "PyTorch 2.1 GPU"),
    (("resnet", "vgg", "alexnet"), "PyTorch 2.0 CPU", "PyTorch 2.0 GPU"),
    (("inception", "mobilenet", "efficientnet"), "TensorFlow", "TensorFlow"),
    (("random_forest", "svm", "logistic_regression"), "Scikit-learn", "Scikit-learn"),
]


def test_the_page_about_the_contract_shows_the_table_that_is_routed_by():
    lines = []
    for row in (*routing.TABLE, routing.DEFAULT_ROUTE):
        names = ", ".join(f"`{name}`" for name in row.model_types) or "all others"
        lines += [f"| {names} | `false` | `{row.cpu.name}` | {row.cpu.title} |"]
        lines += [f"| {names} | `true` | `{row.gpu.name}` | {row.gpu.title} |"]
    assert "\n".join(lines) in (ROOT / "docs" / "contracts" / "job-queue.md").read_text()


def test_what_makes_a_worker_for_a_queue_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for spec in QUEUES.values():
        assert (ROOT / "requirements" / f"worker-{spec.setup}.txt").is_file()
        assert spec.setup == "sklearn" or f"\n{spec.setup}: ##" in makefile  # `make run` brings that of sklearn


@pytest.mark.parametrize(("model_types", "cpu", "gpu"), TABLE)
def test_model_types_are_routed_as_the_document_says(model_types, cpu, gpu):
    for model_type in model_types:
        assert route(model_type).title == cpu
        assert route(model_type, requires_gpu=True).title == gpu
    assert set(ROUTES) == {name for names, _, _ in TABLE for name in names}


def test_a_model_type_in_no_row_goes_to_pytorch_2_1():
    assert route("mystery").name == "pytorch-2.1"
    assert route("mystery", requires_gpu=True).name == "pytorch-2.1-gpu"


def test_an_override_names_the_queue_where_its_framework_fits():
    assert route("bert", framework_override="pytorch-2.0-gpu").name == "pytorch-2.0-gpu"
    assert route("random_forest", requires_gpu=True, framework_override="sklearn").name == "sklearn"
    with pytest.raises(RoutingError, match="which is a PyTorch 2.1 CPU model; leave the override out"):
        route("bert", framework_override="sklearn")
    for unknown in ("mxnet", "sklearn-inference", "SKLEARN", "a\0"):
        with pytest.raises(RoutingError, match="is not known; known ones: pytorch-2.1, "):
            route("bert", framework_override=unknown)


def test_every_framework_has_a_queue_for_inference():
    assert {inference_queue(QUEUES[name].framework).inference for name in TRAINING_QUEUES} == {True}


CAPABILITIES = {
    "sklearn": ({"sklearn": "1.9.0"}, [], ["sklearn"], ["sklearn-inference"]),
    "torch 2.0": ({"pytorch": "2.0.1"}, [], ["pytorch-2.0"], ["pytorch-inference"]),
    "torch 2.13, no GPU": ({"pytorch": "2.13.0+cpu"}, [], ["pytorch-2.1", "pytorch-2.0"], ["pytorch-inference"]),
    "torch with a GPU": ({"pytorch": "2.13.0"}, [{"name": "H"}], [n for n in QUEUES if n.startswith("pytorch-2")],
                         ["pytorch-inference"]),
    "torch 1.13": ({"pytorch": "1.13"}, [{"name": "H"}], [], ["pytorch-inference"]),
    "a version of its own": ({"pytorch": "nightly"}, [], [], ["pytorch-inference"]),
    "keras and sklearn": ({"tensorflow": "3.1", "sklearn": "1"}, [], ["tensorflow", "sklearn"],
                          ["tensorflow-inference", "sklearn-inference"]),
    "nothing": ({}, [{"name": "H"}], [], []),
}  # fmt: skip


@pytest.mark.parametrize("machine", CAPABILITIES)
def test_a_machine_serves_the_queues_that_it_can(machine):
    frameworks, devices, training, inference = CAPABILITIES[machine]
    capabilities = {"frameworks": frameworks, "devices": devices}
    assert servable_queues(capabilities, inference=False) == training
    assert servable_queues(capabilities, inference=True) == inference


# --- Snippets ---------------------------------------------------------------------------------------------------------

ODD = 'it\'s "odd" $HOME `x` \\ 🌳\nsecond line'
TRAINING = {"model_type": "svm", "data_path": "/data/it's.csv", "hyperparameters": {"target": ODD, "probability": True}}


def run_python(code, monkeypatch):
    """(address, body, headers) of the request that the snippet makes."""
    made = []

    def post(url, *, headers, json):
        made.append((url, json, headers))
        return SimpleNamespace(json=lambda: {"job_id": "job_1"})

    monkeypatch.setitem(sys.modules, "requests", SimpleNamespace(post=post))
    monkeypatch.setenv("AUTOML_TOKEN", "secret")
    exec(compile(code, "snippet", "exec"), {})
    return made[0]


def run_curl(command):
    """(address, body) of the request that the command makes."""
    words = shlex.split(command)
    return words[words.index("POST") + 1], json.loads(words[words.index("-d") + 1])


def asked_by(job, monkeypatch):
    """What the command and the code that a page shows for this job ask for: [(address, body)], one if both agree."""
    address, body, headers = run_python(snippets.job_as_python(job, "http://here/"), monkeypatch)
    assert headers == {"Authorization": "Bearer secret"}
    requests = [run_curl(snippets.job_as_curl(job, "http://here/")), (address, body)]
    return [request for number, request in enumerate(requests) if request not in requests[:number]]


def test_a_trainings_command_is_its_order(monkeypatch):
    assert asked_by(Job(kind="training", **TRAINING), monkeypatch) == [("http://here/jobs/training", TRAINING)]


def test_a_trainings_command_has_what_it_was_routed_by(monkeypatch):
    routed = {**TRAINING, "description": ODD, "requires_gpu": True, "framework_override": "sklearn"}
    assert asked_by(Job(kind="training", **routed), monkeypatch) == [("http://here/jobs/training", routed)]


@pytest.mark.parametrize("input_data", ["1,2\n3,4", [{"a": None, "b": ODD}], {"a": 1.5}])
def test_an_inferences_command_is_its_order(input_data, monkeypatch):
    model = TrainedModel(public_id="model_000000000000")
    job = Job(kind="inference", model=model, input_data=input_data, parameters={"top_k": 3})
    body = {"model_id": model.public_id, "input_data": input_data, "parameters": {"top_k": 3}}
    assert asked_by(job, monkeypatch) == [("http://here/jobs/inference", body)]


def test_an_image_is_shortened_in_a_command(monkeypatch):
    model = TrainedModel(public_id="model_000000000000")
    image = f"data:image/png;base64,{'A' * 1_000_000}"
    for given, shown in ((image, f"{image[:60]}…"), ([image, "short"], [f"{image[:60]}…", "short"])):
        job = Job(kind="inference", model=model, input_data=given, parameters={})
        ((_, body),) = asked_by(job, monkeypatch)
        assert body["input_data"] == shown


def test_a_models_command_asks_for_one_row(monkeypatch):
    model, row = TrainedModel(public_id="model_000000000000"), {"a": None, "b": ODD}
    body, order = {"model_id": model.public_id, "input_data": [row]}, ([row], {})
    assert run_curl(snippets.prediction_as_curl(model, order, "http://here/")) == ("http://here/jobs/inference", body)
    assert run_python(snippets.prediction_as_python(model, order, "http://here/"), monkeypatch)[:2] == (
        "http://here/jobs/inference",
        body,
    )
