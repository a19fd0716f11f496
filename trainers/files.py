"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed.

And what is raised where a zip is not.
"""

import json
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What a damaged, encrypted or exotic zip makes of itself.
BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, RuntimeError, OSError,
)  # fmt: skip
_DRAFT = ".tmp"  # who copies checkpoints leaves these out
_REPLACED = ".old"  # a generation whose number is written once more, until the new one is in its place


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
    sync(path.parent)


def write_generation(folder: Path, number: int, write: Callable[[Path], None]) -> None:
    """Make `<folder>/<number>/`, filled by `write(its path)`; older ones go once it is safe on the disk.

    At every moment there is a whole one, if there was one before. Raises OSError; what was there is then still there.
    """
    final = folder / f"{number:012d}"
    draft, replaced = final.with_suffix(_DRAFT), final.with_suffix(_REPLACED)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    for path in draft.iterdir():
        sync(path)
    sync(draft)
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    draft.rename(final)
    sync(folder)
    for other in folder.iterdir():
        if other.is_dir() and other != final and other.stem.isdigit():
            shutil.rmtree(other, ignore_errors=True)


def newest_generation(folder: Path) -> Path | None:
    """The folder that `write_generation` made last; None where there is none."""
    if not folder.is_dir():
        return None
    found = [path for path in folder.iterdir() if path.is_dir() and path.name.removesuffix(_REPLACED).isdigit()]
    return max(found, key=lambda path: (path.stem, not path.suffix), default=None)


def shown(name: str) -> str:
    """A file's name as it can be told and written: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def sync(path: Path) -> None:
    """Flush a file, or a folder's own entries: a rename is lost with the power otherwise. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
