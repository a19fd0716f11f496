"""A project's page: the runs table, its completion and its file. What is done to its runs: `run_act_views`."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from automl_site.errors import Forbidden, NotFound
from automl_site.streaming import streamed
from tracking import snippets
from tracking.download_links import project_downloads
from tracking.filters.completion import Known, complete
from tracking.filters.fields import RUN_FIELDS, STATISTICS, Field, Source, config_field, metric_field, run_field
from tracking.filters.suggestions import unknown_names
from tracking.filters.tokens import MAX_LENGTH
from tracking.models import Project, SavedView
from tracking.run_cells import exported, shown
from tracking.selectors.projects import project_get
from tracking.selectors.run_fields import known_fields
from tracking.selectors.run_groups import GROUPABLE, run_groups
from tracking.selectors.run_table import run_page, run_rows
from tracking.table_state import TableState, read_state

EXPORT_ROWS = 500  # written at once
UNDO = "runs-undo"  # in the session: what takes the last act on runs back (`run_act_views`)
COLUMN_STATISTICS = tuple(name for name in STATISTICS if name not in ("count", "nan_count"))


def visible_project(request: HttpRequest, project_id: int) -> Project:
    """Raises NotFound, also for somebody else's: a page does not tell that it is there."""
    try:
        return project_get(user=request.user, project_id=project_id)
    except Forbidden:
        raise NotFound from None


# --- The table ------------------------------------------------------------------------------------------------------


@login_required
@require_GET
def project(request: HttpRequest, project_id: int) -> HttpResponse:
    """The project's runs. htmx asks again and again for the table alone, and gets 204 while nothing has changed."""
    here = visible_project(request, project_id)
    state = read_state(request.GET)
    known = Known() if request.htmx else known_fields(user=request.user, project=here)
    state = state.with_columns(known)
    table = _table(request, here, state)
    if request.htmx:
        if request.GET.get("seen") == table["seen"]:
            return HttpResponse(status=204)
        request.GET = request.GET.copy()
        request.GET.pop("seen", None)  # the links in the table are made of the address
        return render(request, "projects/_run_table.html", {"project": here, "state": state, **table})
    views = list(SavedView.objects.visible_to(request.user).filter(project=here).select_related("owner"))
    base = request.build_absolute_uri("/")
    address = state.address()
    context = {
        "project": here,
        "state": state,
        "address": address,
        "choices": column_choices(state, known),
        "group_choices": [*map(run_field, GROUPABLE), *(config_field(*path) for path in known.config)],
        "views": views,
        "view": next((view for view in views if view.address == address), None),
        "undo": _undo(request, here),
        "missing": _missing(state, known),
        "is_empty": not (known.metrics or known.config) and not table["count"] and not _narrows(state),
        "is_owner": Project.objects.owned_by(request.user).filter(pk=here.pk).exists(),
        "tags": known.tags,
        "downloads": project_downloads(here, address),
        "curl": snippets.runs_as_curl(here, base),
        "python": snippets.runs_as_python(here, base),
        "sdk": snippets.first_run(here, base, request.user.get_username()),
        **table,
    }
    return render(request, "projects/project_detail.html", context)


def _table(request: HttpRequest, here: Project, state: TableState) -> dict[str, Any]:
    """What `_run_table.html` shows: rows or groups, and a digest of them."""
    query = state.query
    table: dict[str, Any] = {"count": 0, "rows": [], "groups": [], "page_obj": None}
    if state.error is None and state.group is not None:
        page = run_groups(user=request.user, project=here, query=query, by=state.group, number=state.page)
        metrics = [column for column in query.columns if column.source is Source.METRICS]
        groups = [{"group": group, "address": _narrowed(state, group.filter)} for group in page]
        table |= {"page_obj": page, "groups": groups, "metrics": metrics, "count": page.paginator.count}
    elif state.error is None:
        found = run_page(user=request.user, project=here, query=query, number=state.page)
        rows = [
            {
                "row": row,
                "address": reverse("run-detail", args=[row.run.pk]),
                "cells": [shown(*pair) for pair in zip(query.columns, row.cells, strict=True)],
            }
            for row in found.rows
        ]
        table |= {"page_obj": found.page, "rows": rows, "count": found.page.paginator.count}
    table["heads"] = [_head(column, index, table["rows"]) for index, column in enumerate(query.columns)]
    table["may_change"] = Project.objects.changeable_by(request.user).filter(pk=here.pk).exists()
    table["seen"] = _digest(table)
    table["table_address"] = state.address(page=state.page)
    return table


