"""Noticing that code changed, for `up --reload`."""

import time
from collections.abc import Callable
from pathlib import Path

# The web server reads the list of static files, with their sizes, when it starts.
SUFFIXES = (".py", ".html", ".js", ".css", ".svg")
FOLDERS = ("automl_site", "api", "tracking", "jobs", "datasets_app", "trainers", "templates", "static")
EVERY = 1.0


class CodeWatch:
    """Calls `changed` with the first file that is newer than it was."""

    def __init__(self, root: Path, changed: Callable[[Path], None]) -> None:
        self._root = root
        self._changed = changed
        self._seen = self._times()
        self._next = time.monotonic() + EVERY

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        times = self._times()
        different = [path for path in times.keys() | self._seen.keys() if times.get(path) != self._seen.get(path)]
        self._seen = times
        if different:
            self._changed(min(different))

    def _times(self) -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for folder in FOLDERS
            for path in (self._root / folder).rglob("*")
            if path.suffix in SUFFIXES and path.is_file()
        }
