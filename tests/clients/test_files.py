"""Files of runs: sent behind the training's back, in pieces where they are large, and never lost."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server import PASSWORD, USERNAME, Fault, TrackingServer
from tests.conftest import wait_until

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_manager.calls.DIRECT_BYTES", 2000)
    monkeypatch.setattr("ai_manager.calls._LINKED_BYTES", 100)
    monkeypatch.setattr("ai_manager.calls.PIECE_BYTES", 1000)
    monkeypatch.setattr("ai_manager.calls.COMPLETE_POLL_SECONDS", 0.02)
    monkeypatch.setattr("ai_manager.files._POLL_SECONDS", 0.02)
    monkeypatch.setattr("ai_manager.files.FIRST_BACKOFF", 0.02)
    monkeypatch.setattr("ai_manager.files.LAST_BACKOFF", 0.1)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def file(name: str = "model.bin", size: int = 10) -> Path:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    return file


def left(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "spool" / "files"
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("size", [0, 10, 2000, 2001, 4500])
def test_a_file_arrives_as_it_was_when_it_was_logged(
    server: TrackingServer, manager: Any, file: Callable[..., Path], tmp_path: Path, size: int
) -> None:
    source = file(size=size)
    content = source.read_bytes()
    with manager.run() as run:
        assert run.log_artifact(source, "a b/ü.bin")
        source.write_bytes(b"overwritten")
    assert server.state.files == {(1, "a b/ü.bin"): content}
    assert left(tmp_path) == []


def test_a_folder_is_sent_with_all_that_is_in_it(
    server: TrackingServer, manager: Any, file: Callable[..., Path]
) -> None:
    for name in ("x", "deep/y"):
        file(name)
    folder = file("z").parent
    with manager.run() as run:
        run.log_artifact(folder)
        run.log_artifact(str(folder), path="other/place/")
        run.log_artifact(folder / "x", path="into/")
    paths = {path for _, path in server.state.files}
    assert paths == {
        *(f"{top}/{name}" for top in ("source", "other/place") for name in ("x", "deep/y", "z")),
        "into/x",
    }


def test_what_would_pass_the_limit_of_files_is_not_copied_and_said(
    server: TrackingServer,
    file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from ai_manager import AIManager

    monkeypatch.setenv("AI_MANAGER_FILES_LIMIT", "1000")
    monkeypatch.setenv("AI_MANAGER_MODE", "offline")
    run = AIManager("my_project", server.url, USERNAME, PASSWORD).run()
    assert run.log_artifact(file("first", 600))
    folder = file("many/a", 300).parent
    file("many/b", 300)
    assert not run.log_artifact(folder)
    assert not run.log_artifact(file("second", 401))
    assert "it has 401 bytes, 600 wait in" in caplog.text
    assert "AI_MANAGER_FILES_LIMIT allows 1,000 together" in caplog.text
    assert run.log_artifact(file("third", 400))
    assert [(folder / "data").stat().st_size for folder in left(tmp_path)] == [600, 400]
    run.finish()


def test_a_file_that_grows_beyond_the_limit_while_it_is_copied_leaves_nothing(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    from ai_manager import files

    with pytest.raises(files.SpoolFull, match="has grown beyond the 9 bytes"):
        files.Waiting.copy(file(size=10), tmp_path / "spool", {"body": {"name": "r"}}, "x", room=9)
    assert left(tmp_path) == []


def test_bytes_that_the_project_has_are_not_sent_again(
    server: TrackingServer, manager: Any, file: Callable[..., Path]
) -> None:
    source = file(size=500)
    with manager.run() as run:
        run.log_artifact(source, "one")
        run.log_artifact(source, "two")
    assert len(server.state.files) == 2
    assert [request[1] for request in server.state.requests_to("PUT", "/runs/1/artifacts")] == ["/runs/1/artifacts/one"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="PATCH"),
        Fault(method="PATCH", store=True),
        Fault(method="PATCH", status=503, store=True),
        Fault(method="POST", path="/runs/1/uploads"),
        Fault(method="POST", path="/runs/1/uploads", store=True),
        Fault(method="PATCH", status=429, headers={"Retry-After": "0.1"}),
    ],
    ids=["cut", "answer lost", "503 after storing", "no beginning", "beginning lost", "429"],
)
def test_a_broken_line_costs_one_piece(
    server: TrackingServer, manager: Any, file: Callable[..., Path], fault: Fault
) -> None:
    source = file(size=10_000)
    server.state.faults += [fault, fault]
    with manager.run() as run:
        run.log_artifact(source)
        assert run.flush(timeout=20)
    assert server.state.files == {(1, "model.bin"): source.read_bytes()}
    assert len(server.state.requests_to("PATCH", "/runs/1/uploads")) <= 12


def test_a_lost_answer_to_the_last_call_is_no_failure(
    server: TrackingServer, manager: Any, file: Callable[..., Path], tmp_path: Path
) -> None:
    source = file(size=3000)
    server.state.faults.append(Fault(method="POST", path="/runs/1/uploads/", store=True))
    with manager.run() as run:
        run.log_artifact(source)
    assert server.state.files == {(1, "model.bin"): source.read_bytes()}
    assert left(tmp_path) == []


def test_a_file_that_the_server_still_reads_is_asked_for_until_it_is_there(
    server: TrackingServer, manager: Any, file: Callable[..., Path], tmp_path: Path
) -> None:
    source = file(size=3000)
    server.state.assembling = 2
    with manager.run() as run:
        run.log_artifact(source)
    assert server.state.files == {(1, "model.bin"): source.read_bytes()}
    assert (server.state.assembling, left(tmp_path)) == (0, [])


def test_points_do_not_wait_for_a_file(server: TrackingServer, manager: Any, file: Callable[..., Path]) -> None:
    server.state.limit = lambda method, path: 0.2 if "/artifacts" in path else None
    with manager.run() as run:
        run.log_artifact(file())
        run.log({"loss": 1.0}, step=0)
        wait_until(lambda: server.state.series(1, "loss") == [(0, 1.0)], timeout=10, what="the point")
        assert server.state.files == {}
        server.state.limit = lambda method, path: None


@pytest.mark.parametrize("status", [400, 403, 413])
def test_what_the_server_refuses_is_kept_and_told(
    server: TrackingServer, manager: Any, file: Callable[..., Path], tmp_path: Path, status: int, caplog: Any
) -> None:
    server.state.faults.append(Fault(method="PUT", path="/runs/1/artifacts", status=status))
    with manager.run() as run:
        run.log_artifact(file())
        run.log_artifact(file("other"))
    assert [path for _, path in server.state.files] == ["other"]
    (folder,) = left(tmp_path)
    assert str(status) in (folder / "refused.txt").read_text()
    assert (folder / "data").stat().st_size == 10
    assert "model.bin is not sent" in caplog.text


def test_what_cannot_be_read_is_told_and_training_goes_on(
    server: TrackingServer, manager: Any, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "empty").mkdir()
    with manager.run() as run:
        assert not run.log_artifact(tmp_path / "none")
        assert not run.log_artifact(tmp_path / "empty")
        run.log({"loss": 1.0}, step=0)
    assert not run.log_artifact(tmp_path / "none")
    assert server.state.series(1, "loss") == [(0, 1.0)]
    assert caplog.text.count("is not uploaded") == 2
    assert left(tmp_path) == []


def test_a_disabled_manager_keeps_nothing(server: TrackingServer, file: Callable[..., Path], tmp_path: Path) -> None:
    from ai_manager import AIManager

    with AIManager("x", server.url, mode="disabled").run() as run:
        assert not run.log_artifact(file())
    assert left(tmp_path) == []


def test_offline_files_are_sent_by_sync_after_their_run(
    server: TrackingServer, file: Callable[..., Path], tmp_path: Path
) -> None:
    from ai_manager import AIManager
    from ai_manager.cli import main

    source = file(size=4000)
    with AIManager("my_project", server.url, USERNAME, PASSWORD, mode="offline").run(name="away") as run:
        assert run.log_artifact(source)
    assert server.state.requests == []
    account = ["--api-url", server.url, "--username", USERNAME]
    os.environ["AI_MANAGER_PASSWORD"] = PASSWORD
    try:
        assert main(["sync", str(tmp_path / "spool"), *account]) == 0
    finally:
        del os.environ["AI_MANAGER_PASSWORD"]
    assert server.state.files == {(1, "model.bin"): source.read_bytes()}
    assert left(tmp_path) == []


def test_what_a_killed_process_has_left_the_next_one_sends(
    server: TrackingServer, manager: Any, script: Script, file: Callable[..., Path], tmp_path: Path
) -> None:
    source = file(size=4000)
    server.state.limit = lambda method, path: 30.0 if "/uploads" in path or "/artifacts" in path else None
    process = script(
        f"""
        run = manager.run()
        run.log_artifact({str(source)!r})
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    process.communicate(timeout=30)
    assert len(left(tmp_path)) == 1
    server.state.limit = lambda method, path: None
    with manager.run():
        wait_until(lambda: (1, "model.bin") in server.state.files, timeout=10, what="the file that was left")
    assert server.state.files[1, "model.bin"] == source.read_bytes()
    wait_until(lambda: left(tmp_path) == [], timeout=10, what="its folder to go")