def _head(column: Field, index: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A column's header; numbers stand at the right where the column has nothing else."""
    kinds = {row["cells"][index].kind for row in rows}
    return {"key": column.text, "label": column.label, "number": bool(kinds) and kinds <= {"number", "none"}}


def _digest(table: dict[str, Any]) -> str:
    """Of what the table shows: as long as it is the same, nothing is sent again."""
    rows = [
        [row["row"].run.pk, row["row"].run.name, row["row"].run.status, [cell.digest for cell in row["cells"]]]
        for row in table["rows"]
    ]
    groups = [[group["group"].value, group["group"].count, group["group"].cells] for group in table["groups"]]
    state = json.dumps([table["count"], table["may_change"], rows, groups], default=str)
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def _narrowed(state: TableState, condition: str) -> str:
    """The address of a group's runs; empty where no filter can name them."""
    if not condition:
        return ""
    text = state.query.filter.strip()
    return state.address(filter=f"({text}) and {condition}" if text else condition, group=None, sort=None)


def _narrows(state: TableState) -> bool:
    return bool(state.query.filter or state.query.archived or state.query.trashed)


def _missing(state: TableState, known: Known) -> list[tuple[str, str]]:
    """Names of the filter that no newer run has, each with the nearest one that some have."""
    return [] if state.error else unknown_names(state.query.filter, known)


def column_choices(state: TableState, known: Known) -> dict[str, Any]:
    """The checkboxes of the columns, those that are shown first, in their order: the form sends them in this one."""
    chosen = state.query.columns
    config = dict.fromkeys(
        [*(c for c in chosen if c.source is Source.CONFIG), *(config_field(*p) for p in known.config)]
    )
    metrics = dict.fromkeys([*(c.name for c in chosen if c.source is Source.METRICS), *known.metrics])
    names = [name for name in RUN_FIELDS if name != "name"]
    own = dict.fromkeys([*(c for c in chosen if c.source is Source.RUN and c.name in names), *map(run_field, names)])
    return {
        "run": [_choice(column, chosen) for column in own],
        "config": [_choice(column, chosen) for column in config],
        "metrics": [
            {
                "name": name,
                "choices": [_choice(metric_field(name, statistic), chosen) for statistic in COLUMN_STATISTICS],
            }
            for name in metrics
        ],
        "statistics": COLUMN_STATISTICS,
    }


def _choice(column: Field, chosen: tuple[Field, ...]) -> dict[str, Any]:
    return {"column": column, "checked": column in chosen}


def _undo(request: HttpRequest, here: Project) -> dict[str, Any] | None:
    """The last act on runs of this project, while the address offers to take it back."""
    undo = request.session.get(UNDO) if request.GET.get("undo") == "1" else None
    return undo if undo and undo.get("project") == here.pk else None


@login_required
@require_GET
def completion(request: HttpRequest, project_id: int) -> JsonResponse:
    """What may stand at the caret: `?text=config.l&caret=8`."""
    here = visible_project(request, project_id)
    text = request.GET.get("text", "")[: MAX_LENGTH + 1]
    caret = request.GET.get("caret", "")
    place = int(caret) if caret.isascii() and caret.isdecimal() and len(caret) < 10 else len(text)
    found = complete(text, place, known_fields(user=request.user, project=here))
    suggestions = [{"text": one.text, "detail": one.detail} for one in found.suggestions]
    return JsonResponse({"start": found.start, "end": found.end, "suggestions": suggestions})


@login_required
@require_GET
def export(request: HttpRequest, project_id: int) -> HttpResponseBase:
    """All runs of the table as CSV, with its columns, in its order."""
    here = visible_project(request, project_id)
    state = read_state(request.GET)
    if not state.query.columns:
        state = state.with_columns(known_fields(user=request.user, project=here))
    if state.error is not None:
        raise state.error
    columns = state.query.columns
    rows = run_rows(user=request.user, project=here, query=state.query)

    def chunks() -> Iterator[str]:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["id", "name", *(column.text for column in columns)])
        while chunk := list(islice(rows, EXPORT_ROWS)):
            for row in chunk:
                writer.writerow([exported(value) for value in (row.run.pk, row.run.name, *row.cells)])
            yield text.getvalue()
            text.seek(0)
            text.truncate()
        yield text.getvalue()  # the header of an empty table

    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="project-{here.pk}-runs.csv"',
    }
    return streamed(request, chunks(), headers=headers)
