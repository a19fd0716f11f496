"""The job-queue contract, from its own document's examples."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs import lifecycle
from jobs.models import Job, TrainedModel, Worker
from tests.contracts.golden import assert_golden

GOLDEN = Path(__file__).parent / "golden"
pytestmark = pytest.mark.django_db

FOREST = {  # the document's "Scikit-learn Random Forest" example, word for word
    "model_type": "random_forest",
    "data_path": "/data/tabular_data.csv",
    "hyperparameters": {"n_estimators": 100, "max_depth": 10, "min_samples_split": 5, "random_state": 42},
    "description": "Train Random Forest for classification",
    "requires_gpu": False,
    "framework_override": "sklearn",
}


@pytest.fixture
def table(files_root: Path) -> Path:
    path = files_root / "tabular_data.csv"
    path.write_text("a,b,label\n1,2,x\n3,4,y\n5,6,x\n")
    return path


@pytest.fixture
def client(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def api(user: Any) -> "Api":
    from tracking.services.accounts import api_key_create

    _, secret = api_key_create(owner=user, name="tests")
    return Api(secret)


class Api:
    """Calls as a script makes them: JSON in, JSON out, a bearer token."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        answer = self.client.generic(method, path, data, content_type="application/json", headers=headers)
        return answer.status_code, json.loads(answer.content)


@pytest.fixture
def worker(db: None) -> Worker:
    now = lifecycle.database_now()
    return Worker.objects.create(
        name="w1", kind="training", host="h", pid=1, queues=["sklearn"], started_at=now, heartbeat_at=now
    )


def submitted(api: Api, **changes: Any) -> Job:
    status, answer = api.call("POST", "/jobs/training", FOREST | changes)
    assert status == 200, answer
    return Job.objects.get(pk=answer["job_id"].removeprefix("job_"))


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_documents_forest_is_queued(api: Api, table: Path, slash: str) -> None:
    status, answer = api.call("POST", f"/jobs/training{slash}", FOREST)
    assert status == 200
    assert_golden(GOLDEN, "training_submitted", answer)


def test_a_repeated_key_makes_no_second_job_and_is_answered_the_same(api: Api, table: Path) -> None:
    first = api.call("POST", "/jobs/training", FOREST, **{"Idempotency-Key": "a1"})
    again = api.call("POST", "/jobs/training/", FOREST, **{"Idempotency-Key": "a1"})
    assert first == again and first[0] == 200 and Job.objects.count() == 1
    status, answer = api.call("POST", "/jobs/training", FOREST | {"description": "b"}, **{"Idempotency-Key": "a1"})
    assert (status, answer["error"], answer["status_code"]) == (409, "Conflict", 409)
    assert "'a1' has come before with another body" in answer["detail"]
    for key in ("", "k" * 256, "a\tb"):
        status, answer = api.call("POST", "/jobs/inference", {}, **{"Idempotency-Key": key})
        assert status == 422 and answer["detail"].startswith("Idempotency-Key: It must have 1 to 255 characters")
    job = Job.objects.get()
    model = TrainedModel.objects.create(owner=job.owner, project=job.project, name="m", framework="sklearn")
    asked = {"model_id": model.public_id, "input_data": "1,2"}
    pair = [api.call("POST", "/jobs/inference", asked, **{"Idempotency-Key": "a2"}) for _ in range(2)]
    assert pair[0] == pair[1] and pair[0][0] == 200 and Job.objects.count() == 2
    resumed = Job.objects.filter(kind="training")
    resumed.update(status="failed", ended_at=timezone.now(), checkpoint_host="here")
    path = f"/jobs/{resumed.get().public_id}/resume"
    pair = [api.call("POST", path, {}, **{"Idempotency-Key": "a3"}) for _ in range(2)]
    assert pair[0] == pair[1] and pair[0][0] == 200 and Job.objects.count() == 3


def test_a_pending_job_has_no_result_and_says_why_it_waits(api: Api, table: Path) -> None:
    job = submitted(api)
    status, answer = api.call("GET", f"/jobs/{job.public_id}/status")
    assert status == 200
    assert_golden(GOLDEN, "status_pending", answer)


def test_a_running_job_shows_the_framework_and_the_metrics_so_far(api: Api, table: Path, worker: Worker) -> None:
    from tracking.stream import Point

    job = submitted(api)
    attempt = lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    assert attempt is not None
    lifecycle.report(
        attempt=attempt,
        job=job,
        entry=lifecycle.Report(points=[Point("accuracy", 0.95)], progress=0.6, message="growing trees"),
    )
    status, answer = api.call("GET", f"/jobs/{job.public_id}/status")
    assert status == 200
    assert_golden(GOLDEN, "status_running", answer)


def test_a_pending_job_is_cancelled_at_once_and_only_once(api: Api, table: Path) -> None:
    job = submitted(api)
    status, answer = api.call("DELETE", f"/jobs/{job.public_id}")
    assert status == 200
    assert_golden(GOLDEN, "cancelled", answer)
    status, answer = api.call("DELETE", f"/jobs/{job.public_id}")
    assert status == 400
    assert_golden(GOLDEN, "cancelled_twice", answer)


