"""What may be logged, turned into what can be sent: floats, names and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

MAX_NAME = 250  # characters, as the server takes them
MAX_STEP = 1 << 62
MAX_DEPTH = 20
MAX_TEXT = 10_000  # characters of one value of a config


class BadValue(ValueError):
    """A value that is no number; the message says what it is."""


def number(value: Any) -> float:
    """`value` as a float: Python's numbers, NumPy's scalars, and arrays and tensors that hold one element.

    Nothing is imported for this: what has `item()` is asked for it (a tensor on a GPU is waited for, as it must be).

    Raises:
        BadValue: text, None, several numbers, a complex one, or an integer beyond a float's range.
    """
    if isinstance(value, (int, float)):
        item = value
    elif hasattr(value, "item"):
        try:
            item = value.item()
        except Exception as error:  # a foreign object's own: whatever it is, the value is no number
            raise BadValue(f"{type(value).__name__} that holds no single number ({error})") from error
    elif hasattr(value, "__float__"):
        item = value
    elif hasattr(value, "numpy"):
        return number(value.numpy())
    else:
        raise BadValue(f"{type(value).__name__}, not a number")
    try:
        return float(item)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(f"{type(value).__name__}, not a number ({error})") from error


def flat(metrics: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names and values; a mapping inside a mapping gives names like `train/loss`."""
    for key, value in metrics.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            yield from flat(value, name, depth + 1)
        else:
            yield name, value


def name_problem(name: str) -> str:
    """What is wrong with the name of a metric, or an empty text."""
    if not name.strip():
        return "an empty name"
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} characters; {MAX_NAME} are kept"
    if not _is_storable(name):
        return "a name with NUL characters or half a surrogate pair"
    return ""


def jsonable(value: Any, depth: int = 0) -> Any:
    """`value` as JSON can hold it: scalars become numbers, sets and tuples lists, what is strange its `repr`, cut."""
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) <= MAX_STEP else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text(value)
    if depth >= MAX_DEPTH:
        return text(repr(value))
    if isinstance(value, Mapping):
        return {text(str(key)): jsonable(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(inner, depth + 1) for inner in value]
    if hasattr(value, "__dict__") and type(value).__name__ == "Namespace":  # argparse's
        return jsonable(vars(value), depth)
    if hasattr(value, "item"):
        try:
            return jsonable(number(value), depth)
        except BadValue:
            return text(repr(value))
    return text(str(value) if hasattr(value, "__fspath__") else repr(value))


def text(value: str, limit: int = MAX_TEXT) -> str:
    """`value` without what a database refuses, cut to `limit` characters."""
    if not _is_storable(value):
        value = value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _is_storable(value: str) -> bool:
    return "\x00" not in value and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))
