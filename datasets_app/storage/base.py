"""What every storage can do. A key is a relative POSIX path (`models/model_1f…/model.json`) of our own making."""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from automl_site.errors import StorageError, TooLarge

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024

_is_retried: ContextVar[bool] = ContextVar("storage_is_retried", default=False)


@dataclass(frozen=True)
class Stored:
    """What was written: its size in bytes and the SHA-256 of its content, in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class StagedFolder:
    """A folder that was copied into the storage but is not there yet.

    `publish` may be called again after it has succeeded: the second time changes nothing. `discard` removes what was
    not published, and must be called at last.
    """

    publish: Callable[[], None]
    discard: Callable[[], None]


class Storage(ABC):
    """Files and folders by key. Every method raises StorageError where the storage did not do its part."""

    @abstractmethod
    def put_file(self, key: str, source: Path) -> None:
        """Store a copy of `source`. Whole or not at all; replaces what lay there."""

    @abstractmethod
    def local_path(self, key: str) -> Path:
        """A local file with the content of `key`, to be read only. Raises FileNotFoundError."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Is there a file at `key`?"""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the file at `key`; nothing happens if there is none."""

    @abstractmethod
    def stage_folder(self, key: str, source: Path) -> "StagedFolder":
        """Copy a folder's regular files, at any depth, to where `publish` makes them the folder at `key` in an instant.

        Raises ValueError for links and special files.
        """

    def put_folder(self, key: str, source: Path) -> None:
        """`stage_folder` and `publish` in one. Readers see the folder as it was before, or whole."""
        staged = self.stage_folder(key, source)
        try:
            staged.publish()
        finally:
            staged.discard()

    @abstractmethod
    def local_folder(self, key: str) -> Path:
        """A local folder with the content of the folder at `key`, to be read only. Raises FileNotFoundError."""

    @abstractmethod
    def folder_files(self, key: str) -> list[str]:
        """The relative paths of the files of the folder at `key`, sorted; empty if there is no such folder."""

    @abstractmethod
    def delete_folder(self, key: str) -> None:
        """Remove the folder at `key`, and what was staged for it by a process that was killed, if there is any."""

    @abstractmethod
    def download_url(self, key: str, filename: str) -> str | None:
        """An address good for some minutes that gives the file under the name `filename`; None: serve it yourself."""

    def open(self, key: str) -> BinaryIO:
        """The file at `key`, for reading. Raises FileNotFoundError."""
        return self.local_path(key).open("rb")


def checked_key(key: str) -> str:
    """`key`, if it is a plain relative path. Keys are of our own making: a bad one is a bug (ValueError)."""
    path = PurePosixPath(key)
    if not key or "\0" in key or path.is_absolute() or ".." in path.parts or str(path) != key:
        raise ValueError(f"not a storage key: {key!r}")
    return key


def regular_files(folder: Path) -> list[Path]:
    """All files of a folder, sorted, relative to it. Raises ValueError (links, special files), NotADirectoryError."""
    if not folder.is_dir():
        raise NotADirectoryError(str(folder))
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path.relative_to(folder)} is neither a regular file nor a folder")
        if path.is_file():
            found.append(path.relative_to(folder))
    return sorted(found)


def copy_stream(source: BinaryIO, target: BinaryIO, *, max_bytes: int | None = None) -> Stored:
    """Copy in chunks, hashing on the way. Raises TooLarge once more than `max_bytes` have come."""
    digest = hashlib.sha256()
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if max_bytes is not None and size > max_bytes:
            raise TooLarge(
                f"The file is larger than the {max_bytes:,} bytes allowed (at least {size:,} bytes were sent).",
                details={"max_bytes": max_bytes, "size_bytes": size},
            )
        digest.update(chunk)
        target.write(chunk)
    return Stored(size=size, sha256=digest.hexdigest())


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn the disk's refusals (full, read-only, no permission) into StorageError; `doing` is for the log."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        log_failure(doing, error)
        raise StorageError from error


def log_failure(doing: str, error: Exception) -> None:
    """Tell the operator what the storage did not do, and why: with the traceback, or within `retried` in one line."""
    if _is_retried.get():
        logger.warning("storage: %s: %s: %s", doing, type(error).__name__, str(error).strip().partition("\n")[0])
    else:
        logger.error("storage: %s", doing, exc_info=error)


@contextmanager
def retried() -> Iterator[None]:
    """For who tries again what fails inside, and logs the last StorageError with its traceback when giving up."""
    token = _is_retried.set(True)
    try:
        yield
    finally:
        _is_retried.reset(token)
