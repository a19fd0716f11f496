"""A training in a process that may not have the memory that its batch would take."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.outside import ROOT, outside_the_tests


@pytest.mark.full
@pytest.mark.parametrize(
    ("model_type", "settings"),
    [("resnet", ["depth=18", "image_size=64"]), ("mobilenet", ["variant=small", "image_size=128"])],
)
def test_a_batch_that_is_too_large_for_the_memory_is_halved_and_the_training_ends_well(
    class_folders: Callable[..., Path], tmp_path: Path, model_type: str, settings: list[str]
) -> None:
    limit = 1_600 * 2**20
    values = [part for each in [*settings, "epochs=1", "batch_size=4096"] for part in ("--set", each)]
    data = class_folders(100)
    done = subprocess.run(
        [sys.executable, "-m", "trainers", model_type, "--data", str(data), *values, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env=outside_the_tests(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "at once do not fit into memory; going on with" in done.stdout
