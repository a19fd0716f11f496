"""The data sets of the llm-pipelines contract, from its own document's examples."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from datasets_app import services
from datasets_app.models import Dataset
from tests.contracts.golden import assert_golden

GOLDEN = Path(__file__).parent / "golden"
CSV = b"text,label\nSample text 1,positive\nSample text 2,negative\n\n"
UPLOAD = "/api/v1/datasets/upload"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.FILES_ROOT = tmp_path, tmp_path / "files"
    return tmp_path


def client_of(user: Any) -> Client:
    from tracking.services.accounts import api_key_create

    _, secret = api_key_create(owner=user, name="tests")
    return Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)


@pytest.fixture
def client(user: Any) -> Client:
    return client_of(user)


@pytest.fixture
def dataset(user: Any) -> Dataset:
    return services.dataset_upload(owner=user, file=io.BytesIO(CSV), filename="training_data.csv")


def file(content: bytes = CSV, name: str = "training_data.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def assert_error(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The contract's error body and nothing else; returns it."""
    assert answer.status_code == status, answer.content
    body = json.loads(answer.content)
    assert set(body) == {"error", "message", "metadata"}
    assert body["error"] == code
    assert body["message"]
    return body


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_documents_upload_is_answered_as_it_shows(client: Client, slash: str) -> None:
    answer = client.post(UPLOAD + slash, {"file": file()})
    assert answer.status_code == 201, answer.content
    assert answer["Content-Type"] == "application/json"
    assert_golden(GOLDEN, "uploaded", answer.json())


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_documents_dataset_is_answered_as_it_shows(client: Client, dataset: Dataset, slash: str) -> None:
    answer = client.get(f"/api/v1/datasets/{dataset.public_id}{slash}")
    assert answer.status_code == 200
    assert_golden(GOLDEN, "dataset", answer.json())


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_documents_preview_is_answered_as_it_shows(client: Client, dataset: Dataset, slash: str) -> None:
    answer = client.get(f"/api/v1/datasets/{dataset.public_id}/preview{slash}")
    assert answer.status_code == 200
    assert_golden(GOLDEN, "preview", answer.json())


def test_parquet_is_taken_by_its_content_or_by_its_name(client: Client) -> None:
    import polars as pl

    buffer = io.BytesIO()
    pl.DataFrame({"n": [1, 2], "text": ["a", None]}).write_parquet(buffer)
    for fields in ({}, {"format": "parquet"}):
        answer = client.post(UPLOAD, {"file": file(buffer.getvalue(), "x.parquet"), **fields})
        assert answer.status_code == 201, answer.content
        assert answer.json()["analysis"]["columns"] == ["n", "text"]
    preview = client.get(f"/api/v1/datasets/{answer.json()['dataset_id']}/preview").json()
    assert preview["samples"] == [{"n": 1, "text": "a"}, {"n": 2, "text": None}]


def test_the_same_file_again_is_a_data_set_of_its_own(client: Client) -> None:
    ids = {client.post(UPLOAD, {"file": file()}).json()["dataset_id"] for _ in range(3)}
    assert len(ids) == 3


# --- The preview's limit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count"), [("", 10), ("?limit=1", 1), ("?limit=100", 100), ("?limit=%2050", 50), ("?limit=", 10)]
)
def test_a_preview_has_as_many_rows_as_asked_for(client: Client, user: Any, query: str, count: int) -> None:
    content = b"n\n" + b"".join(b"%d\n" % i for i in range(150))
    dataset = services.dataset_upload(owner=user, file=io.BytesIO(content), filename="n.csv")
    answer = client.get(f"/api/v1/datasets/{dataset.public_id}/preview{query}").json()
    assert [row["n"] for row in answer["samples"]] == list(range(count))
    assert answer["total_rows"] == 150


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e9", "abc", "1.5", "null", "9" * 5000, "🙂", "1;drop"])
def test_a_limit_that_is_none_is_a_validation_error(client: Client, dataset: Dataset, limit: str) -> None:
    answer = client.get(f"/api/v1/datasets/{dataset.public_id}/preview", {"limit": limit})
    body = assert_error(answer, 400, "VALIDATION_ERROR")
    assert [error["field"] for error in body["metadata"]["errors"]] == ["limit"]


# --- Errors -----------------------------------------------------------------------------------------------------------


def test_an_upload_without_a_file_says_which_field_is_required(client: Client) -> None:
    body = assert_error(client.post(UPLOAD, {"format": "csv"}), 400, "VALIDATION_ERROR")
    assert body["metadata"]["errors"] == [{"field": "file", "message": "field required"}]


