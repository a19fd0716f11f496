"""A real S3 server on loopback, one a test process."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from django.conf import settings
from moto.server import ThreadedMotoServer

BUCKET = "platform"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_clients(s3_server: str) -> tuple[Any, Any]:
    """A client of the server, and the platform's bucket: to make them takes longer than many a test."""
    session = boto3.Session("tests", "tests", region_name="eu-central-1")
    return session.client("s3", endpoint_url=s3_server), session.resource("s3", endpoint_url=s3_server).Bucket(BUCKET)


@pytest.fixture
def s3_client(s3_clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, with the platform's bucket made and empty."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client, bucket = s3_clients
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    bucket.objects.all().delete()
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def s3_storage(s3_client: object, s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """The platform keeps its files in the bucket, under a prefix; its cache is empty."""
    from datasets_app import storage

    storage._storage.cache_clear()
    monkeypatch.setattr(settings, "STORAGE_URL", f"s3://{BUCKET}/site?endpoint_url={s3_server}&region=eu-central-1")
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    yield
    storage._storage.cache_clear()