def test_a_failed_training_tells_whose_fault_it_was_and_goes_on_from_its_checkpoint(
    api: Api, table: Path, worker: Worker
) -> None:
    job = submitted(api, timeout=60)
    attempt = lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    assert attempt is not None
    lifecycle.fail(attempt=attempt, job=job, failure=lifecycle.Failure("Too slow.", Job.ErrorKind.TIMEOUT))
    failed = api.call("GET", f"/jobs/{job.public_id}/status")[1]
    assert [failed[name] for name in ("error", "error_kind", "timeout", "resumable")] == [
        "Too slow.", "timeout", 60.0, False,
    ]  # fmt: skip
    status, answer = api.call("POST", f"/jobs/{job.public_id}/resume")
    assert (status, answer["detail"]) == (409, "No checkpoint of this job is kept; run it again instead.")
    Job.objects.filter(pk=job.pk).update(checkpoint_host="here")
    assert api.call("GET", f"/jobs/{job.public_id}/status")[1]["resumable"]
    status, answer = api.call("POST", f"/jobs/{job.public_id}/resume", {"timeout": 120})
    assert (status, answer["status"]) == (200, "queued")
    resumed = Job.objects.get(pk=answer["job_id"].removeprefix("job_"))
    assert (resumed.retry_of, resumed.resumes, resumed.timeout_seconds) == (job, True, 120.0)


@pytest.mark.parametrize("timeout", ["60", True, 0, -1, 1e300, [], {}])
def test_a_timeout_that_is_none_is_refused(api: Api, table: Path, timeout: Any) -> None:
    for path, order in (("/jobs/training", FOREST), ("/jobs/job_00000000-0000-4000-8000-000000000000/resume", {})):
        status, answer = api.call("POST", path, {**order, "timeout": timeout})
        assert (status, "timeout" in answer["detail"]) in ((422, True), (404, False)), answer
        assert (path, status) != ("/jobs/training", 404)


def test_jobs_are_listed_newest_first_with_total_limit_and_offset(api: Api, table: Path) -> None:
    first, second = submitted(api), submitted(api, description="second")
    status, answer = api.call("GET", "/jobs")
    assert status == 200
    assert [job["job_id"] for job in answer["jobs"]] == [second.public_id, first.public_id]
    assert_golden(GOLDEN, "list", answer)
    _, page = api.call("GET", "/jobs?limit=1&offset=1")
    assert [job["job_id"] for job in page["jobs"]] == [first.public_id]
    assert (page["total"], page["limit"], page["offset"]) == (2, 1, 1)


def test_a_limit_above_1000_is_cut(api: Api) -> None:
    status, answer = api.call("GET", "/jobs?limit=5000")
    assert (status, answer["limit"]) == (200, 1000)


def test_jobs_are_filtered_by_status(api: Api, table: Path) -> None:
    kept, cancelled = submitted(api), submitted(api)
    api.call("DELETE", f"/jobs/{cancelled.public_id}")
    _, pending = api.call("GET", "/jobs?status=pending")
    assert [job["job_id"] for job in pending["jobs"]] == [kept.public_id]


@pytest.mark.parametrize("query", ["status=queued", "limit=-1", "limit=abc", "offset=-1", "offset=1e99", "parent=x"])
def test_a_query_that_makes_no_sense_is_422(api: Api, query: str) -> None:
    status, answer = api.call("GET", f"/jobs?{query}")
    assert status == 422
    assert answer["status_code"] == 422 and answer["error"] == "Validation error" and answer["detail"]


def test_a_status_that_there_is_not_is_answered_by_those_that_there_are(api: Api) -> None:
    _, answer = api.call("GET", "/jobs?status=queued")
    assert answer["detail"] == 'status: "queued" is none of pending, running, completed, failed, cancelled.'


def test_a_missing_model_type_is_worded_as_in_the_document(api: Api) -> None:
    status, answer = api.call("POST", "/jobs/training", {"data_path": "/data/x.csv"})
    assert (status, answer) == (
        422,
        {"error": "Validation error", "detail": "model_type is required", "status_code": 422},
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"model_type": "random_forrest"}, "random_forest"),
        ({"model_type": 7}, "model_type"),
        ({"model_type": ""}, "model_type"),
        ({"model_type": "random_forest\x00"}, ""),
        ({"model_type": "x" * 5000}, "model_type"),
        ({"data_path": "/data/nowhere.csv"}, "/data/nowhere.csv"),
        ({"data_path": "../../etc/passwd"}, "../../etc/passwd"),
        ({"data_path": "/etc/passwd"}, "/etc/passwd"),
        ({"data_path": "http://127.0.0.1/x.csv"}, "http://127.0.0.1/x.csv"),
        ({"data_path": "ds_000000000000"}, "ds_000000000000"),
        ({"data_path": None}, "data_path"),
        ({"hyperparameters": {"n_estimators": 0}}, "n_estimators"),
        ({"hyperparameters": {"n_estimators": "many"}}, "n_estimators"),
        ({"hyperparameters": {"n_estimatorz": 10}}, "n_estimators"),
        ({"hyperparameters": {"max_depth": 1e400}}, ""),
        ({"hyperparameters": [1]}, "hyperparameters"),
        ({"requires_gpu": "yes"}, "requires_gpu"),
        ({"framework_override": "tensorflow"}, "framework_override"),
        ({"framework_override": "caffe"}, "framework_override"),
        ({"descripton": "typo"}, "description"),
        ({"project_id": 10**30}, "64 bits"),
        ({"project_id": "1"}, "project_id"),
    ],
)
def test_a_bad_order_is_refused_in_the_contracts_body_and_nothing_is_queued(
    api: Api, table: Path, change: dict[str, Any], said: str
) -> None:
    body = json.dumps(FOREST | change).replace("Infinity", "1e400").encode()
    status, answer = api.call("POST", "/jobs/training", body)
    assert 400 <= status < 500
    assert set(answer) >= {"error", "detail", "status_code"} and answer["status_code"] == status
    assert said in answer["detail"]
    assert not Job.objects.exists()


