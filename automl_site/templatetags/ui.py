"""Tags and filters of the pages: how numbers, times, sizes and states are worded, and what partials need computed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.core.paginator import Paginator
from django.templatetags.static import static
from django.urls import Resolver404, get_urlconf, resolve
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

THEMES = ("light", "dark")
HEAT_LEVELS = 10

# --- Navigation -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NavigationItem:
    label: str
    path: str
    icon: str
    staff_only: bool = False
    also: tuple[str, ...] = ()  # prefixes of other pages that belong to it


NAVIGATION = (
    NavigationItem("Dashboard", "/ui/", "dashboard"),
    NavigationItem("Projects", "/ui/projects/", "projects", also=("/ui/runs/", "/ui/compare/")),
    NavigationItem("Jobs", "/ui/jobs/", "jobs"),
    NavigationItem("New job", "/ui/jobs/new/", "plus"),
    NavigationItem("Data sets", "/ui/datasets/", "datasets"),
    NavigationItem("Models", "/ui/models/", "models"),
    NavigationItem("Pipelines", "/ui/pipelines/", "pipelines"),
    NavigationItem("Workers", "/ui/workers/", "workers"),
    NavigationItem("API", "/docs", "api"),
    NavigationItem("Admin", "/admin/", "admin", staff_only=True),
)


@lru_cache(maxsize=64)
def _has_page(path: str, urlconf: str | None) -> bool:
    try:
        resolve(path, urlconf=urlconf)
    except Resolver404:
        return False
    return True


@register.simple_tag(takes_context=True)
def navigation(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pages that exist and that the user may open; `current` marks that with the longest prefix of the path."""
    request = context.get("request")
    here = request.path if request else ""
    user = context.get("user")
    shown = [
        item
        for item in NAVIGATION
        if _has_page(item.path, get_urlconf()) and (not item.staff_only or getattr(user, "is_staff", False))
    ]
    found = [
        (len(prefix), item)
        for item in shown
        for prefix in (item.path, *item.also)
        if here == prefix or (prefix != "/ui/" and here.startswith(prefix))
    ]
    current = max(found, key=lambda each: each[0])[1] if found else None
    return [{"label": item.label, "path": item.path, "icon": item.icon, "current": item is current} for item in shown]


@register.simple_tag(takes_context=True)
def chosen_theme(context: Mapping[str, Any]) -> str:
    """Either "light" or "dark" when the user chose one, else "" (the system's)."""
    request = context.get("request")
    theme = request.COOKIES.get("theme", "") if request else ""
    return theme if theme in THEMES else ""


# --- Icons and states -----------------------------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A symbol of static/img/icons.svg: decoration unless it is given a `label`."""
    href = f"{static('img/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}"></use></svg>', href)


# The tone (colour) of a state; its icon is `status-<state>`, so that no state is told by colour alone.
STATUS_TONES = {
    "pending": "waiting",
    "running": "running",
    "completed": "good",
    "failed": "bad",
    "cancelled": "neutral",
    "lost": "warning",
    "handed_back": "neutral",
    "idle": "good",
    "busy": "running",
    "stopped": "neutral",
    "dead": "bad",
    "active": "good",
    "expired": "warning",
    "revoked": "neutral",
}


@register.simple_tag
def status_info(status: object) -> dict[str, str]:
    """{"status", "tone", "icon", "label"} of a state; one that is not known is shown as it is."""
    name = str(status or "unknown")
    known = name in STATUS_TONES
    return {
        "status": name,
        "tone": STATUS_TONES.get(name, "neutral"),
        "icon": f"status-{name}" if known else "status-unknown",
        "label": name.replace("_", " ").capitalize(),
    }


# --- Times and numbers ----------------------------------------------------------------------------------------------


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


@register.filter
def duration(value: object) -> str:
    """Seconds, or a timedelta, in two units at most: "85 ms", "12.3 s", "4 min 05 s", "3 h 07 min", "2 d 4 h"."""
    seconds = _seconds(value)
    if seconds is None or seconds < 0:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


@register.filter
def took(start: datetime | None, end: datetime | None = None) -> str:
    """The time from `start` to `end` (until now when that is not there yet), worded by `duration`."""
    if start is None:
        return "–"
    return duration((end or timezone.now()) - start)


_STEPS = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (86400.0, 3600.0, "h"), (math.inf, 86400.0, "d"))


