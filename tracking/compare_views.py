"""Runs side by side: `/ui/compare/?runs=1,2,3`, or `?project=1` for its newest; and their points for charts."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
import orjson
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from tracking import run_snippets, store
from tracking.compare_code import code_tab
from tracking.models import Run
from tracking.run_views import HIGHEST, LOWEST, whole
from tracking.selectors import compare, importance
from tracking.selectors.runs import chart_series_of_runs
from tracking.stream import json_number

TABS = {
    "charts": "Charts",
    "differences": "Differences",
    "code": "Code",
    "parallel": "Parallel coordinates",
    "scatter": "Scatter",
    "importance": "Importance",
}
MAX_NAMES = 40  # of one request for points
MAX_LINE = 2000  # points of a line
MAX_ANSWER = 200_000  # points of one answer
MIN_LINE = 100
MAX_AXES = 300
LONG_FIELDS = ("config", "notes")  # of a run, which no chart shows
MAX_CELLS = 10_000  # of the differences that a page shows: 200 rows of 50 runs


def _chosen(request: HttpRequest, *, defer: Sequence[str] = ()) -> compare.Chosen:
    """The runs that the address names. Ids that are no numbers are left out."""
    if project := request.GET.get("project"):
        try:
            return compare.newest_runs(user=request.user, project_id=_key(project) or 0, defer=defer)
        except Forbidden:
            raise NotFound from None
    keys = [_key(text) for text in request.GET.get("runs", "")[:2000].split(",")]
    return compare.chosen_runs(user=request.user, run_ids=[key for key in keys if key], defer=defer)


def _key(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


# --- The page -------------------------------------------------------------------------------------------------------


@login_required
@require_GET
def compare_page(request: HttpRequest) -> HttpResponse:
    chosen = _chosen(request)
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else "charts"
    statistic = request.GET.get("stat", "")
    statistic = statistic if statistic in compare.STATISTICS else "last"
    base = request.build_absolute_uri("/")
    keys = ",".join(str(run.pk) for run in chosen.runs)
    context: dict[str, Any] = {
        "runs": chosen.runs,
        "missing": chosen.missing,
        "missing_words": ", ".join(map(str, chosen.missing)),
        "names_url": f"{reverse('compare-names')}?runs={keys}",
        "points_url": f"{reverse('compare-points')}?runs={keys}",
        "asked": request.GET.get("runs", "")[:2000],
        "project_key": request.GET.get("project", "") if "project" in request.GET else "",
        "tab": tab,
        "tabs": [{"key": key, "label": label, "address": _address(request, tab=key)} for key, label in TABS.items()],
        "statistic": statistic,
        "statistics": compare.STATISTICS,
        "curl": run_snippets.runs_as_curl(chosen.runs, base),
        "python": run_snippets.runs_as_python(chosen.runs, base),
    }
    if chosen.runs and tab != "charts":
        context |= _TAB_CONTEXTS[tab](request, chosen.runs, statistic)
    return render(request, "runs/compare.html", context)


def _address(request: HttpRequest, **changes: str) -> str:
    query = request.GET.copy()
    for name, value in changes.items():
        query[name] = value
    return f"?{query.urlencode()}"


def _differences(request: HttpRequest, runs: list[Run], statistic: str) -> dict[str, Any]:
    """Config and summary side by side; `all=1`: also what is the same; `sort=distinct`: the most different first."""
    everything = [*compare.run_columns(runs), *compare.columns(runs, statistic=statistic)]
    wanted = everything if request.GET.get("all") == "1" else [column for column in everything if column.differs]
    sort = "distinct" if request.GET.get("sort") == "distinct" else "name"
    if sort == "distinct":
        wanted = sorted(wanted, key=lambda column: -column.distinct)
    rows = [
        {"field": column.field, "differs": column.differs, "values": column.values}
        for column in wanted[: MAX_CELLS // len(runs)]
    ]
    return {
        "rows": rows,
        "row_count": len(wanted),
        "same_count": sum(not column.differs for column in everything),
        "shows_all": request.GET.get("all") == "1",
        "sort": sort,
    }


def _axes(request: HttpRequest, runs: list[Run], statistic: str) -> dict[str, Any]:
    """Columns as data for the plots, those that vary before the others."""
    found = [*compare.columns(runs, statistic=statistic), *compare.run_columns(runs)[2:]]
    found.sort(key=lambda column: not column.differs)
    axes = [
        {
            "key": column.field.text,
            "label": column.field.label,
            "metric": column.field.source == "metrics",
            "varies": column.differs,
            "values": [_plain(value) for value in column.values],
        }
        for column in found[:MAX_AXES]
    ]
    data = {"runs": [{"id": run.pk, "name": run.name, "status": run.status} for run in runs], "axes": axes}
    return {"plot_data": data, "axis_count": len(found), "axes_shown": len(axes)}


def _plain(value: Any) -> Any:
    """For JSON: what is no finite number is none, long texts are cut."""
    if isinstance(value, float) and not compare.is_number(value):
        return None
    return value[:200] if isinstance(value, str) else value


def _importance(request: HttpRequest, runs: list[Run], statistic: str) -> dict[str, Any]:
    """Of the config for the metric that the address names (`target`); by default the first that enough runs have."""
    columns = compare.columns(runs, statistic=statistic)
    config = [column for column in columns if column.field.source == "config"]
    metrics = [column for column in columns if column.field.source == "metrics"]
    enough = [c for c in metrics if sum(map(compare.is_number, c.values)) >= importance.MIN_RUNS]
    by_name = {column.field.name: column for column in metrics}
    target = by_name.get(request.GET.get("target", "")) or next((c for c in enough if c.differs), None)
    found = importance.importances(config, target.values) if target else []
    return {
        "target": target.field.name if target else "",
        "targets": list(by_name),
        "importances": found,
        "why_none": _why_none(config, target),
        "min_runs": importance.MIN_RUNS,
        "permutations": importance.PERMUTATIONS,
    }


def _why_none(config: list[compare.Column], target: compare.Column | None) -> str:
    """What to do where no importance can be told."""
    if target is None or sum(map(compare.is_number, target.values)) < importance.MIN_RUNS:
        return f"It takes at least {importance.MIN_RUNS} runs that have the metric; choose more of them."
    if not any(column.differs for column in config):
        return "All these runs have the same config: there is nothing that could explain a difference."
    return "No config value that differs is there in enough runs, or the metric is the same in all of them."


_TAB_CONTEXTS = {
    "code": code_tab,
    "differences": _differences,
    "parallel": _axes,
    "scatter": _axes,
    "importance": _importance,
}


# --- Data for charts ------------------------------------------------------------------------------------------------


@login_required
@require_GET
def names(request: HttpRequest) -> HttpResponse:
    """The chosen runs, each with the place in its stream that this goes up to, and the names of their metrics.

    `series`: [name, counts, last values], the lists in the order of the runs.
    """
    chosen = _chosen(request, defer=LONG_FIELDS)
    found, cut = compare.series_names(chosen.runs)
    return _json(
        {
            "runs": [
                {
                    "id": run.pk,
                    "name": run.name,
                    "status": run.status,
                    "last_id": run.seq,
                    "started_at": int(run.started_at.timestamp() * 1000),
                }
                for run in chosen.runs
            ],
            "missing": chosen.missing,
            "series": [
                [
                    one.name,
                    one.counts,
                    [last if last is None or isfinite(last) else json_number(last) for last in one.lasts],
                ]
                for one in found
            ],
            "cut": cut,
        }
    )


@login_required
@require_GET
def points(request: HttpRequest) -> HttpResponse:
    """Points of the metrics `name` (repeated) of the chosen runs, thinned so that no spike is lost.

    `last_id` of a run is the place in its stream that its points go up to. `times` are milliseconds since 1970 in UTC.
    `thinned`: points were left out. An answer has about MAX_ANSWER points at most: with many runs, lines get fewer.
    """
    chosen = _chosen(request, defer=LONG_FIELDS)
    wanted = [name[:250].replace("\0", "") for name in request.GET.getlist("name")]
    if not wanted or len(wanted) > MAX_NAMES:
        raise InvalidSpec(f"give 1 to {MAX_NAMES} names")
    share = MAX_ANSWER // max(1, len(wanted) * len(chosen.runs))
    most = max(MIN_LINE, min(MAX_LINE, share, whole(request, "max_points", MAX_LINE, low=MIN_LINE, high=MAX_LINE)))
    min_step, max_step = whole(request, "min_step", LOWEST), whole(request, "max_step", HIGHEST)
    charts = chart_series_of_runs(runs=chosen.runs, names=wanted, min_step=min_step, max_step=max_step, max_points=most)
    found = [
        {
            "id": run.pk,
            "last_id": drawn.last_id,
            "series": [_line(name, columns, name in drawn.thinned) for name, columns in drawn.series.items()],
        }
        for run, drawn in zip(chosen.runs, charts, strict=True)
    ]
    return _json({"runs": found})


def _json(data: Any) -> HttpResponse:
    """As JsonResponse, in less time for a hundred thousand numbers. No number in it is NaN or infinite."""
    return HttpResponse(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY), content_type="application/json")


def _line(name: str, columns: store.Columns, thinned: bool) -> dict[str, Any]:
    values = columns.values
    return {
        "name": name,
        "steps": np.ascontiguousarray(columns.steps),
        "values": (
            np.ascontiguousarray(values)
            if np.isfinite(values).all()
            else [json_number(value) for value in values.tolist()]
        ),
        "times": columns.times // 1000,
        "thinned": thinned,
    }
