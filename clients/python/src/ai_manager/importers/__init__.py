"""Runs of other trackers, read from their files or servers and logged as runs of this platform."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ai_manager import calls
from ai_manager.manager import AIManager
from ai_manager.outbox import MAX_ROWS
from ai_manager.run import iso

FLUSH_SECONDS = 300.0


@dataclass
class Point:
    """One value; `time` in seconds since 1970."""

    name: str
    value: float
    step: int
    time: float


@dataclass
class Source:
    """A run as another tracker kept it. `identity`: tells it from all others, also in a second import."""

    identity: str
    name: str
    project: str
    points: Iterable[Point]
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    status: str = "completed"
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class Imported:
    """What became of one source. `state`: imported, there (it was before), unfinished (an import was cut short)."""

    source: Source
    state: str
    run_id: int | None
    points: int = 0


def import_runs(sources: Iterable[Source], manager_for: Any, *, project: str = "") -> Iterator[Imported]:
    """Log every source as a run, one after another.

    `manager_for(project name)` gives the manager; `project`: into this one instead of the source's own. A run that an
    earlier import has made is left alone.
    """
    for source in sources:
        manager: AIManager = manager_for(project or source.project)
        yield _import(source, manager)


def _import(source: Source, manager: AIManager) -> Imported:
    uid = uuid.uuid5(uuid.NAMESPACE_URL, f"{manager.project_name}|{source.identity}").hex
    project_id = manager.project_id or calls.project_find_or_create(manager.api, manager.project_name)
    earlier = calls.run_find(manager.api, project_id, source.name, uid)
    if earlier is not None:
        state = "unfinished" if earlier["status"] == "running" else "there"
        return Imported(source, state, earlier["id"])
    run = manager.run(name=source.name, config=source.config, tags=source.tags, uid=uid)
    count, last = 0, source.started_at
    for point in source.points:
        run.log({point.name: point.value}, step=point.step, at=point.time)
        count += 1
        last = point.time if last is None else max(last, point.time)
        if count % MAX_ROWS == 0:
            run.flush(FLUSH_SECONDS)  # a file is read faster than it is sent
    run.flush(FLUSH_SECONDS)
    run.finish(source.status)
    times = {"started_at": source.started_at, "ended_at": source.ended_at or last}
    known = {name: iso(moment) for name, moment in times.items() if moment is not None}
    if run.id is not None and known:
        calls.run_update(manager.api, run.id, known)
    return Imported(source, "imported", run.id, count)
