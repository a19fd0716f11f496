"""Files on their way in: written, hashed and looked at before the storage or the database knows of them."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from datasets_app.storage.base import copy_stream, disk_errors

ABANDONED_SECONDS = 24 * 3600.0  # a process that was killed leaves its file; the next upload after this clears it


@dataclass(frozen=True)
class StagedFile:
    """A whole file, flushed to the disk. `size` is in bytes, `sha256` in hex."""

    path: Path
    size: int
    sha256: str


@contextmanager
def staged(source: BinaryIO, *, max_bytes: int) -> Iterator[StagedFile]:
    """Copy a stream into a file of our own, which is gone when the block ends. Raises TooLarge, StorageError.

    The folder lies beside the data root, so that the embedded storage takes the file over without a copy.
    """
    folder = Path(settings.DATA_DIR) / "staging"
    path = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with disk_errors("staging an upload"):
            folder.mkdir(parents=True, exist_ok=True)
            _clear_abandoned(folder)
            with path.open("xb") as target:
                stored = copy_stream(source, target, max_bytes=max_bytes)
                target.flush()
                os.fsync(target.fileno())
        yield StagedFile(path=path, size=stored.size, sha256=stored.sha256)
    finally:
        path.unlink(missing_ok=True)


def _clear_abandoned(folder: Path) -> None:
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:  # cleared by another upload
            continue
