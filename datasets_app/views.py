"""The data sets' list and a data set's page."""

import csv
import json
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_POST

from automl_site.errors import DatasetError, DomainError, NotFound, StorageError
from automl_site.streaming import FilePieces, streamed
from datasets_app import snippets
from datasets_app.models import Dataset
from datasets_app.paths import of_dataset
from datasets_app.selectors import columns, dataset_get, dataset_get_trashed, dataset_list, preview
from datasets_app.services import dataset_purge, dataset_restore, dataset_trash
from datasets_app.storage import get_storage

PREVIEW_ROWS = 10
# A table of more columns than this is no help; the rest is in the CSV.
COLUMNS_SHOWN = 200
PREVIEW_COLUMNS = 40
CONTENT_TYPES = {
    Dataset.Format.CSV: "text/csv",
    Dataset.Format.JSON: "application/json",
    Dataset.Format.JSONL: "application/x-ndjson",
    Dataset.Format.PARQUET: "application/vnd.apache.parquet",
    Dataset.Format.TXT: "text/plain",
}


@login_required
@require_GET
def datasets(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "").strip()[:200]
    trashed = request.GET.get("trash") == "1"
    page = dataset_list(user=request.user, q=query, page=request.GET.get("page"), trashed=trashed)
    base = request.build_absolute_uri("/")
    context = {
        "page_obj": page,
        "q": query,
        "trashed": trashed,
        "undo": _just_trashed(request),
        "has_any": bool(page.paginator.count) or bool(query) or trashed,
        "curl": snippets.upload_as_curl(base),
        "python": snippets.upload_as_python(base),
    }
    return render(request, "datasets/dataset_list.html", context)


def _just_trashed(request: HttpRequest) -> Dataset | None:
    """The data set that the last request put into the trash, to be offered back."""
    try:
        return dataset_get_trashed(user=request.user, public_id=request.GET.get("undo", ""))
    except NotFound:
        return None


@login_required
@require_GET
def dataset(request: HttpRequest, dataset_id: str) -> HttpResponse:
    shown = dataset_get(user=request.user, public_id=dataset_id)
    samples: list[dict[str, Any]] = []
    problem = ""
    try:
        samples = preview(dataset=shown, limit=PREVIEW_ROWS)
    except (DatasetError, StorageError) as error:
        problem = error.message
    names = shown.columns[:PREVIEW_COLUMNS]
    base = request.build_absolute_uri("/")
    context = {
        "dataset": shown,
        "columns": [
            {**column, "share": column["missing"] / shown.rows} for column in columns(dataset=shown)[:COLUMNS_SHOWN]
        ],
        "columns_left_out": max(len(shown.columns) - COLUMNS_SHOWN, 0),
        "preview_names": names,
        "preview_left_out": max(len(shown.columns) - PREVIEW_COLUMNS, 0),
        "preview_rows": [[_shown(row[name]) for name in names] for row in samples],
        "preview_problem": problem,
        "curl": snippets.preview_as_curl(shown, base),
        "python": snippets.preview_as_python(shown, base),
    }
    return render(request, "datasets/dataset_detail.html", context)


def _shown(value: Any) -> str | None:
    """A value as JSON writes it: true, not True. None: missing."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@login_required
@require_GET
def columns_json(request: HttpRequest, dataset_id: str) -> HttpResponse:
    """The columns, for forms that let one choose among them; the last one is the likely target."""
    shown = dataset_get(user=request.user, public_id=dataset_id)
    names = ("name", "kind", "missing", "distinct", "examples")
    found = [{name: column[name] for name in names} for column in columns(dataset=shown)]
    return JsonResponse({"columns": found, "suggested_target": shown.columns[-1]})


@login_required
@require_GET
def columns_csv(request: HttpRequest, dataset_id: str) -> HttpResponse:
    shown = dataset_get(user=request.user, public_id=dataset_id)
    names = ("name", "kind", "dtype", "missing", "distinct")
    rows = [[column[name] for name in names] for column in columns(dataset=shown)]
    return _csv(names, rows, filename=f"{shown.public_id}-columns.csv")


@login_required
@require_GET
def export(request: HttpRequest) -> HttpResponse:
    """The page of the list that is shown, as CSV."""
    page = dataset_list(user=request.user, q=request.GET.get("q", ""), page=request.GET.get("page"))
    names = ("public_id", "filename", "format", "rows", "size_bytes", "created_at")
    return _csv(names, [[getattr(row, name) for name in names] for row in page], filename="datasets.csv")


@login_required
@require_GET
def download(request: HttpRequest, dataset_id: str) -> HttpResponseBase:
    """The file as it was uploaded, under its own name."""
    shown = dataset_get(user=request.user, public_id=dataset_id)
    address = get_storage().download_url(shown.blob.key, shown.filename)
    if address is not None:
        return HttpResponse(status=302, headers={"Location": address})
    file = of_dataset(shown).local().open("rb")
    headers = {
        "Content-Type": CONTENT_TYPES.get(Dataset.Format(shown.format), "application/octet-stream"),
        "Content-Disposition": content_disposition_header(True, shown.filename) or "attachment",
        "Content-Length": str(shown.size_bytes),
    }
    return streamed(request, FilePieces(file), headers=headers)


@login_required
@require_POST
def trash(request: HttpRequest, dataset_id: str) -> HttpResponse:
    shown = dataset_get(user=request.user, public_id=dataset_id)
    try:
        dataset_trash(user=request.user, dataset=shown)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("dataset", dataset_id=shown.public_id)
    return redirect(f"{reverse('datasets')}?undo={shown.public_id}")


@login_required
@require_POST
def restore(request: HttpRequest, dataset_id: str) -> HttpResponse:
    shown = dataset_get_trashed(user=request.user, public_id=dataset_id)
    try:
        dataset_restore(user=request.user, dataset=shown)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("datasets")
    messages.success(request, f"{shown.filename} is back.")
    return redirect("dataset", dataset_id=shown.public_id)


@login_required
@require_POST
def purge(request: HttpRequest, dataset_id: str) -> HttpResponse:
    shown = dataset_get_trashed(user=request.user, public_id=dataset_id)
    try:
        dataset_purge(user=request.user, dataset=shown)
        messages.success(request, f"{shown.filename} is deleted for good.")
    except DomainError as error:
        messages.error(request, error.message)
    return redirect(f"{reverse('datasets')}?trash=1")


def _csv(names: Iterable[str], rows: Iterable[Iterable[Any]], *, filename: str) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    writer = csv.writer(response)
    writer.writerow(names)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return response


def _csv_cell(value: Any) -> str:
    """A cell that a spreadsheet takes for a formula is told to be text."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
