"""The demo as `make demo` runs it, and what is left of it when its terminal dies."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until
from tests.outside import ROOT, outside_the_tests
from tests.recovery.up import gone

pytestmark = [pytest.mark.recovery, pytest.mark.full]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "said.log").open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "demo.py"), "--data", str(tmp_path / "data"), "--port", "0"],
            env=outside_the_tests(),
            stdout=sink,
            stderr=sink,
        )
    yield process
    process.kill()
    process.wait()


def test_the_demo_trains_predicts_and_leaves_nothing_running_when_it_is_killed(
    demo: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    log = tmp_path / "said.log"
    wait_until(
        lambda: "Serving until" in log.read_text() or demo.poll() is not None, timeout=120, what="the demo's result"
    )
    said = log.read_text()
    assert demo.poll() is None, said
    assert " of 20 right" in said
    operator = json.loads((tmp_path / "data" / "operator.json").read_text())
    assert operator["password"] in said
    family = psutil.Process(demo.pid).children(recursive=True)
    assert len(family) >= 5  # up, Valkey, web, workers, reconciler
    demo.kill()
    wait_until(lambda: gone(family), timeout=20, what="the end of the platform")
