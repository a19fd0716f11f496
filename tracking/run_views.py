"""Data of a run's page."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from automl_site.errors import InvalidSpec
from tracking import store
from tracking.selectors.runs import run_get
from tracking.stream import json_number

MAX_POINTS = 20_000
LOWEST, HIGHEST = -(2**63), 2**63 - 1


@login_required
@require_GET
def series(request: HttpRequest, run_id: int) -> JsonResponse:
    """Points for charts: `?max_points=2000&name=loss&min_step=0&max_step=100`, thinned so that no spike is lost.

    `last_id` is the place in the run's stream that the answer goes up to; a socket that resumes there misses nothing.
    """
    run = run_get(user=request.user, run_id=run_id)
    max_points = _whole(request, "max_points", 2000, low=store.MIN_DOWNSAMPLED, high=MAX_POINTS)
    names = [name[:250] for name in request.GET.getlist("name")] or None
    low, high = _whole(request, "min_step", LOWEST), _whole(request, "max_step", HIGHEST)
    found = []
    for name, columns in store.read_series(run.pk, names=names, until_seq=run.seq).items():
        inside = columns.take((columns.steps >= low) & (columns.steps <= high))
        shown = store.downsample(inside, max_points)
        found.append(
            {
                "name": name,
                "steps": shown.steps.tolist(),
                "values": [json_number(value) for value in shown.values.tolist()],
                "timestamps": [store.moment(time).isoformat() for time in shown.times.tolist()],
            }
        )
    return JsonResponse({"last_id": run.seq, "series": found})


def _whole(request: HttpRequest, name: str, default: int, *, low: int = LOWEST, high: int = HIGHEST) -> int:
    text = request.GET.get(name, "")
    try:
        return min(max(int(float(text)), low), high) if text else default
    except (ValueError, OverflowError):
        raise InvalidSpec(errors={name: [f"{name} must be a whole number"]}) from None
