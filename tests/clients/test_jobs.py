"""`AIJobClient`: what it asks, what it repeats, what it raises."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_job_client import (
    AIJobClient,
    AIJobError,
    APIError,
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    InferenceResult,
    JobFailed,
    NotFound,
    RateLimited,
    TrainingResult,
    ValidationFailed,
)

from tests.clients.scripted import ScriptedServer

JOB = "job_12345678-1234-1234-1234-123456789012"
QUEUED = {"job_id": JOB, "status": "queued", "created_at": "2024-01-15T10:30:00Z", "estimated_duration": "00:15:00"}
RESULT = {
    "model_id": "model_0123456789ab",
    "model_path": "/models/model_0123456789ab",
    "framework": "pytorch",
    "framework_version": "2.13.0",
    "backend": "cuda",
    "device": "cuda (NVIDIA H200)",
    "metrics": {"accuracy": 0.95, "training_time": 900, "roc_auc": None},
}


def status(state: str, progress: float = 0.0, **more: Any) -> dict[str, Any]:
    times = {"created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:32:00Z"}
    return {"job_id": JOB, "status": state, **times, "progress": progress, "message": "", "result": None, **more}


def problem(code: int, detail: str, error: str = "Bad Request", **more: Any) -> tuple[int, dict[str, Any]]:
    return code, {"error": error, "detail": detail, "status_code": code, **more}


@pytest.fixture
def queue() -> Iterator[ScriptedServer]:
    found = ScriptedServer()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_job_client.client.FIRST_BACKOFF", 0.005)
    monkeypatch.setattr("ai_job_client.client.SHORTEST_POLL", 0.005)
    monkeypatch.delenv("AI_JOB_API_KEY", raising=False)


@pytest.fixture
def client(queue: ScriptedServer) -> AIJobClient:
    return AIJobClient(queue.url)


def test_the_documents_example_sends_and_returns_what_the_document_shows(
    client: AIJobClient, queue: ScriptedServer
) -> None:
    completed = status("completed", 1.0, result=RESULT)
    queue.answers += [(200, QUEUED), (200, status("running", 0.5)), (200, completed)]
    job = client.submit_training_job(
        model_type="bert",
        data_path="/data/training.csv",
        hyperparameters={"epochs": 5, "batch_size": 16},
        description="BERT training",
    )
    assert job == QUEUED
    assert client.wait_for_completion(job["job_id"]) == completed
    assert queue.asked == ["POST /jobs/training"] + [f"GET /jobs/{JOB}/status"] * 2
    _, _, headers, body = queue.requests[0]
    assert body == {
        "model_type": "bert",
        "data_path": "/data/training.csv",
        "hyperparameters": {"epochs": 5, "batch_size": 16},
        "description": "BERT training",
    }
    assert "Authorization" not in headers


def test_an_inference_sends_its_parameters(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append((200, QUEUED))
    client.submit_inference_job("bert_model_123", "This is a great product!", parameters={"temperature": 0.7})
    assert queue.requests[0][3] == {
        "model_id": "bert_model_123",
        "input_data": "This is a great product!",
        "parameters": {"temperature": 0.7},
    }


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_waiting_ends_with_every_final_state(client: AIJobClient, queue: ScriptedServer, state: str) -> None:
    queue.answers += [(200, status("pending")), (200, status(state))]
    assert client.wait_for_completion(JOB)["status"] == state


def test_waiting_tells_each_change_once(client: AIJobClient, queue: ScriptedServer) -> None:
    seen = [status("pending"), status("running", 0.2), status("running", 0.2, updated_at="later"), status("failed")]
    queue.answers += [(200, each) for each in seen]
    told: list[Any] = []
    client.wait_for_completion(JOB, on_progress=told.append)
    assert told == [seen[0], seen[1], seen[3]]


def test_waiting_gives_up_in_the_documents_words(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers += [(200, status("running"))] * 100
    with pytest.raises(TimeoutError, match=f"Job {JOB} did not complete within 0.02 seconds"):
        client.wait_for_completion(JOB, timeout=0.02)


def test_an_outage_is_waited_out_while_a_job_is_waited_for(client: AIJobClient, queue: ScriptedServer) -> None:
    client.retries = 1
    queue.answers += [(200, status("running")), *[None] * 3, (503, "gone"), (200, status("completed", 1.0))]
    assert client.wait_for_completion(JOB, timeout=60)["status"] == "completed"


def test_reads_are_repeated_and_submissions_are_with_the_same_key(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers += [None, (502, "no upstream"), (200, status("running"))]
    assert client.get_job_status(JOB)["status"] == "running"
    queue.answers += [None, (503, "down"), *[(200, QUEUED)] * 3]
    assert client.submit_training_job("bert", "/data/a.csv") == QUEUED
    client.submit_inference_job("m", "a text")
    client.resume_job(JOB)
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in queue.requests[3:]]
    assert len(keys) == 5 and len(set(keys[:3])) == 1, "a repetition is known by its key"
    assert len(set(keys)) == 3 and all(len(key) == 32 for key in keys), "each submission has its own"


def test_an_upload_that_may_have_arrived_is_not_repeated(
    client: AIJobClient, queue: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    queue.answers.append(None)
    with pytest.raises(ConnectionFailed) as raised:
        client.upload_dataset(tmp_path / "a.csv")
    assert raised.value.sent
    assert isinstance(raised.value, ConnectionError)
    queue.answers.append((503, "down"))
    with pytest.raises(APIError):
        client.upload_dataset(tmp_path / "a.csv")
    assert len(queue.asked) == 2


def test_a_submission_that_the_server_did_not_take_is_repeated(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers += [(*problem(429, "You have 100 pending jobs"), {"Retry-After": "0"}), (200, QUEUED)]
    assert client.submit_training_job("bert", "/data/a.csv") == QUEUED


def test_a_limit_that_lasts_is_told_and_not_waited_for(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append((*problem(429, "You have 100 pending jobs"), {"Retry-After": "3600"}))
    with pytest.raises(RateLimited, match="You have 100 pending jobs") as raised:
        client.submit_training_job("bert", "/data/a.csv")
    assert raised.value.retry_after == 3600


def test_nobody_at_the_address_is_told_after_the_retries() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = AIJobClient(f"http://127.0.0.1:{unused.getsockname()[1]}", retries=2)
        for call in (lambda: client.submit_training_job("a", "b"), lambda: client.wait_for_completion(JOB)):
            with pytest.raises(ConnectionFailed, match="does not answer") as raised:
                call()
            assert not raised.value.sent


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ValidationFailed),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, NotFound),
        (409, Conflict),
        (418, APIError),
    ],
)
def test_what_the_server_refuses_is_raised_with_its_words(
    client: AIJobClient, queue: ScriptedServer, code: int, kind: type[APIError]
) -> None:
    queue.answers.append(problem(code, "model_type is required", "Validation error"))
    with pytest.raises(kind, match="model_type is required") as raised:
        client.submit_training_job("", "")
    found = raised.value
    assert (found.status_code, found.error, found.detail) == (code, "Validation error", "model_type is required")
    assert isinstance(found, AIJobError)
    assert found.body["status_code"] == code


def test_all_sentences_of_a_refusal_are_kept(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append(problem(422, "a is wrong", errors=["a is wrong", "b is missing"]))
    with pytest.raises(ValidationFailed, match="a is wrong; b is missing") as raised:
        client.submit_training_job("", "")
    assert raised.value.errors == ["a is wrong", "b is missing"]


def test_something_else_than_the_platform_is_told(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append((200, "<html>It works!</html>"))
    with pytest.raises(APIError, match="is this the platform's address"):
        client.health()


def test_the_key_comes_from_the_argument_or_the_environment(
    queue: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.answers += [(200, {})] * 4
    monkeypatch.setenv("AI_MANAGER_API_KEY", "of-tracking")
    AIJobClient(queue.url).health()
    monkeypatch.setenv("AI_JOB_API_KEY", "of-jobs")
    AIJobClient(queue.url).health()
    AIJobClient(queue.url, api_key="given").health()
    AIJobClient(queue.url, api_key="").health()
    keys = [headers.get("Authorization") for _, _, headers, _ in queue.requests]
    assert keys == ["Bearer of-tracking", "Bearer of-jobs", "Bearer given", None]


def test_a_training_goes_on_from_its_checkpoint_as_a_new_job(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append((200, QUEUED))
    assert client.resume_job(JOB, timeout=60) == QUEUED
    assert queue.asked == [f"POST /jobs/{JOB}/resume"]
    assert queue.requests[0][3] == {"timeout": 60}


def test_cancelling_twice_is_cancelling_once(client: AIJobClient, queue: ScriptedServer) -> None:
    refusal = problem(400, "The job was cancelled already", "Job cannot be cancelled")
    queue.answers += [None, refusal, (200, status("cancelled"))]
    assert client.cancel_job(JOB)["status"] == "cancelled"
    queue.answers += [refusal, (200, status("completed", 1.0))]
    with pytest.raises(ValidationFailed):
        client.cancel_job(JOB)


def test_all_jobs_are_listed_page_by_page_without_doubles(
    client: AIJobClient, queue: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_job_client.client.PAGE", 2)
    pages = [["e", "d"], ["d", "c"], ["b"]]  # a job that was submitted meanwhile moved "d" onto the second page
    queue.answers += [(200, {"jobs": [{"job_id": each} for each in page], "total": 5}) for page in pages]
    assert [job["job_id"] for job in client.iter_jobs("completed")] == ["e", "d", "c", "b"]
    assert queue.asked[1] == "GET /jobs?limit=2&offset=2&status=completed"


def test_a_training_becomes_a_result(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers += [(200, QUEUED), (200, status("completed", 1.0, result=RESULT))]
    model = client.train("resnet", "/data/images", hyperparameters={"epochs": 1})
    assert model == TrainingResult(
        job_id=JOB,
        model_id="model_0123456789ab",
        model_path="/models/model_0123456789ab",
        framework="pytorch",
        framework_version="2.13.0",
        backend="cuda",
        device="cuda (NVIDIA H200)",
        metrics={"accuracy": 0.95, "training_time": 900.0},
    )


def test_a_training_that_fails_is_raised_with_its_reason(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers += [(200, QUEUED), (200, status("failed", error="The file has no rows."))]
    with pytest.raises(JobFailed, match="The file has no rows") as raised:
        client.train("svm", "/data/empty.csv")
    assert raised.value.status["status"] == "failed"


def test_predictions_of_every_kind_are_read() -> None:
    raw = [
        {"label": "cat", "score": 0.9, "probabilities": {"cat": 0.9}, "top_k": [{"label": "cat", "score": 0.9}]},
        {"label": None, "score": 0.2},
        {"value": 3},
        {"text": " upon a time", "tokens": 4},
    ]
    answered: Any = status("completed", 1.0, result={"model_id": "m", "predictions": raw})
    cat, unsure, number, text = InferenceResult.of(answered).predictions
    assert (cat.label, cat.score, cat.probabilities, cat.top_k) == ("cat", 0.9, {"cat": 0.9}, (("cat", 0.9),))
    assert (unsure.label, unsure.score, unsure.top_k) == (None, 0.2, ())
    assert (number.value, text.text, text.raw["tokens"]) == (3.0, " upon a time", 4)


def test_ids_and_addresses_are_quoted_and_checked(client: AIJobClient, queue: ScriptedServer) -> None:
    queue.answers.append(problem(404, "Job not found", "Not found"))
    with pytest.raises(NotFound):
        client.get_job_status("../../admin?x#y")
    assert queue.asked == ["GET /jobs/..%2F..%2Fadmin%3Fx%23y/status"]
    with pytest.raises(ValueError, match="no address of a platform"):
        AIJobClient("localhost:8000")


def test_a_file_is_uploaded_as_a_form(client: AIJobClient, queue: ScriptedServer, tmp_path: Path) -> None:
    source = tmp_path / 'wi"ne é.csv'
    source.write_bytes(bytes(range(256)) * 8192)  # 2 MiB
    queue.answers += [(429, "wait", {"Retry-After": "0"}), (201, {"dataset_id": "ds_0123456789ab"})]
    assert client.upload_dataset(source) == "ds_0123456789ab"
    (_, _, headers, first), (_, path, _, sent) = queue.requests
    assert path == "/api/v1/datasets/upload"
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    head, _, rest = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary) and 'filename="wi%22ne é.csv"'.encode() in head
    assert rest == source.read_bytes() + b"\r\n--" + boundary + b"--\r\n"
    assert first == sent
    with pytest.raises(FileNotFoundError):
        client.upload_dataset(tmp_path / "nothing.csv")
