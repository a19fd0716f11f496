"""Small plots that are drawn on the server."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import template

register = template.Library()

SIZE = 320
MARGIN = 8


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
