"""A run's page, and its data: points for charts, summary, config and log as files. Its changes: `run_edit_views`."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from automl_site.streaming import streamed
from tracking import run_files, run_snippets, store
from tracking.download_links import run_downloads
from tracking.models import Run
from tracking.run_cells import exported
from tracking.selectors.code_changes import packages_of
from tracking.selectors.environments import environment_of
from tracking.selectors.run_page import config_tree, job_of, may_change, trashed_run
from tracking.selectors.runs import chart_series, log_lines, log_tail, run_get
from tracking.stream import json_number

MAX_POINTS = 20_000
MAX_METRICS = 2000  # rows of the summary that a page shows; the CSV has all
LOG_LINES = 1000
LOWEST, HIGHEST = -(2**63), 2**63 - 1
TABS = {
    "charts": "Charts",
    "log": "Log",
    "config": "Config",
    "metrics": "Metrics",
    "files": "Files",
    "environment": "Environment",
}


def visible_run(request: HttpRequest, run_id: int) -> Run:
    """Raises NotFound, also for somebody else's: a page does not tell that it is there."""
    try:
        return run_get(user=request.user, run_id=run_id)
    except Forbidden:
        raise NotFound from None


# --- The page -------------------------------------------------------------------------------------------------------


@login_required
@require_GET
def run_detail(request: HttpRequest, run_id: int) -> HttpResponse:
    """The run, on one of TABS; one that lies in the trash, to who may restore it, with the way back."""
    try:
        run = visible_run(request, run_id)
    except NotFound:
        return render(request, "runs/run_trashed.html", {"run": trashed_run(user=request.user, run_id=run_id)})
    return run_page(request, run)


def run_page(request: HttpRequest, run: Run, *, status: int = 200, **more: Any) -> HttpResponse:
    """The page, e.g. with the `errors` of a form that was refused and what was `typed` into it."""
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else "charts"
    base = request.build_absolute_uri("/")
    context = {
        "run": run,
        "job": job_of(run=run),
        "may_change": may_change(user=request.user, run=run),
        "tab": tab,
        "tabs": [{"key": key, "label": label, "address": _with_tab(request, key)} for key, label in TABS.items()],
        "names_url": f"{reverse('compare-names')}?runs={run.pk}",
        "points_url": f"{reverse('compare-points')}?runs={run.pk}",
        "downloads": run_downloads(run),
        "curl": run_snippets.log_as_curl(run, base),
        "python": run_snippets.log_as_python(run, base, request.user.get_username()),
        **_tab_context(request, run, tab, base),
        **more,
    }
    return render(request, "runs/run_detail.html", context, status=status)


def _with_tab(request: HttpRequest, tab: str) -> str:
    query = request.GET.copy()
    query["tab"] = tab
    return f"?{query.urlencode()}"


def _tab_context(request: HttpRequest, run: Run, tab: str, base: str) -> dict[str, Any]:
    if tab == "log":
        return {"lines": log_tail(run.pk, limit=LOG_LINES)}
    if tab == "config":
        nodes, left_out = config_tree(run.config)
        return {"nodes": nodes, "left_out": left_out, "config_curl": run_snippets.config_as_curl(run, base)}
    if tab == "metrics":
        rows = store.summaries(run.pk)
        return {"metrics": rows[:MAX_METRICS], "metric_count": len(rows)}
    if tab == "files":
        return run_files.files_tab(request, run, base)
    if tab == "environment":
        kept = environment_of(run)
        git = kept["git"]
        packages = packages_of(kept["environment"])
        facts = {name: fact for name, fact in kept["environment"].items() if name != "packages" or not packages}
        return {
            "environment": config_tree(facts)[0] if facts else [],
            "packages": sorted(packages.items()),
            "git": config_tree({name: git[name] for name in git if name != "diff"})[0] if git else [],
            "diff": git.get("diff") or "",
            "environment_curl": run_snippets.environment_as_curl(run, base),
        }
    return {}


# --- Files ----------------------------------------------------------------------------------------------------------


@login_required
@require_GET
def metrics_csv(request: HttpRequest, run_id: int) -> HttpResponse:
    """The summary of each series."""
    run = visible_run(request, run_id)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["metric", "last", "last_step", "min", "max", "mean", "count", "nan_count"])
    for row in store.summaries(run.pk):
        values = (row.last_value, row.last_step, row.min_value, row.max_value, row.mean_value, row.count, row.nan_count)
        writer.writerow([exported(row.name), *map(exported, values)])
    return _file(text.getvalue(), filename=f"run-{run.pk}-metrics.csv", content_type="text/csv")


@login_required
@require_GET
def config_json(request: HttpRequest, run_id: int) -> HttpResponse:
    run = visible_run(request, run_id)
    text = json.dumps(run.config, ensure_ascii=False, indent=2)
    return _file(f"{text}\n", filename=f"run-{run.pk}-config.json", content_type="application/json")


def _file(text: str, *, filename: str, content_type: str) -> HttpResponse:
    return HttpResponse(text, headers=_file_headers(filename, content_type))


def _file_headers(filename: str, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": f"{content_type}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }


@login_required
@require_GET
def log_text(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """The whole log as text, sent as it is read."""
    run = visible_run(request, run_id)

    def chunks() -> Iterator[str]:
        after = 0
        while lines := log_lines(run.pk, after=after):
            yield "".join(f"{line.time:%Y-%m-%dT%H:%M:%S.%fZ} {line.level:<5} {line.message}\n" for line in lines)
            after = lines[-1].seq

    return streamed(request, chunks(), headers=_file_headers(f"run-{run.pk}.log", "text/plain"))


# --- Points for charts ----------------------------------------------------------------------------------------------


@login_required
@require_GET
def series(request: HttpRequest, run_id: int) -> JsonResponse:
    """Points for charts: `?max_points=2000&name=loss&min_step=0&max_step=100`, thinned so that no spike is lost.

    `last_id` is the place in the run's stream that the answer goes up to; a socket that resumes there misses nothing.
    """
    run = visible_run(request, run_id)
    charts = chart_series(
        run=run,
        names=[name[:250] for name in request.GET.getlist("name")] or None,
        min_step=whole(request, "min_step", LOWEST),
        max_step=whole(request, "max_step", HIGHEST),
        max_points=whole(request, "max_points", 2000, low=store.MIN_DOWNSAMPLED, high=MAX_POINTS),
    )
    found = [
        {
            "name": name,
            "steps": columns.steps.tolist(),
            "values": [json_number(value) for value in columns.values.tolist()],
            "timestamps": [store.moment(time).isoformat() for time in columns.times.tolist()],
        }
        for name, columns in charts.series.items()
    ]
    return JsonResponse({"last_id": charts.last_id, "series": found})


def whole(request: HttpRequest, name: str, default: int, *, low: int = LOWEST, high: int = HIGHEST) -> int:
    """A whole number of the address, held between `low` and `high`. Raises InvalidSpec."""
    text = request.GET.get(name, "")
    try:
        return min(max(int(float(text)), low), high) if text else default
    except (ValueError, OverflowError):
        raise InvalidSpec(f"{name} must be a whole number") from None
