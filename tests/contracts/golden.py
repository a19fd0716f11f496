"""Golden answers: what varies (ids, times) is replaced by its shape, the rest must be equal to the file."""

import json
import re
from pathlib import Path
from typing import Any

_SHAPES = (
    (re.compile(r"job_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<job id>"),
    (re.compile(r"model_[0-9a-f]{12}"), "<model id>"),
    (re.compile(r"ds_[0-9a-f]{12}"), "<data set id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time Z>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?"), "<time>"),
)


def shape(value: Any) -> Any:
    """The answer with its ids and times replaced by their shapes."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str):
        for pattern, name in _SHAPES:
            value = pattern.sub(name, value)
    return value


def assert_golden(folder: Path, name: str, answer: Any) -> None:
    """The answer has exactly the shape of `<folder>/<name>.json`."""
    wanted = json.loads((folder / f"{name}.json").read_text())
    assert shape(answer) == wanted
