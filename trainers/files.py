"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

import json
import os
from pathlib import Path
from typing import Any


def write_json_atomically(path: Path, value: Any) -> None:
    """Write JSON (no NaN or infinities: readers in other languages refuse them). Raises ValueError, OSError."""
    write_bytes_atomically(path, json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """After this returns, `path` holds all of `content`, also after a power loss. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the folder's own entries: a rename is lost with the power otherwise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
