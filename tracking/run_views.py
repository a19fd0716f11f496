"""Data of a run's page."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from tracking import store
from tracking.selectors.runs import chart_series, run_get
from tracking.stream import json_number

MAX_POINTS = 20_000
LOWEST, HIGHEST = -(2**63), 2**63 - 1


@login_required
@require_GET
def series(request: HttpRequest, run_id: int) -> JsonResponse:
    """Points for charts: `?max_points=2000&name=loss&min_step=0&max_step=100`, thinned so that no spike is lost.

    `last_id` is the place in the run's stream that the answer goes up to; a socket that resumes there misses nothing.
    """
    try:
        run = run_get(user=request.user, run_id=run_id)
    except Forbidden:
        raise NotFound from None  # a page does not tell that somebody else's run is there
    charts = chart_series(
        run=run,
        names=[name[:250] for name in request.GET.getlist("name")] or None,
        min_step=_whole(request, "min_step", LOWEST),
        max_step=_whole(request, "max_step", HIGHEST),
        max_points=_whole(request, "max_points", 2000, low=store.MIN_DOWNSAMPLED, high=MAX_POINTS),
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


def _whole(request: HttpRequest, name: str, default: int, *, low: int = LOWEST, high: int = HIGHEST) -> int:
    text = request.GET.get(name, "")
    try:
        return min(max(int(float(text)), low), high) if text else default
    except (ValueError, OverflowError):
        raise InvalidSpec(f"{name} must be a whole number") from None