def test_a_file_sent_as_text_is_a_validation_error(client: Client) -> None:
    body = assert_error(client.post(UPLOAD, {"file": "a,b\n1,2"}), 400, "VALIDATION_ERROR")
    assert body["metadata"]["errors"][0]["field"] == "file"


def test_an_unknown_field_names_the_nearest(client: Client) -> None:
    body = assert_error(client.post(UPLOAD, {"file": file(), "fromat": "csv"}), 400, "VALIDATION_ERROR")
    assert "did you mean 'format'?" in body["metadata"]["errors"][0]["message"]


@pytest.mark.parametrize("format", ["xlsx", "🙂", "x" * 100, "csv,parquet"])
def test_an_unknown_format_is_a_validation_error(client: Client, format: str) -> None:
    body = assert_error(client.post(UPLOAD, {"file": file(), "format": format}), 400, "VALIDATION_ERROR")
    assert body["metadata"]["errors"][0]["field"] == "format"


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "empty.csv", "empty.csv is empty"),
        (b"a,b\n", "x.csv", "has a header and no rows"),
        (b"\x7fELF" + bytes(range(32)) * 9, "tool.csv", "tool.csv"),
        (b"PAR1xxxxPAR1", "x.parquet", "damaged Parquet"),
        (b'[{"a": 1}', "x.json", "x.json, line 1: the array has no end"),
        (b'{"a": 1}\n{"a": \n', "x.jsonl", "x.jsonl, line 2: this is no JSON"),
        (b"a,b\n1\n2\n", "ragged.csv", "ragged.csv, row 2"),
    ],
)
def test_a_file_that_is_no_table_is_a_dataset_error_that_names_it(
    client: Client, content: bytes, name: str, sentence: str
) -> None:
    body = assert_error(client.post(UPLOAD, {"file": file(content, name)}), 400, "DATASET_ERROR")
    assert sentence in body["message"]
    assert body["metadata"]["file"] == name
    assert not Dataset.objects.exists()


def test_a_file_over_the_limit_is_too_large_in_both_ways(client: Client, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 20
    body = assert_error(client.post(UPLOAD, {"file": file()}), 413, "PAYLOAD_TOO_LARGE")
    assert body["metadata"]["max_bytes"] == 20
    body = assert_error(client.post(UPLOAD, {"file": file(b"x" * 1_100_000)}), 413, "PAYLOAD_TOO_LARGE")
    assert body["metadata"]["size_bytes"] > 1_100_000


def test_a_body_that_is_no_form_is_refused(client: Client) -> None:
    answer = client.post(UPLOAD, json.dumps({"file": "x"}), content_type="application/json")
    assert_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    answer = client.post(UPLOAD, CSV, content_type="text/csv")
    assert_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def part(headers: bytes, content: bytes) -> bytes:
    return b"--xx\r\n" + headers + b"\r\n\r\n" + content + b"\r\n--xx--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary="),
        (b"junk", "multipart/form-data; boundary=xx"),
        (b"", "multipart/form-data; boundary=" + "x" * 300),
        (
            part(b'Content-Disposition: form-data; name="file"; filename="a.csv"', b"a,b")[:-10],
            "multipart/form-data; boundary=xx",
        ),
        (
            part(b'Content-Disposition: form-data; name="file"; filename=""', b""),
            "multipart/form-data; boundary=xx",
        ),
        (part(b"\xff\xfe\0: x", b""), "multipart/form-data; boundary=xx"),
    ],
)
def test_a_broken_form_is_a_400_in_the_contracts_words(client: Client, body: bytes, content_type: str) -> None:
    answer = client.generic("POST", UPLOAD, body, content_type=content_type)
    assert answer.status_code == 400, answer.content
    assert json.loads(answer.content)["error"] in ("VALIDATION_ERROR", "DATASET_ERROR")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\\b\\c.csv", "🙂.csv", "x" * 300 + ".csv", "; rm -rf .csv", "%00.csv"]
)
def test_no_file_name_gets_out_of_its_place(client: Client, data_root: Path, name: str) -> None:
    answer = client.post(UPLOAD, {"file": file(name=name), "format": "csv"})
    assert answer.status_code == 201, answer.content
    kept = answer.json()["filename"]
    assert "/" not in kept
    assert len(kept.encode()) <= 200
    outside = [
        path for path in data_root.rglob("*") if path.is_file() and data_root / "files/datasets" not in path.parents
    ]
    assert outside == []


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "post"])
def test_another_method_is_405(client: Client, dataset: Dataset, method: str) -> None:
    path = f"/api/v1/datasets/{dataset.public_id}"
    for asked in (UPLOAD,) if method == "get" else (path, f"{path}/preview"):
        assert_error(getattr(client, method)(asked), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "dataset_id", ["ds_000000000000", "ds_xyz789", "x", "1", "🙂", "..", "%2e%2e", "a" * 2000, "upload2"]
)
@pytest.mark.parametrize("tail", ["", "/preview"])
def test_an_unknown_id_is_404(client: Client, dataset_id: str, tail: str) -> None:
    assert_error(client.get(f"/api/v1/datasets/{dataset_id}{tail}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/api/v1/datasets/a/b/c", "/api/v1/dataset", "/api/v1/datasets/ds_000000000000/rows"])
