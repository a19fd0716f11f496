"""Where and with what code a run was made: machine, Python, packages, and the state of the git repository.

They are the run's fields `environment` and `git`. Nothing of the environment's variables is taken: they hold secrets.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

GIT_SECONDS = 2.0
MAX_DIFF = 64 * 1024  # characters
MAX_PACKAGES = 1000


def captured() -> dict[str, Any]:
    """{"environment": {…}[, "git": {…}]}; what cannot be found out is left out."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processors": os.cpu_count(),
        "command": " ".join(sys.argv)[:1000],
        "folder": _working_folder(),
        "packages": _packages(),
    }
    with contextlib.suppress(OSError, KeyError, ImportError):
        found["user"] = getpass.getuser()
    fields = {"environment": {name: value for name, value in found.items() if value is not None}}
    git = repository(Path(_script_folder()))
    return {**fields, "git": git} if git else fields


def repository(folder: Path) -> dict[str, Any] | None:
    """Commit, branch, origin and what is not committed of the repository around `folder`; None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--submodule=short") or ""
    untracked = (_git(folder, "ls-files", "--others", "--exclude-standard") or "").splitlines()
    found: dict[str, Any] = {
        "commit": commit.strip(),
        "branch": (_git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "dirty": bool(diff),
        "untracked": untracked[:100],
    }
    origin = (_git(folder, "remote", "get-url", "origin") or "").strip()
    if origin:
        found["origin"] = _without_password(origin)
    if diff:
        found["diff"] = diff[:MAX_DIFF]
        found["diff_truncated"] = len(diff) > MAX_DIFF
    return found


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - git, with our own arguments
            ["git", *arguments],  # noqa: S607
            cwd=folder,
            capture_output=True,
            timeout=GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _without_password(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else address


def _packages() -> list[str]:
    found = {f"{item.metadata['Name']}=={item.version}" for item in metadata.distributions() if item.metadata["Name"]}
    return sorted(found, key=str.lower)[:MAX_PACKAGES]


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _script_folder() -> str:
    """Of the script that runs, else (a notebook, a console) the working folder."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    folder = os.path.dirname(os.path.abspath(main)) if main else _working_folder() or "."
    return folder if os.path.isdir(folder) else "."