@register.filter
def relative_time(value: datetime | None, now: datetime | None = None) -> str:
    """E.g. "just now", "12 s ago", "in 3 h", "40 d ago"; after a year the date. static/js/app.js words it the same."""
    if value is None:
        return "never"
    distance = ((now or timezone.now()) - value).total_seconds()
    size = abs(distance)
    if size < 5:
        return "just now"
    if size >= 365 * 86400:
        return value.strftime("%Y-%m-%d")
    text = next(f"{int(size // unit)} {name}" for limit, unit, name in _STEPS if size < limit)
    return f"{text} ago" if distance > 0 else f"in {text}"


@register.filter
def exact_time(value: datetime | None) -> str:
    """E.g. "2026-11-21 06:40:12 UTC"."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if value else ""


@register.filter
def iso_time(value: datetime | None) -> str:
    """For the `datetime` attribute of <time>."""
    return value.isoformat(timespec="seconds") if value else ""


@register.filter
def time_element(value: datetime) -> SafeString:
    """A moment relative to now, the exact one on hover; static/js/app.js keeps it ticking."""
    return format_html(
        '<time class="nowrap" datetime="{}" title="{}" data-relative>{}</time>',
        iso_time(value),
        exact_time(value),
        relative_time(value),
    )


@register.filter
def number(value: object, digits: int = 4) -> str:
    """A number for reading: whole ones with thousands separators, others with `digits` significant digits."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)  # "NaN" and "Infinity" come as text
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e15:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits - 1}e}"


@register.filter
def words(name: object) -> str:
    """A name of ours for reading: "image_classification" -> "image classification"."""
    return str(name).replace("_", " ")


@register.filter
def percent(value: object, decimals: int = 0) -> str:
    """0.914 -> "91%". Rounded down, so that only the whole is 100%."""
    fraction = _seconds(value)
    if fraction is None:
        return "–"
    scale = 10**decimals
    return f"{math.floor(fraction * 100 * scale + 1e-9) / scale:.{decimals}f}%"


@register.filter
def filesize(value: object) -> str:
    """Bytes in decimal units, as disks and object stores count: "0 B", "14.2 kB", "3.1 GB"."""
    size = _seconds(value)
    if size is None or size < 0:
        return "–"
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


@register.filter
def heat(share: object) -> str:
    """A share in 0..1 as the class of its step, "heat-0" … "heat-10"."""
    fraction = _seconds(share) or 0.0
    return f"heat-{min(HEAT_LEVELS, max(0, round(fraction * HEAT_LEVELS)))}"


# --- For the partials -----------------------------------------------------------------------------------------------


@register.simple_tag
def heat_rows(labels: Sequence[object], matrix: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Rows of a confusion matrix (row: truth, column: predicted): each cell has count, share of its row, hit."""
    rows = []
    for index, (label, counts) in enumerate(zip(labels, matrix, strict=False)):
        total = sum(counts)
        cells = [
            {"count": count, "share": count / total if total else 0.0, "hit": column == index}
            for column, count in enumerate(counts)
        ]
        rows.append({"label": label, "total": total, "cells": cells})
    return rows


@register.simple_tag
def bar_rows(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """{"top", "rows"} of a bar list: bars are drawn by magnitude against the greatest; the sign stands in the text."""
    rows = [{**item, "size": abs(_seconds(item["value"]) or 0.0)} for item in items]
    return {"top": max((row["size"] for row in rows), default=0.0) or 1.0, "rows": rows}


@register.simple_tag(takes_context=True)
def sort_link(context: Mapping[str, Any], key: str, *, parameter: str = "sort") -> dict[str, str]:
    """{"href", "direction"} of a column's header: `direction` is its present aria-sort, the link turns it round."""
    request = context["request"]
    present = request.GET.get(parameter, "")
    query = request.GET.copy()
    query.pop("page", None)
    query[parameter] = f"-{key}" if present == key else key
    direction = {key: "ascending", f"-{key}": "descending"}.get(present, "none")
    return {"href": f"?{query.urlencode()}", "direction": direction}


@register.filter
def page_numbers(paginator: "Paginator[Any]", number: int) -> list[int | None]:
    """The numbers that a pager shows around the present page; None stands for a gap."""
    shown = paginator.get_elided_page_range(number, on_each_side=2, on_ends=1)
    return [entry if isinstance(entry, int) else None for entry in shown]
