"""Local copies of objects of a remote storage, kept within a number of bytes, the least recently used dropped first."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from datasets_app.storage.base import disk_errors

# An entry touched within this many seconds may be about to be read: it stays, even in a cache over its bound.
IN_USE_SECONDS = 3600.0


class LocalCache:
    """Folders under `root`, one an entry, each made by `fill` and then never changed. Safe for many processes."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes

    def folder(self, *identity: str, fill: Callable[[Path], None]) -> Path:
        """The entry of this identity (bucket, key, version…). `fill(folder)` makes it where it is not there yet."""
        name = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:40]
        entry = self.root / name
        if self._touch(entry):
            return entry
        with disk_errors(f"filling cache entry {name}"):
            draft = self.root / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
            draft.mkdir(parents=True)
            try:
                fill(draft)
                try:
                    draft.rename(entry)
                except OSError:
                    if not entry.is_dir():
                        raise
                    # Another process filled it in the meantime: theirs is as good.
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            self._touch(entry)
            self.trim(keep=entry)
        return entry

    def trim(self, keep: Path | None = None) -> None:
        """Drop the entries unused for longest until the cache is within its bound."""
        entries = []
        for path in self.root.iterdir():
            try:
                used = path.stat().st_mtime
            except FileNotFoundError:
                continue
            entries.append((used, path, _bytes_under(path)))
        total = sum(size for _, _, size in entries)
        for used, path, size in sorted(entries, key=lambda entry: entry[0]):
            if total <= self.max_bytes or time.time() - used < IN_USE_SECONDS:
                return
            if path != keep:
                shutil.rmtree(path, ignore_errors=True)
                total -= size

    def _touch(self, entry: Path) -> bool:
        try:
            os.utime(entry)
        except FileNotFoundError:
            return False
        return True


def _bytes_under(folder: Path) -> int:
    """What the files of a folder take; another process may rename or drop it, or a part of it, meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # leaves out what it cannot list
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
