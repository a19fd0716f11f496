"""The SDK from its sources, a server for it, and a clean process state around each test."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).resolve().parent.parent.parent / "clients" / "python" / "src"
sys.path.insert(0, str(SOURCES))

from tests.clients.server import PASSWORD, USERNAME, TrackingServer  # noqa: E402


@pytest.fixture
def server() -> Iterator[TrackingServer]:
    found = TrackingServer()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Quick rounds, a spool of the test's own, nothing from the outside; senders end with the test."""
    for name in os.environ:
        if name.startswith("AI_MANAGER_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AI_MANAGER_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("AI_MANAGER_FLUSH_SECONDS", "0.05")
    monkeypatch.setenv("AI_MANAGER_EXIT_SECONDS", "5")
    monkeypatch.setenv("AI_MANAGER_SYSTEM_SECONDS", "0")
    monkeypatch.setenv("AI_MANAGER_CAPTURE", "0")
    yield
    from ai_manager import notices, sender

    for each in sender._senders.values():
        each.exit_seconds = 0.0
    sender.close_all()
    sender._senders.clear()
    notices._told.clear()


@pytest.fixture
def manager(server: TrackingServer) -> Any:
    from ai_manager import AIManager

    return AIManager("my_project", server.url, USERNAME, PASSWORD)


@pytest.fixture
def script(server: TrackingServer, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """script("…") starts a Python process in which `manager` is ready."""

    def start(source: str, **environment: str) -> subprocess.Popen[str]:
        head = f"""
            import os, sys, time, threading, signal, multiprocessing
            from ai_manager import AIManager
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
            manager = AIManager("my_project", {server.url!r}, {USERNAME!r}, {PASSWORD!r})
        """
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(source))
        return subprocess.Popen(
            [sys.executable, str(path)],
            env={**os.environ, "PYTHONPATH": str(SOURCES), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
