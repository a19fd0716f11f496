"""The embedded storage: folders under the data root."""

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from datasets_app.storage.base import StagedFolder, Storage, checked_key, disk_errors, regular_files

_SHOWN_NAME = 40  # characters of a name that its drafts are named by


class FolderStorage(Storage):
    """A key is a path below `root`. Files are written beside their place, flushed to the disk, then renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def put_file(self, key: str, source: Path) -> None:
        target = self._path(key)
        with disk_errors(f"putting {key}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = _draft_of(target)
            try:
                try:
                    os.link(source, draft)  # on one file system: no second copy
                except OSError:
                    shutil.copyfile(source, draft)
                _sync(draft)
                draft.replace(target)
                _sync(target.parent)
            finally:
                draft.unlink(missing_ok=True)

    def local_path(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return path

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        with disk_errors(f"deleting {key}"):
            path = self._path(key)
            path.unlink(missing_ok=True)
            if path.parent != self.root:
                with suppress(OSError):  # others lie in it
                    path.parent.rmdir()

    def stage_folder(self, key: str, source: Path) -> StagedFolder:
        target = self._path(key)
        files = regular_files(source)
        draft, old = _draft_of(target), _draft_of(target)

        def discard() -> None:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

        def publish() -> None:
            with disk_errors(f"publishing folder {key}"):
                if not draft.exists() and target.exists():
                    return
                if target.exists():
                    target.rename(old)  # a folder cannot be renamed over one that holds files
                draft.rename(target)
                _sync(target.parent)

        with disk_errors(f"staging folder {key}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.mkdir()
                for file in files:
                    (draft / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / file, draft / file)
                    _sync(draft / file)
            except BaseException:
                discard()
                raise
        return StagedFolder(publish=publish, discard=discard)

    def local_folder(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_dir():
            raise FileNotFoundError(key)
        return path

    def folder_files(self, key: str) -> list[str]:
        path = self._path(key)
        return [file.as_posix() for file in regular_files(path)] if path.is_dir() else []

    def delete_folder(self, key: str) -> None:
        path = self._path(key)
        with disk_errors(f"deleting folder {key}"):
            if path.is_dir():
                # Renamed first, so that nobody finds half of it.
                doomed = _draft_of(path)
                path.rename(doomed)
                shutil.rmtree(doomed)
            for draft in _drafts_of(path):  # of a process that was killed while it staged
                shutil.rmtree(draft, ignore_errors=True)

    def download_url(self, key: str, filename: str) -> str | None:
        return None


def _draft_of(target: Path) -> Path:
    return target.with_name(f".{target.name[:_SHOWN_NAME]}.{secrets.token_hex(6)}")


def _drafts_of(target: Path) -> list[Path]:
    """Every draft that `_draft_of` has named; none of a name that it cut short, which may be another's too."""
    if len(target.name) > _SHOWN_NAME or not target.parent.is_dir():
        return []
    named = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}")
    return [each for each in target.parent.iterdir() if named.fullmatch(each.name)]


def _sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
