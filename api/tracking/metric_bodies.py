"""The bodies of `POST /metrics/{run_id}` and `/batch`: decoded JSON in, points out.

Pure functions, called by the view and by the ASGI fast path alike. Bad input raises InvalidSpec, whose `errors` name
the field as the caller wrote it (`metrics.loss`, `points.3.step`, `series.loss.values`); nothing is guessed.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from automl_site.errors import InvalidSpec
from tracking.store import Point
from tracking.stream import MAX_NAME, MAX_STEP
from tracking.text import is_storable

MAX_POINTS = 100_000  # a request
_MAX_ERRORS = 20  # told at once; a body of 100,000 bad points is not answered by 100,000 sentences
_MAX_SHOWN = 100  # characters of a caller's own text in a sentence

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_POINT_FIELDS = ("name", "value", "step", "timestamp")
_BATCH_FORMS = ("metrics", "points", "series")
_BATCH_FIELDS = (*_BATCH_FORMS, "step", "timestamp")
_SERIES_FIELDS = ("values", "steps", "timestamps")


class _Errors(dict[str, list[str]]):
    """What was wrong, by field; raises once there is enough of it."""

    def note(self, field: str, sentence: str) -> None:
        self.setdefault(field, []).append(sentence)
        if len(self) >= _MAX_ERRORS:
            self.settle()

    def settle(self) -> None:
        if self:
            raise InvalidSpec(errors=self)


def parse_point(body: Any) -> Point:
    """`{"name", "value"[, "step"][, "timestamp"]}` as a point.

    Raises:
        InvalidSpec: the body is no such object.
    """
    errors = _Errors()
    point = _point(_object(body), "", errors)
    errors.settle()
    assert point is not None  # noqa: S101 - without an error there is a point
    return point


def parse_batch(body: Any) -> list[Point]:
    """The points of a batch, in the order in which they are kept. One of:

        {"metrics": {name: value, …}[, "step"][, "timestamp"]}
        {"points": [{"name", "value"[, "step"][, "timestamp"]}, …]}
        {"series": {name: {"values": […][, "steps": […]][, "timestamps": […]]}, …}}

    An empty batch has no points, and is no error.

    Raises:
        InvalidSpec: the body is none of these, or has more than MAX_POINTS points.
    """
    data = _object(body)
    errors = _Errors()
    _refuse_unknown(data, _BATCH_FIELDS, "", errors)
    forms = [form for form in _BATCH_FORMS if form in data]
    if len(forms) != 1:
        found = f"this body has {' and '.join(forms)}" if forms else "this body has none of them"
        errors.note(forms[1] if forms else "metrics", f"A batch has one of metrics, points and series; {found}.")
    errors.settle()
    form = forms[0]
    if form != "metrics":
        for name in ("step", "timestamp"):
            if name in data:
                errors.note(name, f"It goes with metrics; in {form}, each point has its own.")
    errors.settle()
    points = {"metrics": _from_metrics, "points": _from_points, "series": _from_series}[form](data, errors)
    errors.settle()
    return points


def _from_metrics(data: Mapping[str, Any], errors: _Errors) -> list[Point]:
    metrics = data["metrics"]
    if not isinstance(metrics, dict):
        errors.note("metrics", f"Must be an object of numbers by their names, not {_kind(metrics)}.")
        return []
    _refuse_too_many(len(metrics), "metrics", errors)
    step = _checked(_step, data.get("step"), "step", errors)
    time = _checked(_time, data.get("timestamp"), "timestamp", errors)
    points = []
    for name, given in metrics.items():
        if problem := name_problem(name):
            errors.note("metrics", problem)
            continue
        value = _checked(_value, given, f"metrics.{name}", errors)
        if value is not None:
            points.append(Point(name, value, step, time))
    return points


def _from_points(data: Mapping[str, Any], errors: _Errors) -> list[Point]:
    rows = data["points"]
    if not isinstance(rows, list):
        errors.note("points", f"Must be a list of points, not {_kind(rows)}.")
        return []
    _refuse_too_many(len(rows), "points", errors)
    points = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            errors.note(f"points.{index}", f"Must be an object with name and value, not {_kind(row)}.")
            continue
        point = _point(row, f"points.{index}.", errors)
        if point is not None:
            points.append(point)
    return points


def _from_series(data: Mapping[str, Any], errors: _Errors) -> list[Point]:
    series = data["series"]
    if not isinstance(series, dict):
        errors.note("series", f"Must be an object of columns by their series' names, not {_kind(series)}.")
        return []
    points: list[Point] = []
    for name, columns in series.items():
        if problem := name_problem(name):
            errors.note("series", problem)
            continue
        field = f"series.{name}"
        if not isinstance(columns, dict):
            errors.note(field, f"Must be an object with values, not {_kind(columns)}.")
            continue
        _refuse_unknown(columns, _SERIES_FIELDS, f"{field}.", errors)
        points += _column_points(name, columns, field, errors)
        _refuse_too_many(len(points), "series", errors)
    return points


def _column_points(name: str, columns: Mapping[str, Any], field: str, errors: _Errors) -> list[Point]:
    """The points of one series of the columnar form."""
    given = columns.get("values")
    if not isinstance(given, list):
        errors.note(f"{field}.values", "Required: a list of numbers." if given is None else "Must be a list.")
        return []
    _refuse_too_many(len(given), f"{field}.values", errors)
    values = _column(_value, given, f"{field}.values", errors)
    steps = times = [None] * len(given)
    for key, read in (("steps", _step), ("timestamps", _time)):
        column = columns.get(key)
        if column is None:
            continue
        if not isinstance(column, list):
            errors.note(f"{field}.{key}", f"Must be a list, not {_kind(column)}.")
        elif len(column) != len(given):
            errors.note(f"{field}.{key}", f"There are {len(column):,} {key}, but {len(given):,} values.")
        elif key == "steps":
            steps = _column(read, column, f"{field}.{key}", errors)
        else:
            times = _column(read, column, f"{field}.{key}", errors)
    return [Point(name, value, step, time) for value, step, time in zip(values, steps, times, strict=False)]


def _column(read: Callable[[Any], Any], column: Sequence[Any], field: str, errors: _Errors) -> list[Any]:
    """Every item of a column; the first that cannot be read is told."""
    kinds = set(map(type, column))
    if read is _value and kinds == {float}:
        return list(column)
    if read is _step and kinds == {int} and min(column) >= -MAX_STEP and max(column) <= MAX_STEP:
        return list(column)
    out = []
    for index, item in enumerate(column):
        try:
            out.append(read(item))
        except ValueError as error:
            errors.note(f"{field}.{index}", str(error))
            return []
    return out


def _point(row: Mapping[str, Any], prefix: str, errors: _Errors) -> Point | None:
    _refuse_unknown(row, _POINT_FIELDS, prefix, errors)
    name = row.get("name")
    if problem := ("Required." if name is None else name_problem(name)):
        errors.note(f"{prefix}name", problem)
    if "value" not in row:
        errors.note(f"{prefix}value", "Required.")
        return None
    value = _checked(_value, row["value"], f"{prefix}value", errors)
    step = _checked(_step, row.get("step"), f"{prefix}step", errors)
    time = _checked(_time, row.get("timestamp"), f"{prefix}timestamp", errors)
    return None if value is None or not isinstance(name, str) else Point(name, value, step, time)


def name_problem(name: Any) -> str:
    """Why a metric cannot have this name; empty when it can."""
    if not isinstance(name, str):
        return f"A metric's name must be a string, not {_kind(name)}."
    if not name.strip():
        return "A metric's name must not be blank."
    if len(name) > MAX_NAME:
        return f"A metric's name has at most {MAX_NAME} characters, not {len(name):,}."
    if not is_storable(name):
        return "A metric's name must not contain NUL or half a surrogate pair."
    return ""


def _checked(read: Callable[[Any], Any], value: Any, field: str, errors: _Errors) -> Any:
    try:
        return read(value)
    except ValueError as error:
        errors.note(field, str(error))
        return None


def _value(value: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # at most 64 bits: the parser has refused longer ones
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    known = '"NaN", "Infinity" and "-Infinity" are taken too'
    raise ValueError(f"Must be a number, not {_kind(value)}; {known}.")


def _step(step: Any) -> int | None:
    if step is None:
        return None
    if isinstance(step, float) and step.is_integer():
        step = int(step)
    if isinstance(step, bool) or not isinstance(step, int):
        raise ValueError(f"Must be a whole number, not {_kind(step)}.")
    if not -MAX_STEP <= step <= MAX_STEP:
        raise ValueError("Must lie between -2^62 and 2^62.")
    return step


def _time(time: Any) -> datetime | None:
    """ISO 8601 (in UTC where it names no zone), or seconds since 1970-01-01 UTC."""
    if time is None:
        return None
    if isinstance(time, bool) or not isinstance(time, str | int | float):
        raise ValueError(f"Must be a time as ISO 8601 or in seconds since 1970, not {_kind(time)}.")
    try:
        if not isinstance(time, str):
            return datetime.fromtimestamp(time, UTC)
        found = datetime.fromisoformat(time)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        shown = time[:_MAX_SHOWN] if isinstance(time, str) else time
        raise ValueError(
            f"{shown!r} is no time between the years 1 and 9999; write 2023-01-01T00:00:00, or seconds since 1970."
        ) from None


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise InvalidSpec(errors={"non_field_errors": [f"The body must be a JSON object, not {_kind(body)}."]})
    return body


def _refuse_unknown(data: Mapping[str, Any], known: Sequence[str], prefix: str, errors: _Errors) -> None:
    for name in data:
        if name not in known:
            shown = name[:_MAX_SHOWN]
            near = difflib.get_close_matches(shown, known, n=1)
            advice = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}."
            errors.note(f"{prefix}{shown}", f"Unknown field '{shown}'; {advice}")


def _refuse_too_many(count: int, field: str, errors: _Errors) -> None:
    if count > MAX_POINTS:
        errors.note(field, f"A request has at most {MAX_POINTS:,} points, not {count:,}; send several requests.")
        errors.settle()


def _kind(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:_MAX_SHOWN]!r}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return f"{value:.6g}"
