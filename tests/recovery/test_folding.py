"""Folding is killed under load: no acknowledged point is lost or doubled."""

import contextlib
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import wait_until
from tests.outside import ROOT, outside_the_tests
from tests.recovery.test_ingest import UNLIMITED, kept_under_load
from tests.recovery.up import START_SECONDS, Up

pytestmark = [pytest.mark.recovery, pytest.mark.full]


def folds(up: Up) -> int:
    """How often chunks were written; each fold of a series writes a new row."""
    with contextlib.closing(sqlite3.connect(up.data / "db.sqlite3", timeout=20)) as database:
        return int(database.execute("SELECT coalesce(max(id), 0) FROM tracking_metricchunk").fetchone()[0])


def folder_killer(up: Up) -> Callable[[], None]:
    """Folds by hand, as long as points come, and kills that after a different number of folds each time."""
    counts = itertools.count(1)

    def kill() -> None:
        enough = folds(up) + next(counts)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "fold"],
            env={**outside_the_tests(), "AUTOML_DATA": str(up.data)},
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: folds(up) >= enough or process.poll() is not None, timeout=START_SECONDS, what="folds")
        finally:
            process.kill()
            process.wait()
        assert folds(up) > 0

    return kill


def test_folding_killed_under_load_loses_and_doubles_nothing(start: Callable[..., Up]) -> None:
    up = start("data", **UNLIMITED).ready()
    assert kept_under_load(up, folder_killer(up), 3)
