"""What is done on a project's page: acts on chosen runs, each with its undo, and views that are saved."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from automl_site.errors import DomainError, InvalidSpec
from tracking.models import Project, Run
from tracking.run_table_views import UNDO, visible_project
from tracking.services import run_bulk
from tracking.services.saved_views import saved_view_delete, saved_view_save
from tracking.services.trash import project_empty_trash
from tracking.table_state import read_state

MAX_ADDRESS = 10_000


@login_required
@require_POST
def bulk(request: HttpRequest, project_id: int) -> HttpResponse:
    """One act on the chosen runs (`run`, several): compare, or one of _ACTS."""
    here = visible_project(request, project_id)
    runs = [int(key) for key in request.POST.getlist("run") if key.isascii() and key.isdecimal() and len(key) < 19]
    runs = list(
        Run.objects.visible_to(request.user)
        .filter(project=here, pk__in=runs[: run_bulk.MAX_RUNS + 1])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    if not runs:
        messages.warning(request, "Choose runs first: tick the box at the left of each.")
        return _back(request, here)
    action, tag = request.POST.get("action", ""), request.POST.get("tag", "")
    if action == "compare":
        return redirect(f"{reverse('run-compare')}?runs={','.join(map(str, runs))}")
    undone = _act(request, action, runs, tag)
    if undone is not None:
        request.session[UNDO] = {"project": here.pk, **undone}
        return _back(request, here, undo=True)
    return _back(request, here)


# What each act is called once it is done, and what takes it back.
_ACTS: dict[str, tuple[Any, str, str]] = {
    "archive": (lambda user, runs, tag: run_bulk.runs_archive(user=user, run_ids=runs), "archived", "unarchive"),
    "unarchive": (
        lambda user, runs, tag: run_bulk.runs_archive(user=user, run_ids=runs, archived=False),
        "taken out of the archive",
        "archive",
    ),
    "tag": (lambda user, runs, tag: run_bulk.runs_tag(user=user, run_ids=runs, tag=tag), "tagged", "untag"),
    "untag": (lambda user, runs, tag: run_bulk.runs_untag(user=user, run_ids=runs, tag=tag), "untagged", "tag"),
    "trash": (lambda user, runs, tag: run_bulk.runs_trash(user=user, run_ids=runs), "in the trash", "restore"),
    "restore": (lambda user, runs, tag: run_bulk.runs_restore(user=user, run_ids=runs), "restored", "trash"),
    "delete": (lambda user, runs, tag: run_bulk.runs_delete_forever(user=user, run_ids=runs), "deleted for good", ""),
}


def _act(request: HttpRequest, action: str, runs: list[int], tag: str) -> dict[str, Any] | None:
    """Do it, say why some runs were refused, and return what the page offers to take back."""
    if action not in _ACTS:
        messages.error(request, "There is no such act.")
        return None
    act, done, inverse = _ACTS[action]
    try:
        outcome = act(request.user, runs, tag)
    except InvalidSpec as error:
        messages.error(request, error.first_sentence())
        return None
    for sentence in outcome.refused:
        messages.error(request, sentence)
    count = len(outcome.changed)
    if not count:
        if not outcome.refused:
            messages.info(request, "Nothing had to change.")
        return None
    sentence = f"{count} run{'s are' if count > 1 else ' is'} {done}."
    if not inverse:
        messages.success(request, sentence)
        return None
    return {"action": inverse, "runs": outcome.changed, "tag": tag.strip(), "sentence": sentence}


def _table_address(request: HttpRequest) -> QueryDict:
    """The query of the table's address that came with a form."""
    return QueryDict(request.POST.get("next", "")[:MAX_ADDRESS].encode("ascii", errors="ignore"))


def _back(request: HttpRequest, here: Project, *, undo: bool = False) -> HttpResponse:
    """To the table as it was, whose address came with the form."""
    given = _table_address(request)
    address = read_state(given).address(page=given.get("page"), undo="1" if undo else None)
    return redirect(f"{reverse('project', args=[here.pk])}{'?' if address else ''}{address}")


@login_required
@require_POST
def empty_trash(request: HttpRequest, project_id: int) -> HttpResponse:
    here = visible_project(request, project_id)
    try:
        count = project_empty_trash(user=request.user, project_id=here.pk)
        messages.success(request, f"{count} run{'' if count == 1 else 's'} deleted for good.")
    except DomainError as error:
        messages.error(request, error.message)
    return redirect(f"{reverse('project', args=[here.pk])}?trash=1")


# --- Saved views ----------------------------------------------------------------------------------------------------


@login_required
@require_POST
def save_view(request: HttpRequest, project_id: int) -> HttpResponse:
    here = visible_project(request, project_id)
    address = read_state(_table_address(request)).address()
    try:
        view = saved_view_save(
            user=request.user,
            project=here,
            name=request.POST.get("name", ""),
            address=address,
            is_shared=request.POST.get("shared") == "1",
        )
        messages.success(request, f"The view “{view.name}” is saved.")
    except InvalidSpec as error:
        messages.error(request, error.first_sentence())
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, here)


@login_required
@require_POST
def delete_view(request: HttpRequest, project_id: int, view_id: int) -> HttpResponse:
    here = visible_project(request, project_id)
    try:
        view = saved_view_delete(user=request.user, project=here, view_id=view_id)
        messages.success(request, f"The view “{view.name}” is deleted.")
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, here)
