"""Files of runs: a file's page with its preview, folders as zips, the way into the trash and back.

The list of them is a tab of the run's page (`tracking.run_files`).
"""

from datetime import datetime
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST, require_safe

from automl_site.errors import DomainError, NotFound, StorageError
from jobs.downloads import inline, zipped
from jobs.selectors.archives import blob_entry
from jobs.selectors.previews import Preview, media_type, preview_of
from jobs.services.artifact_trash import artifact_purge, artifact_restore, artifact_trash
from tracking.artifact_kinds import kind_label
from tracking.models import Artifact, Run
from tracking.run_files import UNDO, parents
from tracking.run_snippets import download_as_curl
from tracking.run_views import visible_run
from tracking.selectors.artifacts import artifact_get, artifact_list, artifact_versions
from tracking.selectors.run_page import may_change

MAX_VERSIONS = 100  # that a page shows; the API gives any
MAX_ADDRESS = 2000


@login_required
@require_GET
def file_page(request: HttpRequest, run_id: int, path: str) -> HttpResponse:
    """The file, or its version `?version=`, with what can be shown of it."""
    run = visible_run(request, run_id)
    shown = _file(request, run, path)
    try:
        preview = preview_of(shown)
    except StorageError as error:
        preview = Preview("none", error.message)
    versions = list(artifact_versions(run=run, path=shown.path)[: MAX_VERSIONS + 1])
    context = {
        "run": run,
        "file": shown,
        "name": shown.path.rpartition("/")[2],
        "kind": kind_label(shown.path),
        "parents": parents(shown.path),
        "preview": preview,
        "versions": versions[:MAX_VERSIONS],
        "has_more_versions": len(versions) > MAX_VERSIONS,
        "may_change": may_change(user=request.user, run=run),
        "curl": download_as_curl(shown, request.build_absolute_uri("/")),
    }
    return render(request, "runs/file_detail.html", context)


@login_required
@require_safe
def raw(request: HttpRequest, run_id: int, path: str) -> HttpResponseBase:
    """The bytes of an image, sound or film for the file's page. Raises NotFound for anything that could run."""
    file = _file(request, visible_run(request, run_id), path)
    content_type = media_type(file)
    if not content_type:
        raise NotFound("This file is not shown in the browser.")
    return inline(request, file, content_type)


@login_required
@require_GET
def archive(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """The files of `?folder=a/b/` (all of them without one) as a zip, by their paths in that folder."""
    run = visible_run(request, run_id)
    folder = request.GET.get("folder", "").strip("/")
    folder = f"{folder}/" if folder else ""
    entries = [blob_entry(file.path[len(folder) :], file) for file in artifact_list(run=run, prefix=folder)]
    return zipped(request, entries, f"run-{run.pk}-files.zip")


def _file(request: HttpRequest, run: Run, path: str) -> Artifact:
    version = request.GET.get("version", "")
    if version and not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise NotFound("The run has no such file.")
    return artifact_get(run=run, path=path, version=int(version) if version else None)


# --- The trash --------------------------------------------------------------------------------------------------------


@login_required
@require_POST
def trash(request: HttpRequest, run_id: int) -> HttpResponse:
    """Put the file or folder `path` into the trash; the page offers to take that back."""
    run = visible_run(request, run_id)
    path = request.POST.get("path", "")
    try:
        if not path:
            raise NotFound("The run has no such file.")
        moment = artifact_trash(user=request.user, run_id=run.pk, path=path)
    except DomainError as error:
        messages.error(request, error.message)
        return _back(request, run)
    request.session[UNDO] = {"run": run.pk, "path": path, "at": moment.isoformat()}
    return _back(request, run, undo="1")


@login_required
@require_POST
def restore(request: HttpRequest, run_id: int) -> HttpResponse:
    """Take `path` out of the trash: what was put there at `at`, or whenever."""
    run = visible_run(request, run_id)
    at = request.POST.get("at", "")
    try:
        count = artifact_restore(
            user=request.user,
            run_id=run.pk,
            path=request.POST.get("path", ""),
            deleted_at=datetime.fromisoformat(at) if at else None,
        )
        messages.success(request, f"{count:,} file{'' if count == 1 else 's'} restored.")
    except (ValueError, OverflowError):  # `at` is not of our making
        messages.error(request, "The run has no such file.")
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, run)


@login_required
@require_POST
def purge(request: HttpRequest, run_id: int) -> HttpResponse:
    """Remove `path` from the trash for good; all that lies there without one."""
    run = visible_run(request, run_id)
    try:
        artifact_purge(user=request.user, run_id=run.pk, path=request.POST.get("path", ""), only_trashed=True)
        messages.success(request, "Deleted for good.")
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, run, trash="1")


def _back(request: HttpRequest, run: Run, **changes: str) -> HttpResponse:
    """To the folder, search and page that the form came from."""
    query = {"tab": "files"}
    for name in ("folder", "q", "sort", "page", "trash"):
        if value := request.POST.get(f"in_{name}", "")[:MAX_ADDRESS]:
            query[name] = value
    return redirect(f"{reverse('run-detail', args=[run.pk])}?{urlencode(query | changes)}")
