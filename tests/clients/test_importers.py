"""Runs that other trackers' own libraries wrote (data/README.md) arrive whole, once."""

import json
import math
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server import PASSWORD, USERNAME, TrackingServer

ARCHIVE = Path(__file__).parent / "data" / "other_trackers.zip"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path / "files")
    return tmp_path / "files"


def import_(server: TrackingServer, monkeypatch: pytest.MonkeyPatch, kind: str, place: object, *more: str) -> int:
    from ai_manager.cli import main

    monkeypatch.setenv("AI_MANAGER_PASSWORD", PASSWORD)
    return main(["import", kind, str(place), "--api-url", server.url, "--username", USERNAME, *more])


def by_name(server: TrackingServer) -> dict[str, dict[str, Any]]:
    return {run["name"]: run for run in server.state.runs.values()}


def test_tensorboards_scalars_arrive_with_their_steps_and_times(
    server: TrackingServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_(server, monkeypatch, "tensorboard", files / "tb", "--project", "from tensorboard") == 0
    assert sorted(by_name(server)) == ["a", "b"]
    run = by_name(server)["a"]
    loss = [point for point in server.state.points if point[:2] == (run["id"], "train/loss")]
    assert [(step, time) for _, _, step, _, time in loss] == [(step, 1_700_000_000.0 + step) for step in range(5)]
    assert [value for *_, value, _ in loss] == pytest.approx([1 / (step + 1) for step in range(5)])
    assert math.isnan(server.state.series(run["id"], "diverged")[0][1])
    assert server.state.series(run["id"], "new_style") == [(7, 2.5)]
    assert {point[1] for point in server.state.points} == {"train/loss", "diverged", "new_style"}
    assert (run["status"], run["started_at"][:10], run["ended_at"][:10]) == ("completed", "2023-11-14", "2023-11-14")
    assert server.state.projects[0]["name"] == "from tensorboard"


def test_a_second_import_adds_nothing(
    server: TrackingServer, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_(server, monkeypatch, "tensorboard", files / "tb") == 0
    points = len(server.state.points)
    assert import_(server, monkeypatch, "tensorboard", files / "tb") == 0
    assert (len(server.state.runs), len(server.state.points)) == (2, points)
    assert capsys.readouterr().out.count("there ") == 2


def test_a_file_that_is_cut_off_gives_what_is_whole(
    server: TrackingServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = (files / "tb" / "a").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    (files / "tb" / "b" / next((files / "tb" / "b").iterdir()).name).write_bytes(b"\xff" * 100)
    assert import_(server, monkeypatch, "tensorboard", files / "tb") == 0
    assert list(by_name(server)) == ["a"]
    assert 0 < len(server.state.points) < 7


def test_an_mlflow_folder_arrives_by_experiments(
    server: TrackingServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_(server, monkeypatch, "mlflow", files / "mlruns") == 0
    assert [project["name"] for project in server.state.projects] == ["my experiment"]
    assert sorted(by_name(server)) == ["failed", "first: run"]
    run = by_name(server)["first: run"]
    assert (run["config"]["lr"], run["config"]["opt"], run["tags"]) == (0.1, "adam", ["team=vision"])
    assert server.state.series(run["id"], "train/loss") == [(step, 1 / (step + 1)) for step in range(4)]
    assert math.isnan(server.state.series(run["id"], "bad")[0][1])
    assert (run["status"], by_name(server)["failed"]["status"]) == ("completed", "failed")
    assert run["started_at"][:10] == "2026-11-21"


def test_an_offline_run_of_wandb_arrives(server: TrackingServer, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_(server, monkeypatch, "wandb", files / "wb") == 0
    assert [project["name"] for project in server.state.projects] == ["proj"]
    run = by_name(server)["my run"]
    config = {name: value for name, value in run["config"].items() if not name.startswith("_")}
    assert config == {"lr": 0.1, "nested": {"x": 1}}
    assert (sorted(run["tags"]), run["status"]) == (["t1", "t2"], "completed")
    loss = server.state.series(run["id"], "loss")
    assert loss[:4] == [(step, pytest.approx(1 / (step + 1))) for step in range(4)]
    assert loss[4][0] == 9 and math.isnan(loss[4][1])
    assert server.state.series(run["id"], "sub/acc") == [(step, 0.5) for step in range(4)]
    assert server.state.series(run["id"], "many/2499") == [(10, 2499.0)]
    assert not server.state.series(run["id"], "word")


def test_what_is_no_run_is_told(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.wandb").write_bytes(b"not a log")
    for kind, place, words in (
        ("wandb", tmp_path / "x.wandb", "not a run of W&B"),
        ("wandb", tmp_path / "empty", "No .wandb file"),
        ("mlflow", tmp_path, "no folder of MLflow's"),
        ("mlflow", server.url, "401"),
        ("tensorboard", tmp_path, "No runs were found"),
    ):
        assert import_(server, monkeypatch, kind, place) == 1
        said = capsys.readouterr()
        assert words in said.out + said.err


class _MLflow(BaseHTTPRequestHandler):
    """As MLflow's server answers, two values of a metric a page."""

    values = [{"value": 1 / (step + 1), "step": step, "timestamp": 1_700_000_000_000 + step} for step in range(5)]

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("experiments/search"):
            self._answer({"experiments": [{"experiment_id": "1", "name": "remote"}]})
            return
        info = {"run_id": "abc", "run_name": "r", "status": "KILLED", "start_time": 1_700_000_000_000}
        data = {"metrics": [{"key": "loss"}], "params": [{"key": "lr", "value": "0.1"}]}
        self._answer({"runs": [{"info": info, "data": data}]})

    def do_GET(self) -> None:  # noqa: N802
        first = int(self.path.rpartition("page_token=")[2] or 0)
        answer: dict[str, Any] = {"metrics": self.values[first : first + 2]}
        if first + 2 < len(self.values):
            answer["next_page_token"] = str(first + 2)
        self._answer(answer)

    def _answer(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def mlflow_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _MLflow)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_mlflow_server_is_read_page_by_page(
    server: TrackingServer, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_(server, monkeypatch, "mlflow", mlflow_server) == 0
    run = by_name(server)["r"]
    assert (run["status"], run["config"]["lr"], server.state.projects[0]["name"]) == ("cancelled", 0.1, "remote")
    assert server.state.series(run["id"], "loss") == [(step, 1 / (step + 1)) for step in range(5)]
