"""W&B's offline runs: `wandb/offline-run-…/run-….wandb`, a LevelDB log of protocol buffers.

The file begins with seven bytes (`:W&B`, a magic number, a version) and is cut into blocks of 32 KiB. A record lies in
one or several pieces, each with a header of seven bytes: checksum, length, kind (whole, first, middle, last).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ai_manager.errors import SettingsError
from ai_manager.importers import Point, Source
from ai_manager.importers.wire import Value, fields, message, signed, text
from ai_manager.notices import warn_once

_IDENTITY = b":W&B"
_FILE_HEADER = _PIECE_HEADER = 7
_BLOCK = 32 * 1024
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _CONFIG, _STATS, _RUN, _EXIT = 2, 5, 7, 17, 18  # Record
_KEY, _NESTED_KEY, _VALUE_JSON = 1, 2, 16  # HistoryItem, ConfigItem, StatsItem
# W&B writes these words where JSON has no number.
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def runs(root: Path) -> Iterator[Source]:
    """Every `.wandb` file under `root` (or `root` itself).

    Raises:
        SettingsError: there is none.
    """
    # wandb links its latest run beside the others.
    files = [root] if root.is_file() else sorted({path.resolve() for path in root.rglob("*.wandb")})
    if not files:
        raise SettingsError(f"No .wandb file is in {root}.")
    for file in files:
        yield _source(file)


def _source(file: Path) -> Source:
    about: dict[str, Any] = {"run_id": file.stem.removeprefix("run-"), "config": {}, "tags": [], "exit": None}
    for number, value in _records(file):
        if number == _RUN:
            _read_run(message(value), about)
        elif number == _CONFIG:
            about["config"].update(_config(message(value)))
        elif number == _EXIT:
            code = dict(fields(message(value))).get(1, 0)
            about["exit"] = signed(code)
    about["config"].pop("_wandb", None)
    return Source(
        identity=f"wandb:{about['run_id']}",
        name=about.get("name") or about["run_id"],
        project=about.get("project") or "wandb",
        points=_points(file, about.get("started_at")),
        config=about["config"],
        tags=about["tags"],
        status="completed" if about["exit"] == 0 else "failed",
        started_at=about.get("started_at"),
    )


def _read_run(run: bytes, about: dict[str, Any]) -> None:
    for number, value in fields(run):
        if number == 1:
            about["run_id"] = text(value)
        elif number == 3:
            about["project"] = text(value)
        elif number == 4:
            about["config"].update(_config(message(value)))
        elif number == 8:
            about["name"] = text(value)
        elif number == 10:
            about["tags"].append(text(value))
        elif number == 17:
            about["started_at"] = _timestamp(message(value))


def _points(file: Path, started_at: float | None) -> Iterator[Point]:
    time, samples = started_at or 0.0, 0
    for number, value in _records(file):
        if number == _HISTORY:
            step, items = 0, {}
            for place, part in fields(message(value)):
                if place == 1:
                    key, content = _item(message(part))
                    items[key] = content
                elif place == 2:
                    step = signed(dict(fields(message(part))).get(1, 0))
            time = float(items.pop("_timestamp", None) or time)
            step = int(items.pop("_step", step))
            yield from (Point(name, number, step, time) for name, number in _numbers(items))
        elif number == _STATS:
            parts = list(fields(message(value)))
            moment = next((_timestamp(message(part)) for place, part in parts if place == 2), time)
            system = dict(_item(message(part)) for place, part in parts if place == 3)
            yield from (Point(f"system/{name}", number, samples, moment) for name, number in _numbers(system))
            samples += 1


def _numbers(items: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers under their names, without W&B's own (`_runtime`); images and tables are no numbers."""
    for name, value in items.items():
        if name.startswith("_"):
            continue
        if isinstance(value, dict) and "_type" not in value:
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            yield prefix + name, float(value)
        elif isinstance(value, str) and value in _WORDS:
            yield prefix + name, _WORDS[value]


def _config(record: bytes) -> dict[str, Any]:
    return dict(_item(message(value)) for number, value in fields(record) if number == 1)


def _item(item: bytes) -> tuple[str, Any]:
    """Name and decoded value of one item."""
    name, nested, value = "", [], ""
    for number, part in fields(item):
        if number == _KEY:
            name = text(part)
        elif number == _NESTED_KEY:
            nested.append(text(part))
        elif number == _VALUE_JSON:
            value = text(part)
    return name or "/".join(nested), json.loads(value) if value else None


def _timestamp(stamp: bytes) -> float:
    parts = dict(fields(stamp))
    return signed(parts.get(1, 0)) + signed(parts.get(2, 0)) / 1e9


def _records(file: Path) -> Iterator[tuple[int, Value]]:
    """(field, value) of each record: what kind it is, and what it says."""
    for content in pieces_joined(file):
        try:
            yield from fields(content)
        except ValueError as error:
            warn_once(("wandb", str(file)), f"{file}: a damaged record was left out ({error}).")


def pieces_joined(file: Path) -> Iterator[bytes]:
    """The records of the log; a last one whose end is missing (the process was killed) is left out."""
    with file.open("rb") as stream:
        if stream.read(_FILE_HEADER)[:4] != _IDENTITY:
            raise SettingsError(f"{file} is not a run of W&B.")
        joined, place = b"", _FILE_HEADER
        while True:
            left = _BLOCK - place % _BLOCK
            if left < _PIECE_HEADER:
                stream.read(left)  # filled up with zeros
                place += left
                continue
            header = stream.read(_PIECE_HEADER)
            if len(header) < _PIECE_HEADER:
                return
            _, length, kind = struct.unpack("<IHB", header)
            content = stream.read(length)
            if len(content) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
                return
            place += _PIECE_HEADER + length
            joined = content if kind in (_WHOLE, _FIRST) else joined + content
            if kind in (_WHOLE, _LAST):
                yield joined
