"""/, /health, /health/redis, /api/v1/health."""

import socket
import threading
import time
from typing import Any

import pytest
from django.test import Client

from api.base import health


def test_health_is_the_union_of_the_documents_bodies(client: Client, db: None) -> None:
    for path in ("/health", "/health/", "/api/v1/health"):
        answer = client.get(path)
        assert answer.status_code == 200
        body = answer.json()
        assert body.pop("timestamp")[-1] == "Z"
        assert body == {
            "status": "healthy",
            "version": "1.0.0",
            "services": {"redis": "healthy", "api": "healthy", "database": "healthy"},
        }


def test_redis_health_measures(client: Client, db: None) -> None:
    body = client.get("/health/redis").json()
    assert body["status"] == "healthy"
    assert 0 < body["latency_ms"] < 1000


def test_without_redis_the_platform_is_degraded(client: Client, db: None, settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["services"]["redis"] == "unhealthy"
    answer = client.get("/health/redis")
    assert (answer.status_code, answer.json()) == (503, {"status": "unhealthy", "latency_ms": None})


def test_a_redis_that_hangs_is_told_within_a_second(client: Client, db: None, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, never answers
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        begun = time.perf_counter()
        answer = client.get("/health/redis")
        assert answer.status_code == 503
        assert time.perf_counter() - begun < 2


def test_without_the_database_the_platform_is_unhealthy(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise OSError("away")

    monkeypatch.setattr(health, "_select_one", fail)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["services"]["database"] == "unhealthy"


def test_a_database_that_hangs_is_told_fast_and_later_asked_again(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang() -> bool:
        return release.wait(30)

    with monkeypatch.context() as patch:
        patch.setattr(health, "_select_one", hang)
        patch.setattr(health, "TIMEOUT", 0.1)
        begun = time.perf_counter()
        codes = [client.get("/health").status_code for _ in range(4)]
        assert codes == [503] * 4
        assert time.perf_counter() - begun < 3
    release.set()
    while not all(future.done() for future in health._waiting):
        assert time.perf_counter() - begun < 20
    assert client.get("/health").status_code == 200


def test_the_root_introduces_the_platform_to_programs(client: Client, db: None) -> None:
    for accept in ("", "*/*", "application/json"):
        answer = client.get("/", headers={"accept": accept} if accept else {})
        assert answer.status_code == 200
        assert answer["Vary"] == "Accept"
        body = answer.json()
        assert {contract["name"] for contract in body["contracts"]} == {
            "tracking",
            "automl",
            "job-queue",
            "metric-learning",
            "llm-pipelines",
        }
        for contract in body["contracts"]:
            assert client.get(contract["openapi"]).status_code == 200


def test_the_root_leads_people_to_the_pages(client: Client, db: None) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = client.get("/", headers={"accept": browser})
    assert (answer.status_code, answer["Location"]) == (302, "/ui/")
    assert client.get("/ui/", headers={"accept": browser})["Location"].startswith("/login")
