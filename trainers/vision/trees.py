"""Files below a folder or in a zip, read where they lie: nothing is unpacked, and no name leads out."""

import os
import struct
import zipfile
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from trainers.files import BROKEN_ZIP, shown
from trainers.protocol import DataProblem

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_FILES = 5_000_000
MAX_DIRECTORY_BYTES = 512 * 1024 * 1024  # a zip's list of its files, which lies in memory some times over
_END, _END_64, _LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LONGEST_END = 22 + 65_535  # the record and its comment


class Folder:
    """The files below a folder, by their paths in it. Links that lead out of it are no part of it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._names: dict[str, str] = {}  # of a file that is told by another one

    def list(self) -> list[str]:
        """All names, sorted within each folder; hidden ones are left out. Raises DataProblem: too many."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            inside = Path(folder).relative_to(self.root).as_posix()
            found += [f"{inside}/{name}" if inside != "." else name for name in sorted(files) if name[0] != "."]
            if len(found) > MAX_FILES:
                raise DataProblem(f"There are more than {MAX_FILES:,} files; give fewer.")
        told = [shown(name) for name in found]
        self._names = {each: name for each, name in zip(told, found, strict=True) if each != name}
        return told

    def local(self, name: str) -> Path:
        """Raises FileNotFoundError, also for what lies elsewhere."""
        try:
            path = (self.root / self._names.get(name, name)).resolve()
        except (ValueError, RuntimeError, OSError) as error:  # a NUL, a circle of links, a name that is too long
            raise FileNotFoundError(name) from error
        if not path.is_relative_to(self.root):
            raise FileNotFoundError(name)
        return path

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Raises OSError, also where it is longer than `limit` (an image's, if none is given)."""
        with self.local(name).open("rb") as file:
            return bounded(file, name, limit or MAX_IMAGE_BYTES)


class Archive:
    """The files in a zip: their names are names only, and no file grows beyond its limit."""

    def __init__(self, path: Path, *, max_directory_bytes: int | None = None) -> None:
        """Raises DataProblem: it is no whole zip, or holds too many files."""
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None
        self._infos: dict[str, zipfile.ZipInfo] = {}
        if _directory_bytes(path) > (max_directory_bytes or MAX_DIRECTORY_BYTES):
            raise DataProblem(f'There are too many files in "{path.name}"; give fewer.')
        for info in self._zip().infolist():
            name = PurePosixPath(info.filename.replace("\\", "/"))
            hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
            if not info.is_dir() and not hidden and not name.is_absolute():
                self._infos[name.as_posix()] = info
        if len(self._infos) > MAX_FILES:
            raise DataProblem(f'There are more than {MAX_FILES:,} files in "{path.name}"; give fewer.')

    def list(self) -> list[str]:
        """All names, sorted; hidden ones and such as lead out of the archive are left out."""
        return sorted(self._infos)

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Raises OSError, also where it is longer than `limit` (an image's, if none is given)."""
        with self.open(name) as file:
            try:
                return bounded(file, name, limit or MAX_IMAGE_BYTES)
            except BROKEN_ZIP as error:
                raise OSError(f"{name}: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        """Raises OSError."""
        info = self._infos.get(PurePosixPath(name).as_posix())
        if info is None:
            raise FileNotFoundError(name)
        try:
            return self._zip().open(info)
        except BROKEN_ZIP as error:
            raise OSError(f"{name}: {error}") from error

    def _zip(self) -> zipfile.ZipFile:
        # One a process: forked ones would move each other's place in the file.
        if self._open is None or self._open[0] != os.getpid():
            try:
                self._open = os.getpid(), zipfile.ZipFile(self.path)
            except BROKEN_ZIP as error:
                raise DataProblem(f'"{self.path.name}" is no whole zip file: {error}') from error
        return self._open[1]


Tree = Folder | Archive


def bounded(file: IO[bytes] | BufferedIOBase, name: str, limit: int) -> bytes:
    """All that is in the file. Raises OSError: it is longer than `limit`."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"{name} is longer than {limit} bytes")
    return content


def _directory_bytes(path: Path) -> int:
    """How long a zip says that its list of files is (0: it does not say, and is none)."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _LONGEST_END - 20, 0))
        tail = file.read()
        end = tail.rfind(_END)
        if end < 0 or len(tail) < end + 22:
            return 0
        (length,) = struct.unpack_from("<I", tail, end + 12)
        if length != 0xFFFFFFFF or end < 20 or tail[end - 20 : end - 16] != _LOCATOR_64:
            return int(length)
        (place,) = struct.unpack_from("<Q", tail, end - 12)
        file.seek(min(place, size))
        record = file.read(56)
        return int(struct.unpack_from("<Q", record, 40)[0]) if record.startswith(_END_64) and len(record) == 56 else 0
