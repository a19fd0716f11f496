"""What is done on a run's page: name, tags and notes in place; archive and trash, each with its way back."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from automl_site.errors import DomainError, InvalidSpec
from tracking.models import Run
from tracking.run_views import run_page, visible_run
from tracking.selectors.run_page import trashed_run
from tracking.services.runs import run_update
from tracking.services.trash import run_restore, run_trash

MAX_ADDRESS = 10_000
FIELDS = ("name", "tags", "notes")


@login_required
@require_POST
def edit(request: HttpRequest, run_id: int) -> HttpResponse:
    """Set those of FIELDS that were sent. Tags are parted by commas. What is refused stands in its form again."""
    run = visible_run(request, run_id)
    typed = {field: request.POST[field] for field in FIELDS if field in request.POST}
    changes: dict[str, Any] = dict(typed)
    if "tags" in changes:
        changes["tags"] = [tag for tag in map(str.strip, changes["tags"].split(",")) if tag]
    if "notes" in changes:
        changes["notes"] = changes["notes"].replace("\r\n", "\n")  # as forms send it; programs write \n
    try:
        run_update(user=request.user, run_id=run.pk, changes=changes)
    except InvalidSpec as error:
        request.GET = _address(request)
        return run_page(request, run, status=422, errors=error.errors, typed=typed)
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, run)


@login_required
@require_POST
def archive(request: HttpRequest, run_id: int) -> HttpResponse:
    """`archived=1`, or 0 to take it back."""
    run = visible_run(request, run_id)
    try:
        run_update(user=request.user, run_id=run.pk, changes={"archived": request.POST.get("archived") == "1"})
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, run)


@login_required
@require_POST
def trash(request: HttpRequest, run_id: int) -> HttpResponse:
    run = visible_run(request, run_id)
    try:
        run_trash(user=request.user, run_id=run.pk)
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, run)


@login_required
@require_POST
def restore(request: HttpRequest, run_id: int) -> HttpResponse:
    run = trashed_run(user=request.user, run_id=run_id)
    try:
        run_restore(user=request.user, run_id=run.pk)
        messages.success(request, "The run is restored.")
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("project", project_id=run.project_id)
    return _back(request, run)


def _address(request: HttpRequest) -> QueryDict:
    """The query of the page's address, which came with the form."""
    text = request.POST.get("next", "")[:MAX_ADDRESS].removeprefix("?")
    return QueryDict(text.encode("ascii", errors="ignore"))


def _back(request: HttpRequest, run: Run) -> HttpResponse:
    """To the page as it was."""
    query = _address(request).urlencode()
    return redirect(f"{reverse('run-detail', args=[run.pk])}{'?' if query else ''}{query}")
