"""What may be set from the environment, read once when a manager is made.

| variable | meaning | default |
|---|---|---|
| `AI_MANAGER_API_URL` | address of the platform | `http://localhost:8000` |
| `AI_MANAGER_API_KEY` | API key; or `AI_MANAGER_USERNAME` and `AI_MANAGER_PASSWORD` | |
| `AI_MANAGER_PROJECT` | name of the project, where none is given | |
| `AI_MANAGER_MODE` | `online`, `offline` (all goes to the spool), `disabled` (nothing is kept) | `online` |
| `AI_MANAGER_DIR` | folder of the spool | `~/.ai_manager/spool` |
| `AI_MANAGER_SPOOL_LIMIT` | bytes a run may keep on disk; beyond them new points are dropped and counted | 1 GiB |
| `AI_MANAGER_FILES_LIMIT` | bytes of all runs' files that may wait there; files beyond them are left out | 20 GiB |
| `AI_MANAGER_FLUSH_SECONDS` | how often points are sent, in seconds | 1 |
| `AI_MANAGER_EXIT_SECONDS` | how long the end of a run or process may wait for the server, in seconds | 10 |
| `AI_MANAGER_SYSTEM_SECONDS` | interval of the system metrics, in seconds; 0 is off | 10 |
| `AI_MANAGER_CAPTURE` | 0: neither environment nor git is captured | 1 |
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ai_manager.errors import SettingsError

DEFAULT_URL = "http://localhost:8000"
MODES = ("online", "offline", "disabled")


@dataclass(frozen=True)
class Settings:
    """Seconds and bytes, as the table above names them."""

    mode: str = "online"
    folder: Path | None = None
    spool_limit: int = 1 << 30
    files_limit: int = 20 << 30
    flush_seconds: float = 1.0
    exit_seconds: float = 10.0
    system_seconds: float = 10.0
    capture: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises SettingsError: a variable that is not what its name says."""
        mode = environment.get("AI_MANAGER_MODE", "") or "online"
        if mode not in MODES:
            raise SettingsError(f"AI_MANAGER_MODE is '{mode}', which is not one of {', '.join(MODES)}.")
        folder = environment.get("AI_MANAGER_DIR", "")
        return cls(
            mode=mode,
            folder=Path(folder).expanduser() if folder else None,
            spool_limit=int(_number(environment, "AI_MANAGER_SPOOL_LIMIT", 1 << 30)),
            files_limit=int(_number(environment, "AI_MANAGER_FILES_LIMIT", 20 << 30)),
            flush_seconds=_number(environment, "AI_MANAGER_FLUSH_SECONDS", 1.0),
            exit_seconds=_number(environment, "AI_MANAGER_EXIT_SECONDS", 10.0),
            system_seconds=_number(environment, "AI_MANAGER_SYSTEM_SECONDS", 10.0),
            capture=environment.get("AI_MANAGER_CAPTURE", "1") not in ("0", "false", "no", "off"),
        )

    def spool_root(self) -> Path:
        """The folder of the spool: the one that was set, else one in the home folder, else a temporary one."""
        return self.folder or default_spool_root()


def default_spool_root() -> Path:
    """`~/.ai_manager/spool`, or where the home folder cannot be written, a private one in the temporary folder."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/")
    if os.access(home, os.W_OK):
        return home / ".ai_manager" / "spool"
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"ai_manager-{owner}"


def clean_url(url: str) -> str:
    """`url` without a trailing slash.

    Raises:
        SettingsError: not an http(s) address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"'{url}' is no address of a platform; it looks like {DEFAULT_URL}.")
    return url.rstrip("/")


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15:
        raise SettingsError(f"{name} is '{text}', which is not a number of 0 or more.")
    return value
