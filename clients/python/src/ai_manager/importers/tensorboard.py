"""TensorBoard's event files: scalars, as PyTorch, Keras, TensorFlow and JAX write them.

A folder that has event files is one run; its name is the path below the folder that was given. A file is a sequence of
TFRecords (length, checksum, data, checksum), each an `Event`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ai_manager.importers import Point, Source
from ai_manager.importers.wire import double, fields, message, signed, single, text
from ai_manager.notices import warn_once

_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5  # Event
_VALUE = 1  # Summary
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8  # Summary.Value
_DTYPE, _SHAPE, _CONTENT = 1, 2, 4  # TensorProto
# By dtype: the field of its values, and how one is packed.
_TYPES = {1: (5, "<f"), 2: (6, "<d"), 3: (7, "<i"), 9: (10, "<q")}
_MAX_RECORD = 1 << 30


def runs(root: Path, *, project: str = "tensorboard") -> Iterator[Source]:
    """Every folder under `root` that has event files."""
    folders = sorted({path.parent for path in root.rglob("*tfevents*") if path.is_file()})
    for folder in folders:
        name = str(folder.relative_to(root)) if folder != root else root.resolve().name
        files = sorted(path for path in folder.glob("*tfevents*") if path.is_file())
        first = next(_points(files), None)
        if first is None:
            continue  # graphs, images, or nothing: no run without a number
        yield Source(
            identity=f"tensorboard:{folder.resolve()}",
            name=name,
            project=project,
            points=_points(files),
            started_at=first.time,
        )


def _points(files: list[Path]) -> Iterator[Point]:
    for file in files:
        for record in records(file):
            try:
                yield from _scalars(record)
            except (ValueError, struct.error) as error:
                warn_once(("tensorboard", str(file)), f"{file}: a damaged event was left out ({error}).")


def records(file: Path) -> Iterator[bytes]:
    """The data of each record; one whose end is missing (the writer was killed, or still writes) ends the file."""
    with file.open("rb") as stream:
        while len(header := stream.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            if length > _MAX_RECORD:
                warn_once(("tensorboard", str(file)), f"{file}: what follows a damaged record was left out.")
                return
            data = stream.read(length)
            if len(data) < length or len(stream.read(4)) < 4:
                return
            yield data


def _scalars(event: bytes) -> Iterator[Point]:
    time, step, summaries = 0.0, 0, []
    for number, value in fields(event):
        if number == _WALL_TIME:
            time = double(value)
        elif number == _STEP:
            step = signed(value)
        elif number == _SUMMARY:
            summaries.append(message(value))
    for summary in summaries:
        for number, value in fields(summary):
            if number == _VALUE:
                tag, scalar = _scalar(message(value))
                if scalar is not None:
                    yield Point(tag, scalar, step, time)


def _scalar(value: bytes) -> tuple[str, float | None]:
    """Tag and number of one value; None: an image, a histogram, a text."""
    tag, found = "", None
    for number, part in fields(value):
        if number == _TAG:
            tag = text(part)
        elif number == _SIMPLE_VALUE:
            found = single(part)
        elif number == _TENSOR:
            found = _tensor(message(part))
    return tag, found


def _tensor(tensor: bytes) -> float | None:
    """The number in a tensor without dimensions."""
    parts = dict(fields(tensor))
    kind = parts.get(_DTYPE)
    if not isinstance(kind, int) or kind not in _TYPES or parts.get(_SHAPE):
        return None
    place, packing = _TYPES[kind]
    value = parts.get(place) or parts.get(_CONTENT)
    if isinstance(value, int):
        return float(signed(value))
    if kind in (3, 9) and parts.get(place):
        return None  # several packed numbers
    if value is None or len(value) != struct.calcsize(packing):
        return None
    return float(struct.unpack(packing, value)[0])
