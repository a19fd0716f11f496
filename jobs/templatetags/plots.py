"""Small plots that are drawn on the server."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import template

from jobs.selectors.statistics import HourOfJobs

register = template.Library()

SIZE = 320
MARGIN = 8
BAR_HEIGHT = 100
LABELLED_HOURS = 6  # every so many hours one is named


@register.simple_tag
def scatter(points: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Predicted against actual, both on one scale, as pixels of a square: {"size", "dots", "line", "low", "high"}."""
    values = [float(point[key]) for point in points for key in ("actual", "predicted")]
    low, high = min(values), max(values)
    scale = (SIZE - 2 * MARGIN) / ((high - low) or 1.0)

    def x(value: float) -> str:
        return f"{MARGIN + (value - low) * scale:.1f}"

    def y(value: float) -> str:
        return f"{SIZE - MARGIN - (value - low) * scale:.1f}"

    dots = [{"x": x(float(p["actual"])), "y": y(float(p["predicted"]))} for p in points]
    line = {"x1": x(low), "y1": y(low), "x2": x(high), "y2": y(high)}
    return {"size": SIZE, "dots": dots, "line": line, "low": low, "high": high}


@register.simple_tag
def hour_bars(hours: Sequence[HourOfJobs]) -> dict[str, Any]:
    """{"top", "bars"}: a bar an hour of BAR_HEIGHT units for the most jobs, what failed upon what was completed."""
    top = max((hour.outcomes.completed + hour.outcomes.failed for hour in hours), default=0)
    scale = BAR_HEIGHT / (top or 1)
    bars = []
    for hour in hours:
        outcomes = hour.outcomes
        completed, failed = outcomes.completed * scale, outcomes.failed * scale
        words = f"{hour.start:%H}:00: {outcomes.completed:,} completed, {outcomes.failed:,} failed"
        bars.append(
            {
                "completed": _bar(BAR_HEIGHT - completed, completed),
                "failed": _bar(BAR_HEIGHT - completed - failed, failed),
                "label": f"{hour.start:%H}:00" if hour.start.hour % LABELLED_HOURS == 0 else "",
                "words": words + (f", {outcomes.cancelled:,} cancelled" if outcomes.cancelled else ""),
            }
        )
    return {"top": top, "bars": bars}


def _bar(y: float, height: float) -> dict[str, str]:
    return {"y": f"{y:.2f}", "height": f"{height:.2f}" if height else ""}