def test_an_unknown_path_is_404_in_the_contracts_words(client: Client, path: str) -> None:
    assert_error(client.get(path), 404, "NOT_FOUND")


def test_somebody_elses_data_set_is_404_and_reads_as_an_unknown_one(make_user: Any, dataset: Dataset) -> None:
    other = client_of(make_user("bob"))
    for tail in ("", "/preview"):
        body = assert_error(other.get(f"/api/v1/datasets/{dataset.public_id}{tail}"), 404, "NOT_FOUND")
        unknown = assert_error(other.get(f"/api/v1/datasets/ds_000000000000{tail}"), 404, "NOT_FOUND")
        assert body["message"].replace(dataset.public_id, "ds_000000000000") == unknown["message"]


def test_a_file_that_is_gone_from_the_storage_is_a_dataset_error_not_a_500(client: Client, dataset: Dataset) -> None:
    from datasets_app.storage import get_storage

    get_storage().delete(dataset.blob.key)
    assert_error(client.get(f"/api/v1/datasets/{dataset.public_id}/preview"), 400, "DATASET_ERROR")


def test_a_storage_out_of_reach_is_a_storage_error(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    settings.STORAGE_URL = "s3://nowhere?endpoint_url=http://127.0.0.1:9&region=eu-central-1"
    assert_error(client.post(UPLOAD, {"file": file()}), 500, "STORAGE_ERROR")
    assert not Dataset.objects.exists()


# --- Who may call -----------------------------------------------------------------------------------------------------


def test_nobody_is_401_without_open_mode_and_a_bad_token_always(dataset: Dataset, settings: Any) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        client = Client(headers=headers, raise_request_exception=False)
        for answer in (client.get(f"/api/v1/datasets/{dataset.public_id}"), client.post(UPLOAD, {"file": file()})):
            assert_error(answer, 401, "UNAUTHORIZED")
    settings.OPEN_MODE = True
    client = Client(headers={"Authorization": "Bearer nonsense", "Host": "localhost"}, raise_request_exception=False)
    assert_error(client.post(UPLOAD, {"file": file()}), 401, "UNAUTHORIZED")


def test_in_open_mode_nobody_is_local(settings: Any) -> None:
    settings.OPEN_MODE = True
    client = Client(headers={"Host": "localhost"})
    answer = client.post(UPLOAD, {"file": file()})
    assert answer.status_code == 201, answer.content
    dataset = Dataset.objects.get(public_id=answer.json()["dataset_id"])
    assert dataset.owner.username == "local"
    assert client.get(f"/api/v1/datasets/{dataset.public_id}").status_code == 200


def test_a_session_needs_its_csrf_token(user: Any) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(user)
    assert_error(client.post(UPLOAD, {"file": file()}), 403, "FORBIDDEN")
    client.cookies["csrftoken"] = "a" * 32
    answer = client.post(UPLOAD, {"file": file()}, headers={"X-CSRFToken": "a" * 32})
    assert answer.status_code == 201, answer.content


def test_every_answer_tells_the_limit(client: Client, dataset: Dataset, settings: Any) -> None:
    for path, status in ((f"/api/v1/datasets/{dataset.public_id}", 200), ("/api/v1/datasets/ds_000000000000", 404)):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer["X-RateLimit-Limit"] == "1000"
        assert int(answer["X-RateLimit-Remaining"]) < 1000
        assert int(answer["X-RateLimit-Reset"]) > 1_700_000_000


def test_calls_over_the_limit_are_429(client: Client, dataset: Dataset, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"llm_user": "3/m"}
    path = f"/api/v1/datasets/{dataset.public_id}"
    answers = [client.get(path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert_error(answers[-1], 429, "RATE_LIMITED")
    assert int(answers[-1]["Retry-After"]) > 0


def test_queries_are_few(client: Client, dataset: Dataset, django_assert_max_num_queries: Any) -> None:
    client.get(f"/api/v1/datasets/{dataset.public_id}")
    with django_assert_max_num_queries(3):  # key and its user, last use, data set
        client.get(f"/api/v1/datasets/{dataset.public_id}")
