"""What all object storages share: reads go through a local cache, folders are there once their manifest is."""

import hashlib
import json
import logging
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_site.errors import StorageError
from datasets_app.storage.base import StagedFolder, Storage, checked_key, regular_files
from datasets_app.storage.cache import LocalCache

logger = logging.getLogger(__name__)

# Written last: a folder is there once it lists its files, so readers never see half of one.
MANIFEST = ".manifest.json"
URL_SECONDS = 600  # that a download's address is good


@dataclass(frozen=True)
class Version:
    """One state of an object: what identifies it (entity tag, generation) and its size in bytes."""

    tag: str
    size: int


class ObjectStorage(Storage):
    """Objects of one bucket. A key names one object; a folder is many and a manifest."""

    def __init__(self, *, bucket: str, prefix: str, cache: LocalCache) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.cache = cache

    @abstractmethod
    def version(self, key: str) -> Version | None:
        """The present state of the object; None if there is none."""

    @abstractmethod
    def download(self, key: str, version: Version, target: Path) -> None:
        """Fetch this very version into a new file. Raises StorageError if the object is another one by now."""

    @abstractmethod
    def put_bytes(self, key: str, content: bytes) -> None:
        """Store a small object."""

    @abstractmethod
    def delete_under(self, prefix: str) -> None:
        """Remove all objects whose keys begin with `prefix`."""

    def local_path(self, key: str) -> Path:
        version = self.version(key)
        if version is None:
            raise FileNotFoundError(key)
        name = checked_key(key).rsplit("/", 1)[-1]
        return self._cached(key, version, name) / name

    def exists(self, key: str) -> bool:
        return self.version(key) is not None

    def stage_folder(self, key: str, source: Path) -> StagedFolder:
        files = []
        for file in regular_files(source):
            path = source / file
            # Stored by content: a second put of the folder leaves alone what readers of the first are fetching.
            digest = _sha256(path)
            self.put_file(f"{key}/{digest}/{file.as_posix()}", path)
            files.append({"path": file.as_posix(), "size": path.stat().st_size, "sha256": digest})
        manifest = json.dumps({"files": files}).encode()
        # What was not published stays, without harm: it lies by content, and a later publication may name it.
        return StagedFolder(publish=lambda: self.put_bytes(f"{key}/{MANIFEST}", manifest), discard=lambda: None)

    def local_folder(self, key: str) -> Path:
        version = self.version(f"{key}/{MANIFEST}")
        if version is None:
            raise FileNotFoundError(key)

        def fill(draft: Path) -> None:
            for file in self._listed(key, version):
                self._download_checked(
                    f"{key}/{file['sha256']}/{file['path']}", file, draft / checked_key(file["path"])
                )

        return self.cache.folder(self.bucket, self.prefix, key, version.tag, fill=fill)

    def folder_files(self, key: str) -> list[str]:
        version = self.version(f"{key}/{MANIFEST}")
        return sorted(file["path"] for file in self._listed(key, version)) if version else []

    def delete_folder(self, key: str) -> None:
        self.delete(f"{key}/{MANIFEST}")  # first: nobody finds half a folder
        self.delete_under(f"{checked_key(key)}/")

    def _cached(self, key: str, version: Version, name: str) -> Path:
        def fill(draft: Path) -> None:
            self.download(key, version, draft / name)
            _check_size(key, draft / name, version.size)

        return self.cache.folder(self.bucket, self.prefix, key, version.tag, fill=fill)

    def _listed(self, key: str, version: Version) -> list[dict[str, Any]]:
        folder = self._cached(f"{key}/{MANIFEST}", version, MANIFEST)
        return json.loads((folder / MANIFEST).read_bytes())["files"]

    def _download_checked(self, key: str, listed: dict[str, Any], target: Path) -> None:
        version = self.version(key)
        if version is None:
            logger.error("storage: %s is missing, which the folder's manifest lists", key)
            raise StorageError
        target.parent.mkdir(parents=True, exist_ok=True)
        self.download(key, version, target)
        _check_size(key, target, listed["size"])
        if _sha256(target) != listed["sha256"]:
            logger.error("storage: %s has another content than the folder's manifest says", key)
            raise StorageError


def attachment(filename: str) -> str:
    """The Content-Disposition under which a browser saves the file; characters that a header cannot hold become "_"."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in filename)
    return f'attachment; filename="{plain}"'


def _check_size(key: str, path: Path, size: int) -> None:
    if path.stat().st_size != size:
        logger.error("storage: %s should have %s bytes, %s came", key, size, path.stat().st_size)
        raise StorageError


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
