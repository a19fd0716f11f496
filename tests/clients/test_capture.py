"""What a run says of the machine and the code that it was made with."""

import subprocess
from pathlib import Path

import pytest

from tests.clients.server import PASSWORD, USERNAME, TrackingServer
from tests.conftest import wait_until


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("print('one')\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_commit_branch_and_what_is_not_committed_are_captured(repository: Path) -> None:
    from ai_manager import capture

    git(repository, "remote", "add", "origin", "https://ann:secret@example.com/code.git")
    clean = capture.repository(repository)
    assert clean is not None
    assert clean["commit"] == git(repository, "rev-parse", "HEAD")
    assert (clean["branch"], clean["dirty"], clean["untracked"]) == ("main", False, [])
    assert clean["origin"] == "https://example.com/code.git"

    (repository / "train.py").write_text("print('two')\n")
    (repository / "new.py").write_text("")
    dirty = capture.repository(repository)
    assert dirty is not None
    assert dirty["dirty"] and "+print('two')" in dirty["diff"]
    assert dirty["untracked"] == ["new.py"]


def test_a_large_diff_is_cut_and_says_so(repository: Path) -> None:
    from ai_manager import capture

    (repository / "train.py").write_text("x = 1\n" * 100_000)
    found = capture.repository(repository)
    assert found is not None
    assert len(found["diff"]) == capture.MAX_DIFF and found["diff_truncated"]


def test_outside_a_repository_nothing_is_said_of_one(tmp_path: Path) -> None:
    from ai_manager import capture

    assert capture.repository(tmp_path) is None


def test_a_run_carries_its_environment_but_the_user_does_not_see_it_in_config(
    server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_manager import AIManager

    monkeypatch.setenv("AI_MANAGER_CAPTURE", "1")
    monkeypatch.setenv("SECRET_TOKEN", "do not take me")
    with AIManager("my_project", server.url, USERNAME, PASSWORD).run(config={"lr": 1}) as run:
        assert dict(run.config) == {"lr": 1}
    assert server.state.runs[1]["config"] == {"lr": 1}
    environment = server.state.runs[1]["environment"]
    assert environment["python"] and environment["host"]
    assert any(package.startswith("numpy==") for package in environment["packages"])
    assert "do not take me" not in str(environment)


def test_the_machine_is_sampled_beside_the_training(server: TrackingServer) -> None:
    from ai_manager import AIManager

    manager = AIManager("my_project", server.url, USERNAME, PASSWORD, system_metrics=0.02)
    with manager.run() as run:
        run.log({"loss": 1.0})
        wait_until(lambda: len(server.state.series(1, "system/cpu_percent")) >= 3, what="samples")
        run.log({"loss": 2.0})
    samples = server.state.series(1, "system/cpu_percent")
    assert [step for step, _ in samples] == list(range(len(samples)))
    for name in ("cpu_percent", "memory_percent", "disk_percent"):
        assert all(0 <= value <= 100 for _, value in server.state.series(1, f"system/{name}"))
    assert server.state.series(1, "system/process_memory_mb")[0][1] > 1
    assert server.state.series(1, "loss") == [(0, 1.0), (1, 2.0)]


def test_without_psutil_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_manager import system

    monkeypatch.setattr(system, "psutil", None)
    sample = system.Machine().sample()
    assert 0 <= sample["system/cpu_percent"] <= 100
    assert 0 < sample["system/memory_percent"] < 100
    assert sample["system/process_memory_mb"] > 1


def test_nvidia_smi_is_read_and_what_a_card_does_not_tell_is_left_out() -> None:
    from ai_manager.system import parse_smi

    assert parse_smi("35, 1024, 4096, 71.5, 60\n0, 0, 4096, [N/A], 30\n") == {
        "gpu.0.utilization": 35.0,
        "gpu.0.memory_mb": 1024.0,
        "gpu.0.memory_percent": 25.0,
        "gpu.0.power_w": 71.5,
        "gpu.0.temperature_c": 60.0,
        "gpu.1.utilization": 0.0,
        "gpu.1.memory_mb": 0.0,
        "gpu.1.memory_percent": 0.0,
        "gpu.1.temperature_c": 30.0,
    }


def test_a_source_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_manager import system

    machine = system.Machine()

    def broken() -> dict[str, float]:
        raise RuntimeError("NVML: driver not loaded")

    machine._sources.append(broken)
    assert "system/memory_percent" in machine.sample()
    assert broken not in machine._sources
