"""Reads of the files of runs. The caller has checked who may see the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models.functions import Left

from automl_site.errors import NotFound
from tracking.artifact_kinds import kind_label

if TYPE_CHECKING:
    from tracking.models import Artifact, Run
    from tracking.querysets import ArtifactQuerySet

FILES_A_PAGE = 100
SORTS = ("name", "size", "time")


@dataclass
class FolderEntry:
    """A folder, or a file, of a folder that is shown. `path` of a folder ends with a slash.

    `size` in bytes and `files` are of all that lies in a folder; `time` is of the newest in it. The rest is of a file.
    """

    name: str
    path: str
    size: int = 0
    time: datetime | None = None
    files: int = 0
    version: int | None = None
    author: str = ""

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")

    @property
    def kind(self) -> str:
        return "Folder" if self.is_folder else kind_label(self.path)


@dataclass(frozen=True)
class Folder:
    """What lies in a folder: one page of its entries, folders first, and how much all of it is."""

    page: Page
    files: int
    size: int  # bytes


@dataclass(frozen=True)
class TrashedFile:
    """A file in the trash, with all its versions; `size` in bytes, of the last."""

    path: str
    versions: int
    size: int
    deleted_at: datetime


def artifact_list(*, run: "Run", prefix: str = "") -> "ArtifactQuerySet":
    """The latest versions of the run's files whose paths begin with `prefix`, by path, with their blobs."""
    from tracking.models import Artifact

    files = Artifact.objects.filter(run_id=run.pk, is_latest=True).select_related("blob").order_by("path")
    # Not `startswith`: for SQLite's LIKE, A and a are one.
    return files.alias(head=Left("path", len(prefix))).filter(head=prefix) if prefix else files


def artifact_get(*, run: "Run", path: str, version: int | None = None) -> "Artifact":
    """The file at `path`, the latest version or that one, with its blob. Raises NotFound."""
    from tracking.models import Artifact

    files = Artifact.objects.live().filter(run_id=run.pk, path=path).select_related("blob", "created_by")
    file = files.filter(is_latest=True).first() if version is None else files.filter(version=version).first()
    if file is None:
        raise NotFound("The run has no such file.")
    return file


def artifact_versions(*, run: "Run", path: str) -> "ArtifactQuerySet":
    """All versions of the file, newest first, with their blobs."""
    from tracking.models import Artifact

    files = Artifact.objects.live().filter(run_id=run.pk, path=path)
    return files.select_related("blob", "created_by").order_by("-version")


def folder_get(*, run: "Run", folder: str = "", query: str = "", sort: str = "name", number: Any = 1) -> Folder:
    """What lies in `folder` ("" or ending with a slash); with `query`, the files below it whose paths hold that text.

    `sort`: one of SORTS, with "-" before it the other way round. A run has few enough files to look at all of them.
    """
    from tracking.models import Artifact

    rows = Artifact.objects.filter(run_id=run.pk, is_latest=True).at(folder)
    columns = ("path", "blob__size_bytes", "created_at", "version", "created_by__username")
    entries: dict[str, FolderEntry] = {}
    count = total = 0
    wanted = query.casefold()
    for path, size, time, version, author in rows.values_list(*columns).order_by("path"):
        rest = path[len(folder) :]
        if wanted and wanted not in rest.casefold():
            continue
        count, total = count + 1, total + size
        head, slash, _ = ("", "", "") if wanted else rest.partition("/")
        if not slash:
            entries[path] = FolderEntry(rest, path, size, time, 1, version, author or "")
            continue
        inside = entries.setdefault(f"{folder}{head}/", FolderEntry(head, f"{folder}{head}/"))
        inside.files, inside.size = inside.files + 1, inside.size + size
        inside.time = time if inside.time is None else max(inside.time, time)
    return Folder(Paginator(_sorted(list(entries.values()), sort), FILES_A_PAGE).get_page(number), count, total)


def _sorted(entries: list[FolderEntry], sort: str) -> Sequence[FolderEntry]:
    keys: dict[str, Callable[[FolderEntry], Any]] = {
        "name": lambda entry: (entry.name.casefold(), entry.name),
        "size": lambda entry: entry.size,
        "time": lambda entry: entry.time,
    }
    key = keys.get(sort.removeprefix("-"), keys["name"])
    entries.sort(key=keys["name"])
    entries.sort(key=key, reverse=sort.startswith("-"))
    entries.sort(key=lambda entry: not entry.is_folder)
    return entries


def trashed_files(*, run: "Run", number: Any = 1) -> Page:
    """A page of the run's TrashedFiles, last deleted first."""
    from tracking.models import Artifact

    trashed = Artifact.objects.trashed().filter(run_id=run.pk).order_by("path", "version")
    rows: Any = trashed.values_list("path", "blob__size_bytes", "deleted_at")
    found: dict[str, TrashedFile] = {}
    for path, size, deleted_at in rows:
        before = found.get(path)
        versions = before.versions + 1 if before else 1
        found[path] = TrashedFile(path, versions, size, max(deleted_at, before.deleted_at) if before else deleted_at)
    newest_first = sorted(found.values(), key=lambda file: file.deleted_at, reverse=True)
    return Paginator(newest_first, FILES_A_PAGE).get_page(number)
