"""Logging the points of many requests at once: one transaction for all that wait."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from tracking import live, store
from tracking.models import IdempotencyKey
from tracking.services.heartbeats import runs_beat
from tracking.services.metrics import Idempotency
from tracking.store_group import Part, SeriesCache, append_group
from tracking.stream import json_number, timestamp


@dataclass(slots=True)
class Entry:
    """One request's points, checked: who may log into the run has been asked. `single` is answered with its point.

    `heartbeat`: they come from a process that says that it is alive.
    """

    run_id: int
    parts: Sequence[Part]
    single: bool = False
    idempotency: Idempotency | None = None
    heartbeat: bool = False


def group_log(entries: Sequence[Entry], cache: SeriesCache) -> list[dict[str, Any] | None]:
    """Append all entries' points in one transaction, and answer each as `points_log` does.

    None for an entry that nothing was written of and that has to be tried by itself: its run is gone or failed by
    silence, or its key has come before. Raises what the database raises; then nothing was written.
    """
    try:
        with transaction.atomic():
            return _log(entries, cache)
    except BaseException:
        cache.clear()
        raise


def _log(entries: Sequence[Entry], cache: SeriesCache) -> list[dict[str, Any] | None]:
    taken = _keys_taken(entries)
    fresh: list[Entry | None] = []
    for entry in entries:
        key = _key(entry)
        fresh.append(None if key in taken else entry)
        if key is not None:
            taken.add(key)
    parts: dict[int, list[Part]] = defaultdict(list)
    for each in fresh:
        if each is not None:
            parts[each.run_id] += each.parts
    if not parts:
        return [None] * len(entries)
    there = append_group(parts, cache)
    answers = [_answer(each) if each is not None and each.run_id in there else None for each in fresh]
    IdempotencyKey.objects.bulk_create(
        IdempotencyKey(
            user_id=entry.idempotency.user_id,
            run_id=entry.run_id,
            key=entry.idempotency.key,
            fingerprint=entry.idempotency.fingerprint,
            answer=answer,
        )
        for entry, answer in zip(entries, answers, strict=True)
        if answer is not None and entry.idempotency is not None
    )
    if beating := {entry.run_id for entry in entries if entry.heartbeat and entry.run_id in there}:
        runs_beat(run_ids=beating)
    for run_id in there:
        live.announce_on_commit(f"run:{run_id}")
    return answers


def _key(entry: Entry) -> tuple[int, int, str] | None:
    key = entry.idempotency
    return None if key is None else (key.user_id, entry.run_id, key.key)


def _keys_taken(entries: Sequence[Entry]) -> set[tuple[int, int, str] | None]:
    keys = [entry.idempotency for entry in entries if entry.idempotency is not None]
    if not keys:
        return set()
    rows = IdempotencyKey.objects.filter(
        user_id__in={key.user_id for key in keys},
        run_id__in={entry.run_id for entry in entries},
        key__in=[key.key for key in keys],
    )
    return set(rows.values_list("user_id", "run_id", "key"))


def _answer(entry: Entry) -> dict[str, Any]:
    if not entry.single:
        return {"message": f"Logged {sum(len(part.values) for part in entry.parts)} metrics successfully"}
    (part,) = entry.parts
    return {
        "id": part.first_id,
        "run_id": entry.run_id,
        "name": part.name,
        "value": json_number(part.values[0]),
        "step": part.first_step,
        "timestamp": timestamp(store.moment(part.first_time)),
    }
