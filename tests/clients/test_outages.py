"""The server fails in every way it can: nothing is lost, nothing doubled, and the training goes on."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server import API_KEY, PASSWORD, USERNAME, Fault, TrackingServer
from tests.conftest import examples, wait_until

Script = Callable[..., "subprocess.Popen[str]"]
ROUNDS = examples(full=3, brief=1)


@pytest.fixture(autouse=True)
def _quick_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds that would have to be waited for are fractions here."""
    monkeypatch.setattr("ai_manager.sender.FIRST_BACKOFF", 0.05)
    monkeypatch.setattr("ai_manager.sender.LAST_BACKOFF", 0.2)
    monkeypatch.setattr("ai_manager.sender.SPILL_SECONDS", 0.3)
    monkeypatch.setattr("ai_manager.sender.SPILL_EVERY", 0.05)


def steps(server: TrackingServer, run_id: int = 1, name: str = "loss") -> list[int]:
    return [step for step, _ in server.state.series(run_id, name)]


def cli(*arguments: str) -> int:
    from ai_manager.cli import main

    return main(arguments)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(),
        Fault(store=True),
        Fault(status=503, headers={"Retry-After": "0.1"}),
        Fault(status=500, store=True),
        Fault(status=502),
        Fault(status=429, headers={"Retry-After": "0.2"}),
    ],
    ids=["dropped", "dropped after storing", "503", "500 after storing", "502", "429"],
)
def test_a_failed_batch_is_stored_once(server: TrackingServer, manager: Any, fault: Fault) -> None:
    fault.path = "/metrics/"
    with manager.run() as run:
        for round_ in range(ROUNDS):
            server.state.faults += [fault, fault]
            for step in range(10):
                run.log({"loss": 1.0}, step=10 * round_ + step)
            assert run.flush(timeout=60)
    assert steps(server) == list(range(10 * ROUNDS))


