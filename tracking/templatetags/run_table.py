"""Cells of the runs table, and of runs side by side.

A page has hundreds or thousands of them: as templates they were most of its cost.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from automl_site.templatetags.ui import duration, number, time_element
from tracking.filters.fields import Field
from tracking.run_cells import MAX_TEXT, Cell

register = template.Library()

MAX_TAG = 40  # characters of a tag that are shown
MAX_JSON = 60  # characters
DIGITS = 6  # of a number beside those of other runs
NOTHING = format_html('<span class="muted">{}</span>', "–")
NO_VALUE = format_html("<td>{}</td>", NOTHING)


@register.simple_tag
def run_cell(cell: Cell) -> SafeString:
    """The `<td>` of the cell, by its kind."""
    if cell.kind == "number":
        return format_html(
            '<td class="number" data-label="{}"><div><span title="{}">{}</span></div></td>',
            cell.label,
            cell.value,
            number(cell.value),
        )
    return format_html('<td data-label="{}"><div>{}</div></td>', cell.label, _content(cell))


@register.simple_tag
def difference_cells(field: Field, values: Sequence[Any]) -> SafeString:
    """A `<td>` for the value of each run; None where it has none."""
    worded = duration if field.text == "duration" else partial(number, digits=DIGITS)
    return format_html_join("", "{}", ((_difference_cell(value, worded),) for value in values))


def _difference_cell(value: Any, worded: Callable[[object], str]) -> SafeString:
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return format_html("<td>{}</td>", "true" if value else "false")
    if isinstance(value, int | float):
        return format_html('<td class="number">{}</td>', worded(value))
    return format_html("<td>{}</td>", _cut(value, MAX_TEXT))


def _content(cell: Cell) -> SafeString | str:
    value = cell.value
    if cell.kind == "status":
        return _badge(value)
    if cell.kind == "time":
        return time_element(value)
    if cell.kind == "duration":
        return format_html('<span class="nowrap">{}</span>', duration(value))
    if cell.kind == "boolean":
        return "true" if value else "false"
    if cell.kind == "tags" and value:
        return format_html_join(" ", '<span class="tag">{}</span>', ((_cut(tag, MAX_TAG),) for tag in value))
    if cell.kind == "json":
        return format_html('<code class="small">{}</code>', _cut(value, MAX_JSON))
    if cell.kind == "text":
        return format_html('<span class="truncate run-text" title="{}">{}</span>', value, value or "–")
    return NOTHING


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else Truncator(text).chars(characters)


@lru_cache(maxsize=64)
def _badge(status: str) -> SafeString:
    return render_to_string("partials/status_badge.html", {"status": status})
