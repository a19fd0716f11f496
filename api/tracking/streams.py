"""The bodies of answers that are made while they are sent, because they may be larger than memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from api.base.renderers import dumps
from tracking import store
from tracking.models import Run
from tracking.selectors.metrics import metric_history_batches
from tracking.stream import json_number

HELD = 2**20  # points that are held in memory while their history is sent: 32 MiB


def history_pieces(*, run: Run, name: str, since_step: int | None) -> Iterator[bytes]:
    """The body of a metric's history. One of more than HELD points is read once for each of its columns."""
    yield b'{"name":' + dumps(name)
    columns: dict[str, Callable[[store.Columns], Any]] = {
        "values": lambda batch: json_numbers(batch.values),
        "steps": lambda batch: np.ascontiguousarray(batch.steps),
        "timestamps": lambda batch: json_times(batch.times),
    }
    held: list[store.Columns] = []
    for field, column in columns.items():
        yield f',"{field}":['.encode()
        comma = b""
        count = 0
        batches = held or metric_history_batches(run=run, name=name, since_step=since_step)
        for batch in batches:
            count += len(batch)
            if count > HELD:
                held = []
            elif batches is not held:
                held.append(batch)
            yield comma + dumps(column(batch))[1:-1]
            comma = b","
        yield b"]"
    yield b"}"


def json_numbers(values: store.Floats) -> Any:
    """An array of numbers as it is, one with NaN or infinities as a list with the contract's words in it."""
    if np.isfinite(values).all():
        return np.ascontiguousarray(values)
    return [json_number(value) for value in values.tolist()]


def json_times(times: store.Integers) -> Any:
    """Microseconds since 1970-01-01 UTC as what the renderer writes as times without zone."""
    return np.ascontiguousarray(times).view("datetime64[us]")
