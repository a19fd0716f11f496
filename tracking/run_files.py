"""The Files tab of a run's page: a folder, what a search finds below it, or the trash. Files are opened by `jobs`."""

from typing import Any

from django.http import HttpRequest

from tracking import run_snippets
from tracking.models import Artifact, Run
from tracking.selectors.artifacts import SORTS, folder_get, trashed_files

UNDO = "files-undo"  # in the session: what was put into the trash last (`jobs.views.run_files`)
MAX_QUERY = 200  # characters


def files_tab(request: HttpRequest, run: Run, base: str) -> dict[str, Any]:
    """`?folder=a/b/&q=…&sort=-size&page=2`, or `?trash=1`."""
    trash_count = Artifact.objects.trashed().filter(run=run).values("path").distinct().count()
    context: dict[str, Any] = {
        "files_trash": request.GET.get("trash") == "1",
        "files_undo": _undo(request, run),
        "files_trash_count": trash_count,
        "upload_curl": run_snippets.upload_as_curl(run, base),
        "upload_python": run_snippets.upload_as_python(run, base, request.user.get_username()),
    }
    if context["files_trash"]:
        return context | {"page_obj": trashed_files(run=run, number=request.GET.get("page"))}
    folder = request.GET.get("folder", "").strip("/")
    folder = f"{folder}/" if folder else ""
    query = request.GET.get("q", "").strip()[:MAX_QUERY]
    sort = request.GET.get("sort", "name")
    sort = sort if sort.removeprefix("-") in SORTS else "name"
    found = folder_get(run=run, folder=folder, query=query, sort=sort, number=request.GET.get("page"))
    return context | {
        "folder": folder,
        "folder_name": folder.removesuffix("/").rpartition("/")[2],
        "folder_parents": parents(folder),
        "files_query": query,
        "files_sort": sort,
        "folder_files": found.files,
        "folder_size": found.size,
        "page_obj": found.page,
    }


def parents(path: str) -> list[dict[str, str]]:
    """The folders on the way to a file or folder, the outermost first: {"name", "path"}."""
    names = path.removesuffix("/").split("/")[:-1] if path else []
    return [{"name": name, "path": "/".join(names[: at + 1]) + "/"} for at, name in enumerate(names)]


def _undo(request: HttpRequest, run: Run) -> dict[str, Any] | None:
    """What was put into the trash last, while the address offers to take it back."""
    undo = request.session.get(UNDO) if request.GET.get("undo") == "1" else None
    return undo if undo and undo.get("run") == run.pk else None
