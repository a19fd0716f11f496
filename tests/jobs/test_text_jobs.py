"""Text through the job-queue contract: the document's own examples are trained, and answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from jobs.models import Job
from tests.conftest import in_brief
from tracking.models import User
from tracking.services.accounts import api_key_create

pytestmark = pytest.mark.django_db(transaction=True)

BERT = {  # the document's "PyTorch BERT Model (CPU)" example, word for word
    "model_type": "bert",
    "data_path": "/data/sentiment_analysis.csv",
    "hyperparameters": {"epochs": 5, "learning_rate": 0.0001, "batch_size": 16, "max_length": 512},
    "description": "Fine-tune BERT for sentiment analysis",
    "requires_gpu": False,
    "framework_override": "pytorch-2.1",
}
TRANSFORMER = {  # the document's "PyTorch Transformer (GPU)" example, word for word
    "model_type": "transformer",
    "data_path": "/data/text_generation",
    "hyperparameters": {
        "epochs": 3,
        "learning_rate": 0.0003,
        "batch_size": 8,
        "max_length": 1024,
        "num_layers": 12,
        "hidden_size": 768,
    },
    "description": "Train GPT-style transformer for text generation",
    "requires_gpu": True,
    "framework_override": "pytorch-2.1-gpu",
}


@pytest.fixture
def texts(files_root: Path) -> Path:
    """The files that the document's examples name."""
    rows = [f"what a {('poor', 'great')[i % 2]} product number {i},{('bad', 'good')[i % 2]}\n" for i in range(16)]
    (files_root / "sentiment_analysis.csv").write_text("review,sentiment\n" + "".join(rows))
    (files_root / "text_generation").mkdir(exist_ok=True)
    (files_root / "text_generation" / "a.txt").write_text("The cat sat on the mat. The dog sat on the cat. " * 40)
    return files_root


@pytest.fixture
def call(user: User) -> Callable[..., Any]:
    """call("POST", "/jobs/training", {…}) -> what is answered to it with 200."""
    _, secret = api_key_create(owner=user, name="tests")
    client = Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = client.generic(method, path, json.dumps(body).encode(), content_type="application/json")
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    return ask


@pytest.fixture
def train(call: Callable[..., Any], run: Callable[..., tuple[int, Job]], texts: Path) -> Callable[..., dict[str, Any]]:
    """train(order) -> the status of its job at its end."""

    def ordered(order: dict[str, Any]) -> dict[str, Any]:
        made = call("POST", "/jobs/training", order)
        assert made["status"] == "queued"
        run(Job.objects.latest("created_at"))
        status: dict[str, Any] = call("GET", f"/jobs/{made['job_id']}/status")
        return status

    return ordered


@pytest.fixture
def ask(call: Callable[..., Any], answer: Callable[[Job], Job]) -> Callable[..., list[dict[str, Any]]]:
    """ask(model_id, input, parameters) -> the predictions."""

    def predict(model_id: str, input_data: Any, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        order = {"model_id": model_id, "input_data": input_data, "parameters": parameters}
        made = call("POST", "/jobs/inference", order)
        answer(Job.objects.latest("created_at"))
        status = call("GET", f"/jobs/{made['job_id']}/status")
        assert status["status"] == "completed", status
        predictions: list[dict[str, Any]] = status["result"]["predictions"]
        return predictions

    return predict


TINY = {"epochs": 1, "num_layers": 1, "hidden_size": 32, "max_length": 32, "vocab_size": 300}


@pytest.mark.parametrize("fields", in_brief([TINY, BERT["hyperparameters"]], TINY))
def test_the_documents_bert_trains_and_answers(
    train: Callable[..., dict[str, Any]], ask: Callable[..., list[dict[str, Any]]], fields: dict[str, Any]
) -> None:
    status = train({**BERT, "hyperparameters": fields})
    assert status["status"] == "completed", status
    assert status["result"]["framework"] == "pytorch"
    assert {"accuracy", "training_time"} <= set(status["result"]["metrics"])
    model = status["result"]["model_id"]
    # The document's "Text Classification" example.
    (one,) = ask(model, "This is a great product!", {"temperature": 0.7, "max_length": 100})
    assert one["label"] in ("good", "bad")
    many = ask(model, ["/help me", "see report.csv", "great"], {"top_k": 2, "probability": True})
    assert [len(each["top_k"]) for each in many] == [2, 2, 2]


def test_a_language_model_goes_on_with_a_prompt(
    train: Callable[..., dict[str, Any]], ask: Callable[..., list[dict[str, Any]]]
) -> None:
    status = train({"model_type": "gpt", "data_path": "/data/text_generation", "hyperparameters": TINY})
    assert status["result"]["metrics"]["perplexity"] > 1
    drawn = {"temperature": 0.8, "top_k": 50, "top_p": 0.9, "max_length": 6, "seed": 3, "stop": ["\n\n"]}
    answers = [ask(status["result"]["model_id"], ["The cat", "A"], drawn) for _ in range(2)]
    assert answers[0] == answers[1]
    assert [each["prompt"] for each in answers[0]] == ["The cat", "A"]


def test_a_type_that_no_library_knows_fails_with_the_nearest_name(train: Callable[..., dict[str, Any]]) -> None:
    status = train({"model_type": "distillbert", "data_path": "/data/sentiment_analysis.csv"})
    assert status["status"] == "failed"
    assert "Did you mean distilbert" in status["error"]


@pytest.mark.full
def test_an_architecture_of_the_registry_trains_and_answers(
    train: Callable[..., dict[str, Any]], ask: Callable[..., list[dict[str, Any]]]
) -> None:
    own = {"dim": 32, "n_heads": 2, "n_layers": 1, "hidden_dim": 64, "epochs": 1}
    status = train({"model_type": "distilbert", "data_path": "/data/sentiment_analysis.csv", "hyperparameters": own})
    assert status["status"] == "completed", status
    assert ask(status["result"]["model_id"], "great", {})[0]["label"] in ("good", "bad")


@pytest.mark.full
def test_a_trained_model_is_a_base_model_by_its_path(train: Callable[..., dict[str, Any]]) -> None:
    path = train({**BERT, "hyperparameters": TINY})["result"]["model_path"]
    again = train({**BERT, "hyperparameters": {"epochs": 1, "base_model": path}})
    assert again["status"] == "completed", again


@pytest.mark.full
def test_the_documents_transformer_trains(
    call: Callable[..., Any], texts: Path, make_worker: Callable[..., Any], process_as_it_was: None
) -> None:
    from jobs import lifecycle, runner
    from jobs.reporter import StopFlag

    made = call("POST", "/jobs/training", TRANSFORMER)
    job = Job.objects.select_related("owner", "dataset", "run").latest("created_at")
    assert job.queue == "pytorch-2.1-gpu"
    worker = make_worker("gpu", queues=[job.queue], capabilities={"devices": [{"name": "a GPU"}]})
    attempt = lifecycle.claim_next(queue_names=[job.queue], worker=worker)
    assert attempt is not None
    runner.run_attempt(attempt, job, StopFlag())
    status = call("GET", f"/jobs/{made['job_id']}/status")
    assert status["status"] == "completed", status
    assert status["result"]["metrics"]["parameters"] > 80e6
