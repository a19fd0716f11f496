"""The bodies of the metric POSTs as columns, where they are plain; what is not is read by `metric_bodies`, or refused.

A body that is plain has numbers for values, whole numbers for steps, no time or times in seconds, and no field besides.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import orjson

from api.base.parsers import loads
from api.tracking.metric_bodies import MAX_POINTS, name_problem, parse_batch, parse_point
from tracking import store
from tracking.store_group import Part
from tracking.stream import MAX_STEP

_NUMBERS = {int, float}
_POINT_FIELDS = {"name", "value", "step"}
# orjson makes floats of integers beyond 64 bits, which `loads` refuses: what may have been one is not plain.
_LONG = 1e18
_LAST_SECOND = 253_402_300_799  # of the year 9999
_MOST_SECONDS = 62_135_596_800  # from the year 1 to 1970


def parse(body: bytes, *, single: bool) -> list[Part]:
    """The points of a body as parts, in the order in which they are kept. Raises InvalidSpec, ParseError."""
    try:
        plain = orjson.loads(body)
    except orjson.JSONDecodeError:
        parts = None  # NaN, perhaps, or UTF-16
    else:
        parts = _plain_point(plain) if single else _plain_series(plain)
    return parts if parts is not None else _parse_any(loads(body, allow_nan=True), single=single)


def _parse_any(body: Any, *, single: bool) -> list[Part]:
    points = [parse_point(body)] if single else parse_batch(body)
    return [
        Part(
            point.name,
            [point.value],
            None if point.step is None else [point.step],
            None if point.time is None else [store.microseconds(point.time)],
        )
        for point in points
    ]


def _plain_point(body: Any) -> list[Part] | None:
    """A point with a name, a number and perhaps a step; None where it is another one, or not plain."""
    if not isinstance(body, dict) or not body.keys() <= _POINT_FIELDS:
        return None
    name: Any = body.get("name")
    value: Any = body.get("value")
    step: Any = body.get("step")
    if type(value) not in _NUMBERS or not -_LONG < value < _LONG or name_problem(name):
        return None
    if step is not None and (type(step) is not int or not -MAX_STEP <= step <= MAX_STEP):
        return None
    return [Part(name, [float(value)], None if step is None else [step])]


def _plain_series(body: Any) -> list[Part] | None:
    """The columnar form; None where it is another one, or not plain."""
    if not isinstance(body, dict) or body.keys() != {"series"} or not isinstance(body["series"], dict):
        return None
    parts = []
    for name, columns in body["series"].items():
        part = _plain_columns(name, columns)
        if part is None:
            return None
        if len(part.values):
            parts.append(part)
    return parts if sum(len(part.values) for part in parts) <= MAX_POINTS else None


def _plain_columns(name: str, columns: Any) -> Part | None:
    if not isinstance(columns, Mapping) or not columns.keys() <= {"values", "steps", "timestamps"}:
        return None
    values, steps, times = columns.get("values"), columns.get("steps"), columns.get("timestamps")
    if not _is_column(values, _NUMBERS) or name_problem(name):
        return None
    part = Part(name, np.array(values, "<f8"))
    if not bool((np.abs(part.values) < _LONG).all()):
        return None
    if steps is not None:
        if not _is_column(steps, {int}) or len(steps) != len(values):
            return None
        if steps and not (min(steps) >= -MAX_STEP and max(steps) <= MAX_STEP):
            return None
        part.steps = np.array(steps, "<i8")
    if times is not None:
        if not _is_column(times, _NUMBERS) or len(times) != len(values):
            return None
        seconds = np.array(times, "<f8")
        if not np.all((seconds > -_MOST_SECONDS) & (seconds < _LAST_SECOND)):
            return None
        part.times = np.rint(seconds * 1e6).astype("<i8")
    return part


def _is_column(column: Any, types: set[type]) -> TypeGuard[Sequence[Any]]:
    return isinstance(column, Sequence) and not isinstance(column, str) and set(map(type, column)) <= types