def test_retry_after_is_waited_for(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    server.state.faults.append(Fault(status=503, path="/metrics/", headers={"Retry-After": "0.7"}))
    run.log({"loss": 1.0})
    wait_until(lambda: server.state.points, what="the point")
    first, second = server.state.requests_to("POST", "/metrics/")
    assert second[3] - first[3] >= 0.7
    run.finish()


def test_an_expired_token_is_renewed(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    server.state.tokens.clear()
    run.log({"loss": 1.0})
    assert run.flush(timeout=60)
    assert server.state.requests_to("POST", "/auth/refresh")
    assert server.state.logins == 1
    server.state.tokens.clear()
    server.state.faults.append(Fault(status=401, path="/auth/refresh"))
    run.log({"loss": 2.0})
    run.finish()
    assert server.state.logins == 2
    assert steps(server) == [0, 1]


def test_a_refused_key_keeps_everything_on_disk_and_is_told_once(
    server: TrackingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_manager import AIManager

    run = AIManager("my_project", server.url, api_key=API_KEY).run()
    monkeypatch.setattr("tests.clients.server.API_KEY", "another")
    for step in range(100):
        run.log({"loss": 1.0}, step=step)
    run.finish()
    assert len([message for message in caplog.messages if "credentials" in message]) == 1
    assert run.folder is not None
    monkeypatch.setattr("tests.clients.server.API_KEY", API_KEY)
    wait_until(lambda: server.state.runs[1]["status"] == "completed", what="the run's end")
    assert steps(server) == list(range(100))


def test_a_long_outage_goes_to_the_disk_and_is_sent_in_order(
    server: TrackingServer, manager: Any, tmp_path: Path
) -> None:
    run = manager.run(name="a")
    other = manager.run(name="b")
    run.log({"loss": 0.0}, step=0)
    assert run.flush(timeout=60)
    server.state.away = True
    for step in range(1, 200):
        run.log({"loss": 1.0}, step=step)
        other.log({"loss": 1.0}, step=step)
        if step == 100:
            wait_until(lambda: run.folder and other.folder, what="the spool")
    server.state.away = False
    run.finish()
    other.finish()
    assert steps(server) == list(range(200))
    assert steps(server, 2) == list(range(1, 200))
    assert [server.state.runs[number]["status"] for number in (1, 2)] == ["completed"] * 2
    wait_until(lambda: not list((tmp_path / "spool").iterdir()), what="the spool being empty")


def test_a_run_may_begin_while_the_server_is_away(server: TrackingServer, manager: Any) -> None:
    server.state.away = True
    run = manager.run(name="begun offline", config={"lr": 1}, tags=["t"])
    assert run.id is None and run.url is None
    run.log({"loss": 1.0})
    server.state.away = False
    wait_until(lambda: run.id == 1, what="the run on the server")
    run.finish()
    assert server.state.runs[1]["tags"] == ["t"]
    assert steps(server) == [0]
    assert server.state.runs[1]["started_at"]


@pytest.mark.parametrize("path", ["/runs", "/projects"])
def test_a_run_whose_creation_was_not_answered_is_made_once(server: TrackingServer, manager: Any, path: str) -> None:
    server.state.faults.append(Fault(method="POST", path=path, store=True))
    run = manager.run(name="a")
    run.log({"loss": 1.0})
    wait_until(lambda: run.id is not None, what="the run on the server")
    run.finish()
    assert len(server.state.runs) == len(server.state.projects) == 1
    assert steps(server) == [0]


def test_a_deleted_run_sets_its_points_aside(
    server: TrackingServer, manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = manager.run()
    del server.state.runs[1]
    for step in range(10):
        run.log({"loss": 1.0}, step=step)
        run.flush(timeout=5)
    run.finish()
    assert len([message for message in caplog.messages if "refused" in message]) == 1
    lines = (run.folder / "refused.log").read_text().splitlines()
    assert sum(len(json.loads(line.split(" ", 1)[1])["series"]["loss"]["steps"]) for line in lines) == 10
    assert len(server.state.requests_to("POST", "/metrics/")) == 1


def test_a_refused_batch_does_not_stop_those_behind_it(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    server.state.faults.append(Fault(status=400, path="/metrics/"))
    run.log({"loss": 1.0})
    run.flush(timeout=5)
    run.log({"loss": 2.0})
    run.finish()
    assert steps(server) == [1]


def test_more_than_the_memory_holds_goes_to_the_disk(
    server: TrackingServer, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_manager.run.MAX_ROWS", 100)
    monkeypatch.setattr("ai_manager.run.WAKE_ROWS", 50)
    run = manager.run()
    server.state.delay = 0.3  # a request takes longer than 100 calls of log
    for step in range(5000):
        run.log({"loss": 1.0}, step=step)
    assert len(run._outbox.rows) <= 100
    server.state.delay = 0.0
    run.finish()
    assert steps(server) == list(range(5000))


def test_a_full_spool_drops_the_newest_and_says_so(
    server: TrackingServer, manager: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ai_manager import AIManager

    monkeypatch.setenv("AI_MANAGER_SPOOL_LIMIT", "20000")
    manager = AIManager("my_project", server.url, USERNAME, PASSWORD)
    run = manager.run()
    server.state.away = True
    for step in range(20):
        for inner in range(500):
            run.log({"loss": 1.0}, step=500 * step + inner)
        run._outbox.spill()
    run.log({"loss": 1.0}, step=10_000)  # would still fit, and leave a hole before it
    run._outbox.spill()
    server.state.away = False
    run.finish()
    kept = steps(server)
    assert kept == list(range(len(kept))) and 0 < len(kept) < 10_000
    assert run._outbox.dropped == 10_001 - len(kept)
    assert len([message for message in caplog.messages if "dropped" in message]) == 1
    assert server.state.runs[1]["status"] == "completed"


def test_a_disk_that_cannot_be_written_never_breaks_the_training(
    server: TrackingServer, manager: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    run = manager.run()
    server.state.away = True
    run.log({"loss": 1.0})
    run._outbox.spill()
    server.state.away = False
    run.log({"loss": 2.0})
    run.finish()
    assert any("dropped" in message for message in caplog.messages)
    assert server.state.runs[1]["status"] == "completed"


def test_offline_runs_are_made_by_sync(server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_manager import AIManager

    manager = AIManager("my_project", server.url, USERNAME, PASSWORD, mode="offline")
    for name in ("a", "b"):
        with manager.run(name=name, config={"name": name}) as run:
            for step in range(50):
                run.log({"loss": 1.0}, step=step)
            run.set_tags(["offline"])
    assert server.state.requests == []
    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    assert cli("sync", str(tmp_path / "spool"), "--api-url", server.url, "--username", USERNAME) == 0
    assert [(run["name"], run["status"]) for run in server.state.runs.values()] == [("a", "completed")] + [
        ("b", "completed")
    ]
    assert steps(server) == steps(server, 2) == list(range(50))
    assert server.state.runs[2]["tags"] == ["offline"]
    assert server.state.runs[1]["started_at"]
    assert cli("sync", str(tmp_path / "spool"), "--api-url", server.url, "--username", USERNAME) == 0
    assert len(server.state.runs) == 2


def test_sync_goes_on_where_it_was_interrupted(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ai_manager import AIManager

    monkeypatch.setattr("ai_manager.outbox.MAX_BATCH", 20)
    with AIManager("my_project", server.url, USERNAME, PASSWORD, mode="offline").run() as run:
        for step in range(200):
            run.log({"loss": 1.0}, step=step)
            if step % 7 == 0:
                run._outbox.spill()
    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    arguments = ("sync", str(tmp_path / "spool"), "--api-url", server.url, "--username", USERNAME, "--patience", "0")
    # Each attempt gets one batch further; each answer is lost.
    for _ in range(30):
        server.state.faults.append(Fault(path="/metrics/", store=True))
        if cli(*arguments) == 0:
            break
    server.state.faults.clear()
    assert cli(*arguments) == 0
    assert steps(server) == list(range(200))
    assert server.state.runs[1]["status"] == "completed"
    assert "Trying again" not in capsys.readouterr().out


def test_a_torn_or_damaged_line_is_left_out(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_manager import AIManager
    from ai_manager.spool import Spool

    run = AIManager("my_project", server.url, USERNAME, PASSWORD, mode="offline").run()
    for step in range(3):
        run.log({"loss": 1.0}, step=step)
        run._outbox.spill()
    run._outbox.close()
    (folder,) = (tmp_path / "spool").iterdir()
    log = folder / "records.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1].replace(b"1.0", b"7.0") + lines[2] + lines[2][:20])
    spool = Spool.open(folder, limit=1 << 20)
    assert spool.size == sum(map(len, lines))
    spool.close()
    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    assert cli("sync", str(tmp_path / "spool"), "--api-url", server.url, "--username", USERNAME) == 0
    assert steps(server) == [0, 2]
    assert server.state.runs[1]["status"] == "failed"  # nobody had ended it


def test_a_killed_process_leaves_what_the_next_one_sends(
    server: TrackingServer, manager: Any, script: Script, tmp_path: Path
) -> None:
    process = script(
        """
        from ai_manager import sender
        sender.SPILL_SECONDS, sender.SPILL_EVERY = 0.3, 0.05
        run = manager.run(name="killed")
        run.log({"loss": 0.0}, step=0)
        assert run.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        for step in range(1, 100):
            run.log({"loss": 1.0}, step=step)
        while True:
            with run._outbox.lock:  # rows that are out of memory are on disk when the lock is free
                if run.folder and not run._outbox.rows:
                    break
            time.sleep(0.01)
        print(run.folder, flush=True)
        time.sleep(60)
        """
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    server.state.away = True
    process.stdin.write("away\n")
    process.stdin.close()
    folder = Path(process.stdout.readline().strip())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    server.state.away = False
    with manager.run(name="next"):
        wait_until(lambda: steps(server) == list(range(100)), what="the points of the killed process")
    wait_until(lambda: not folder.exists(), what="the folder being removed")


def test_a_folder_in_use_is_left_alone(
    server: TrackingServer, manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_manager.spool import Spool

    run = manager.run()
    server.state.away = True
    run.log({"loss": 1.0})
    run._outbox.spill()
    with pytest.raises(OSError, match="in use"):
        Spool.open(run.folder, limit=1 << 20)
    server.state.away = False
    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    run.finish()
    assert steps(server) == [0]


def test_another_servers_folder_is_left_alone(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ai_manager import AIManager

    with AIManager("my_project", "http://127.0.0.1:9", USERNAME, PASSWORD, mode="offline").run() as run:
        run.log({"loss": 1.0})
    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    arguments = ("sync", str(tmp_path / "spool"), "--api-url", server.url, "--username", USERNAME)
    assert cli(*arguments) == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().out
    assert cli(*arguments, "--any-server") == 0
    assert steps(server) == [0]


def test_logging_never_waits_for_a_server_that_hangs(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    server.state.delay = 2.0
    started = time.monotonic()
    for step in range(1000):
        run.log({"loss": 1.0}, step=step)
    assert time.monotonic() - started < 1.0
    server.state.delay = 0.0
    run.finish()
    assert steps(server) == list(range(1000))


def test_a_throttled_process_sends_less_often(server: TrackingServer, manager: Any) -> None:
    """10 requests a second are allowed; 20 runs would send 20 a round."""
    taken: list[float] = []

    def limit(method: str, path: str) -> float | None:
        if not path.startswith("/metrics/"):
            return None
        now = time.monotonic()
        taken[:] = [moment for moment in taken if now - moment < 1.0]
        if len(taken) >= 10:
            return 0.2
        taken.append(now)
        return None

    server.state.limit = limit
    runs = [manager.run(name=f"run {number}") for number in range(20)]
    for step in range(10):
        for run in runs:
            run.log({"loss": 1.0}, step=step)
    assert manager.flush(timeout=60)
    for run in runs:
        run.finish()
    for run in runs:
        assert steps(server, run.id) == list(range(10))