def test_null_is_the_same_as_leaving_an_optional_field_out(api: Api, table: Path) -> None:
    required = {name: FOREST[name] for name in ("model_type", "data_path")}
    optional = (
        "hyperparameters",
        "description",
        "requires_gpu",
        "framework_override",
        "project_id",
        "priority",
        "timeout",
    )
    status, first = api.call("POST", "/jobs/training", required)
    assert status == 200
    status, second = api.call("POST", "/jobs/training", required | dict.fromkeys(optional))
    assert status == 200
    orders = [Job.objects.get(pk=answer["job_id"].removeprefix("job_")) for answer in (first, second)]
    for field in (
        "hyperparameters",
        "description",
        "requires_gpu",
        "framework_override",
        "priority",
        "timeout_seconds",
    ):
        assert getattr(orders[0], field) == getattr(orders[1], field)
    assert api.call("POST", "/jobs/training", required | {"data_path": None})[0] == 422


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 5000])
def test_a_body_that_is_no_object_is_a_4xx_in_the_contracts_body(api: Api, body: bytes) -> None:
    status, answer = api.call("POST", "/jobs/training", body)
    assert status in (400, 422)
    assert answer["status_code"] == status and answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/jobs/job_00000000-0000-0000-0000-000000000000/status", 404),
        ("GET", "/jobs/nonsense/status", 404),
        ("DELETE", "/jobs/job_00000000-0000-0000-0000-000000000000", 404),
        ("GET", "/jobs/a/b/c", 404),
        ("PUT", "/jobs", 405),
        ("GET", "/jobs/training", 405),
    ],
)
def test_what_is_not_there_is_told_in_the_contracts_body(api: Api, method: str, path: str, expected: int) -> None:
    status, answer = api.call(method, path)
    assert status == expected
    assert set(answer) >= {"error", "detail", "status_code"} and answer["status_code"] == expected


def test_a_wrong_content_type_is_415(api: Api) -> None:
    answer = api.client.post("/jobs/training", "a=b", content_type="text/plain")
    assert answer.status_code == 415
    assert answer.json()["status_code"] == 415


def test_another_users_job_is_as_if_absent(api: Api, table: Path, make_user: Any) -> None:
    from tracking.services.accounts import api_key_create

    job = submitted(api)
    _, secret = api_key_create(owner=make_user("eve"), name="tests")
    eve = Api(secret)
    assert eve.call("GET", f"/jobs/{job.public_id}/status")[0] == 404
    assert eve.call("DELETE", f"/jobs/{job.public_id}")[0] == 404
    assert eve.call("GET", "/jobs")[1]["total"] == 0


def test_inference_on_an_unknown_model_is_404(api: Api) -> None:
    status, answer = api.call("POST", "/jobs/inference", {"model_id": "random_forest_model_789", "input_data": "1,2"})
    assert status == 404
    assert "random_forest_model_789" in answer["error"] + answer["detail"]


def test_inference_is_queued_for_the_models_framework(api: Api, user: Any) -> None:
    from tracking.services.projects import jobs_project

    model = TrainedModel.objects.create(
        owner=user, project=jobs_project(user), name="m", model_type="random_forest", framework="sklearn"
    )
    body = {
        "model_id": model.public_id,
        "input_data": "feature1,feature2,feature3,feature4",
        "parameters": {"probability": True},
    }
    status, answer = api.call("POST", "/jobs/inference", body)
    assert status == 200
    assert_golden(GOLDEN, "inference_submitted", answer)
    job = Job.objects.get()
    assert job.queue == "sklearn-inference"
    for bad in (
        {"parameters": {"probabilty": True}},
        {"parameters": {"temperature": -0.1}},
        {"parameters": {"top_k": "5"}},
        {"input_data": ""},
        {"input_data": 7},
        {"input_data": "/data/nowhere.csv"},
    ):
        status, answer = api.call("POST", "/jobs/inference", body | bad)
        assert status == 422, answer
    assert Job.objects.count() == 1


def test_a_list_costs_the_same_queries_for_one_job_and_for_thirty(
    api: Api, table: Path, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        submitted(api)
    with django_assert_max_num_queries(5):
        api.call("GET", "/jobs")
