"""A value of the runs table as a page shows it, and as a CSV file has it."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tracking.filters.fields import Field, Source, Type

MAX_TEXT = 200  # characters of a value in a cell

_KINDS = {
    Type.STATUS: "status",
    Type.TIME: "time",
    Type.DURATION: "duration",
    Type.TAGS: "tags",
    Type.BOOLEAN: "boolean",
}


@dataclass(frozen=True)
class Cell:
    """`kind` says how `run_cell` (tracking/templatetags/run_table.py) shows it; `number` stands at the right."""

    label: str
    kind: str
    value: Any

    @property
    def digest(self) -> Any:
        """What tells whether the cell has changed: a duration does with every second."""
        return int(self.value.total_seconds()) if self.kind == "duration" else self.value


def shown(column: Field, value: Any) -> Cell:
    if value is None:
        kind = "none"
    elif column.source is Source.RUN and column.type in _KINDS:
        kind = _KINDS[column.type]
    elif isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, int | float) or column.source is Source.METRICS:
        kind = "number"
    elif isinstance(value, list | dict):
        kind, value = "json", json.dumps(value, ensure_ascii=False)
    else:
        kind = "text"
    if kind in ("json", "text") and len(value) > MAX_TEXT:
        value = f"{value[:MAX_TEXT]}…"
    return Cell(column.label, kind, value)


def exported(value: Any) -> str:
    """As JSON writes it where it is no text; what a spreadsheet takes for a formula is told to be text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.3f}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)  # a negative number is no formula
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
