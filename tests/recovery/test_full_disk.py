"""A disk that fills up: the job says so, nothing half-written stays, and the platform goes on."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.recovery.up import WITHOUT_FRAMEWORKS, Up

pytestmark = [pytest.mark.recovery, pytest.mark.full]

DISK_BYTES = 256 * 1024**2  # the platform does not start with less than 200 MiB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES, where the platform's data folder may lie."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def up(small_disk: Path, start: Callable[..., Up]) -> Up:
    up = start("small", fresh=True, AUTOML_OPEN="1", **WITHOUT_FRAMEWORKS).ready()
    (up.data / "files" / "x.csv").write_text("a,b\n1,2\n")
    return up


def submit(up: Up, **hyperparameters: Any) -> str:
    order = {"model_type": "sleeper", "data_path": "x.csv", "hyperparameters": hyperparameters}
    return str(up.post("/jobs/training", order)["job_id"])


def ended(up: Up, job_id: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        found: dict[str, Any] = up.get(f"/jobs/{job_id}/status")
        return found if found["status"] in ("completed", "failed") else {}

    wait_until(status, timeout=60, what="the end of the job", told=up.said)
    return status()


def test_a_job_that_fills_the_disk_fails_by_that_name_and_leaves_the_disk_to_others(up: Up) -> None:
    job = submit(up, seconds=0.2, steps=2, crash="disk", crash_at_step=1)
    failed = ended(up, job)
    assert failed["error"].startswith("The disk of the machine that ran the training is full"), failed
    assert (failed["error_kind"], failed["attempt"]) == ("infrastructure", 1)
    wait_until(lambda: up.get(f"/jobs/{job}/status")["resumable"], what="the word that a checkpoint is kept")
    left = [path for path in (up.data / "work").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["step.json"]
    assert not list((up.data / "files").rglob("*half*"))
    assert ended(up, submit(up, seconds=0.1, steps=1))["status"] == "completed"


def test_while_the_disk_is_full_orders_are_refused_in_plain_words_and_taken_again_afterwards(up: Up) -> None:
    family = up.family()
    ballast = up.data / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (1024**2, 4096):
            with pytest.raises(OSError, match="No space left"):
                while file.write(bytes(piece)) == piece:
                    pass
                file.write(bytes(piece))  # the last piece may have found room in part
    refused: list[dict[str, Any]] = []
    for _ in range(300):  # what the database has room for is still taken
        try:
            submit(up, seconds=0.1, steps=1)
        except urllib.error.HTTPError as error:
            assert error.code == 503
            refused.append(json.loads(error.read()))
            break
    assert set(refused[0]) == {"error", "detail", "status_code"}
    assert "disk is full" in refused[0]["detail"] or "database is not available" in refused[0]["detail"]
    ballast.unlink()
    wait_until(up.healthy, what="a healthy platform", told=up.said)
    assert ended(up, submit(up, seconds=0.1, steps=1))["status"] == "completed"
    assert [process for process in family if not process.is_running()] == []
