"""Inference over HTTP with trained models: submitted, answered as a worker answers it, and read as the result."""

from pathlib import Path
from typing import Any

import pytest

from datasets_app.storage import get_storage
from jobs import lifecycle
from jobs.inference import InferenceServer
from jobs.models import TrainedModel, Worker
from tests.contracts.job_queue.test_contract import Api, api  # noqa: F401  (a fixture)
from tests.trainers.conftest import Recorder
from tracking.services.projects import jobs_project
from trainers import registry

pytestmark = pytest.mark.django_db

EVERYTHING = {"probability": True, "top_k": 2, "confidence_threshold": 0.5, "temperature": 2.0, "max_length": 100}


class NoSignals:
    requested = False


@pytest.fixture
def trained(user: Any, tmp_path: Path) -> Any:
    """trained("regression") -> a forest of that task, trained on a small table, in the storage."""

    def train(task: str) -> TrainedModel:
        last = (lambda i: i % 7 / 2) if task == "regression" else (lambda i: "high" if i % 7 > 3 else "low")
        table = tmp_path / "table.csv"
        table.write_text("a,b,y\n" + "".join(f"{i % 7}.5,{i % 5}.5,{last(i)}\n" for i in range(70)))
        config = {"n_estimators": 10, "task": task, "n_jobs": 1}
        registry.train("random_forest", config, table, tmp_path / "model", Recorder(tmp_path / "checkpoint"))
        facts = {"model_type": "random_forest", "framework": "sklearn", "task": task}
        model = TrainedModel.objects.create(owner=user, project=jobs_project(user), name="m", **facts)
        get_storage().put_folder(f"models/{model.public_id}", tmp_path / "model")
        return model

    return train


def answered(api: Api, body: dict[str, Any]) -> dict[str, Any]:  # noqa: F811
    """The status answer of an inference after a worker has had it."""
    status, submitted = api.call("POST", "/jobs/inference", body)
    assert status == 200, submitted
    now = lifecycle.database_now()
    worker = Worker.objects.create(
        name="warm", kind="inference", host="h", pid=1, queues=["sklearn-inference"], started_at=now, heartbeat_at=now
    )
    attempt = lifecycle.claim_next(queue_names=worker.queues, worker=worker)
    assert attempt is not None
    InferenceServer(worker=worker, signals=NoSignals()).execute(attempt)  # type: ignore[arg-type]
    return api.call("GET", f"/jobs/{submitted['job_id']}/status")[1]


@pytest.mark.parametrize("parameters", [{}, {"probability": True}, EVERYTHING])
def test_a_regression_answers_a_value_whatever_documented_parameters_come(
    api: Api,  # noqa: F811
    trained: Any,
    parameters: dict[str, Any],
) -> None:
    model = trained("regression")
    body = {"model_id": model.public_id, "input_data": "0.5,1.5\n6.5,1.5", "parameters": parameters}
    answer = answered(api, body)
    assert answer["status"] == "completed", answer
    assert [set(prediction) for prediction in answer["result"]["predictions"]] == [{"value"}, {"value"}]
    low, high = (prediction["value"] for prediction in answer["result"]["predictions"])
    assert low < 0.5 and high > 2.5


def test_a_classification_takes_all_documented_parameters(api: Api, trained: Any) -> None:  # noqa: F811
    model = trained("classification")
    answer = answered(api, {"model_id": model.public_id, "input_data": "0.5,1.5", "parameters": EVERYTHING})
    (prediction,) = answer["result"]["predictions"]
    assert prediction["label"] == "low"
    assert set(prediction["probabilities"]) == {"low", "high"}
    assert [each["label"] for each in prediction["top_k"]] == ["low", "high"]
