"""The SDK against the real platform, through a relay that can lose answers."""

import contextlib
import hashlib
import math
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.migrated import lay_migrated
from tests.recovery.up import Up

pytestmark = pytest.mark.recovery


class Relay:
    """Passes bytes on to the platform. `lose`: so many answers are thrown away, and their connections closed.

    `cuts`: numbers of bytes that have come from the client, at each of which its connection breaks once.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.away = False
        self.lose = 0
        self.passed = 0  # bytes from the client
        self.cuts: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.away:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if self.away:
                    break
                if answers and self.lose > 0:
                    self.lose -= 1
                    break
                if not answers:
                    self.passed += len(content)
                    if self.cuts and self.passed >= self.cuts[0]:
                        self.cuts.pop(0)
                        break
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, migrated_cache: Path) -> Iterator[Up]:
    data = tmp_path_factory.mktemp("up") / "data"
    data.mkdir()
    lay_migrated(data / "db.sqlite3", cache=migrated_cache)
    up = Up(data)
    try:
        up.ready().post("/auth/register", {"email": "a@example.com", "username": "ann", "password": "password"})
        yield up
    finally:
        up.stop()


@pytest.fixture
def relay(real: Up) -> Iterator[Relay]:
    found = Relay(int(real.address.rpartition(":")[2]))
    yield found
    found.close()


@pytest.fixture
def manager(relay: Relay) -> Any:
    from ai_manager import AIManager

    return AIManager(project_name="my_project", api_url=relay.url, username="ann", password="password")


def history(manager: Any, run_id: int, name: str) -> dict[str, Any]:
    return manager.api.call("GET", f"/metrics/{run_id}/history/{name}")


def test_the_documents_example_is_stored_as_it_was_logged(manager: Any) -> None:
    with manager.run(name="training_run", config={"lr": 0.1}, tags=["demo"]) as run:
        for epoch in range(100):
            run.log({"loss": 1 / (epoch + 1), "accuracy": 0.85}, step=epoch)
    stored = history(manager, run.id, "loss")
    assert stored["steps"] == list(range(100))
    assert stored["values"] == [1 / (epoch + 1) for epoch in range(100)]
    seen = manager.api.call("GET", f"/runs/{run.id}")
    assert (seen["status"], seen["tags"], seen["config"]["lr"]) == ("completed", ["demo"], 0.1)
    (project,) = [item for item in manager.api.call("GET", "/projects/") if item["name"] == "my_project"]
    assert seen["project_id"] == project["id"]


def test_diverging_losses_are_stored_as_such(manager: Any) -> None:
    with manager.run() as run:
        for value in (1.0, math.inf, -math.inf, math.nan):
            run.log({"train/loss": value})
    assert history(manager, run.id, "train/loss")["values"] == [1.0, "Infinity", "-Infinity", "NaN"]


def test_lost_answers_double_nothing(manager: Any, relay: Relay) -> None:
    run = manager.run()
    for round_ in range(5):
        relay.lose = 1
        for step in range(200):
            run.log({"loss": float(step)}, step=200 * round_ + step)
        wait_until(lambda: relay.lose <= 0, what="the answer that is lost")
        assert run.flush(timeout=20)
    run.finish()
    assert history(manager, run.id, "loss")["steps"] == list(range(1000))


def test_an_outage_loses_nothing(manager: Any, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_manager.sender.SPILL_SECONDS", 0.2)
    monkeypatch.setattr("ai_manager.sender.LAST_BACKOFF", 0.5)
    with manager.run() as run:
        run.log({"loss": 0.0}, step=0)
        run.flush(timeout=20)
        relay.away = True
        for step in range(1, 5000):
            run.log({"loss": float(step)}, step=step)
        wait_until(lambda: run.folder, what="the spool")
        relay.away = False
    wait_until(lambda: run.folder is None, timeout=20, what="the spool being sent")
    assert history(manager, run.id, "loss")["steps"] == list(range(5000))
    assert manager.api.call("GET", f"/runs/{run.id}")["status"] == "completed"


def test_offline_runs_are_synced(relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Any) -> None:
    from ai_manager import AIManager
    from ai_manager.cli import main

    with AIManager("offline", relay.url, "ann", "password", mode="offline").run(name="a night's run") as run:
        for step in range(3000):
            run.log({"loss": float(step)}, step=step)
    with pytest.raises(ZeroDivisionError), AIManager("offline", relay.url, "ann", "password", mode="offline").run():
        raise ZeroDivisionError("division by zero")
    monkeypatch.setenv("AI_MANAGER_PASSWORD", "password")
    assert main(["sync", str(tmp_path / "spool"), "--api-url", relay.url, "--username", "ann"]) == 0
    (project,) = [item for item in manager.api.call("GET", "/projects/") if item["name"] == "offline"]
    failed, completed = manager.api.call("GET", f"/runs/?project_id={project['id']}")
    assert (completed["name"], completed["status"]) == ("a night's run", "completed")
    assert completed["started_at"].startswith(run._outbox.run["started_at"][:19])
    assert history(manager, completed["id"], "loss")["steps"] == list(range(3000))
    stored = manager.api.call("GET", f"/runs/{failed['id']}")
    assert (stored["status"], stored["status_reason"]) == ("failed", "ZeroDivisionError: division by zero")


def test_a_run_is_resumed_with_an_api_key(real: Up, manager: Any, relay: Relay) -> None:
    from ai_manager import AIManager

    key = real.post("/v1/auth/token", {"username": "ann", "password": "password"})["api_key"]
    with manager.run(name="first") as run:
        run.log({"loss": 1.0}, step=9)
    with AIManager("my_project", relay.url, api_key=key).run(id=run.id) as again:
        again.log({"loss": 2.0})
    assert history(manager, run.id, "loss")["steps"] == [9, 10]


def test_an_idle_run_beats(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_manager.sender.HEARTBEAT_SECONDS", 0.1)
    with manager.run() as run:
        heard = run._outbox.heard_at
        wait_until(lambda: run._outbox.heard_at > heard + 0.3, what="heartbeats")
        assert run._outbox.heartbeat


def test_a_large_file_goes_on_after_the_line_was_cut_in_its_middle(
    manager: Any, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_manager.calls.PIECE_BYTES", 1 << 20)
    monkeypatch.setattr("ai_manager.files.FIRST_BACKOFF", 0.05)
    monkeypatch.setenv("AI_MANAGER_EXIT_SECONDS", "60")
    source = tmp_path / "model.bin"
    source.write_bytes(os.urandom(12 << 20))
    with manager.run() as run:
        relay.cuts = [relay.passed + (megabytes << 20) + 700_000 for megabytes in (2, 5, 9)]
        assert run.log_artifact(source, "checkpoints/model é.bin")
        run.log({"loss": 1.0}, step=0)
        assert run.flush(timeout=60)
        assert relay.cuts == []
        assert relay.passed < (12 + 3 + 2) << 20  # of each cut one piece at most came twice
        assert run.log_artifact(source, "again.bin")
        assert run.flush(timeout=60)
    assert relay.passed < (12 + 3 + 2) << 20  # the project has these bytes
    stored = manager.api.call("GET", f"/runs/{run.id}/artifacts")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert [(file["path"], file["sha256"]) for file in stored] == [
        ("again.bin", digest),
        ("checkpoints/model é.bin", digest),
    ]


def test_a_job_is_trained_used_cancelled_and_listed(real: Up, relay: Relay) -> None:
    from ai_job_client import AIJobClient, ValidationFailed

    (real.data / "files" / "x.csv").write_text("a,b\n1,2\n")
    key = real.post("/v1/auth/token", {"username": "ann", "password": "password"})["api_key"]
    client = AIJobClient(relay.url, api_key=key)
    assert client.health()["status"] == "healthy"
    told: list[Any] = []

    def tell(status: Any) -> None:
        told.append(status)
        relay.lose = 1 if len(told) == 1 else 0  # the next answer never comes

    model = client.train("sleeper", "x.csv", hyperparameters={"seconds": 0.4, "steps": 4}, on_progress=tell)
    assert model.framework == "sklearn" and model.model_path == f"/models/{model.model_id}"
    progress = [status["progress"] for status in told]
    assert progress == sorted(progress) and progress[-1] == 1.0
    assert [each.value for each in client.predict(model.model_id, "1,2").predictions] == [0.0]

    job = client.submit_training_job("sleeper", "x.csv", hyperparameters={"seconds": 60.0, "steps": 600})
    assert client.cancel_job(job["job_id"])["status"] == "cancelled"
    assert client.cancel_job(job["job_id"])["status"] == "cancelled"
    assert client.wait_for_completion(job["job_id"])["error"] == "Job cancelled by user"
    states = {each["job_id"]: each["status"] for each in client.iter_jobs()}
    assert (states[model.job_id], states[job["job_id"]]) == ("completed", "cancelled")
    with pytest.raises(ValidationFailed, match="seconds"):
        client.submit_training_job("sleeper", "x.csv", hyperparameters={"seconds": -1.0})
