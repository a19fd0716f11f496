"""Logging the points of many requests at once: one transaction for all that wait."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction

from tracking import store
from tracking.models import IdempotencyKey
from tracking.services.heartbeats import runs_beat
from tracking.services.metrics import Idempotency
from tracking.store_group import Part, SeriesCache, append_group, append_known
from tracking.store_statements import Key
from tracking.stream import json_number, timestamp

logger = logging.getLogger(__name__)


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
    silence, or its key has come before. Raises what the database raises; then nothing was written. The caller tells who
    follows the runs (`live.announce`).
    """
    answers: list[dict[str, Any] | None] = [None] * len(entries)
    try:
        try:
            _log_plain(entries, answers, cache)
        except IntegrityError:  # a key that has come before: it is found out which
            cache.clear()
        rest = [place for place, answer in enumerate(answers) if answer is None]
        if rest:
            with transaction.atomic():
                written = _log([entries[place] for place in rest], cache)
            for place, answer in zip(rest, written, strict=True):
                answers[place] = answer
    except Exception as error:
        cache.clear()
        if not any(answers):
            raise
        # What is answered is committed, and must not be written once more because the rest was not.
        logger.warning("a part of a group of metric requests was not written: %s", error)
    return answers


def _log_plain(entries: Sequence[Entry], answers: list[dict[str, Any] | None], cache: SeriesCache) -> None:
    """Those that bring points, and perhaps a key whose answer is known before they are written: the shortest way.

    Raises IntegrityError where a key has come before; then nothing was written.
    """
    others = {entry.run_id for entry in entries if entry.heartbeat or (entry.single and entry.idempotency is not None)}
    plain = [(place, entry) for place, entry in enumerate(entries) if entry.run_id not in others]
    keys = [
        Key(
            user_id=entry.idempotency.user_id,
            run_id=entry.run_id,
            key=entry.idempotency.key,
            fingerprint=entry.idempotency.fingerprint,
            answer=json.dumps(_answer(entry)),
        )
        for _, entry in plain
        if entry.idempotency is not None
    ]
    # A failure within another transaction must not take that one along.
    with transaction.atomic() if connection.in_atomic_block else nullcontext():
        there = append_known(_by_run(entry for _, entry in plain), cache, keys)
    for place, entry in plain:
        if entry.run_id in there:
            answers[place] = _answer(entry)


def _by_run(entries: Iterable[Entry]) -> dict[int, list[Part]]:
    parts: dict[int, list[Part]] = defaultdict(list)
    for entry in entries:
        parts[entry.run_id] += entry.parts
    return parts


def _log(entries: Sequence[Entry], cache: SeriesCache) -> list[dict[str, Any] | None]:
    taken = _keys_taken(entries)
    fresh: list[Entry | None] = []
    for entry in entries:
        key = _key(entry)
        fresh.append(None if key in taken else entry)
        if key is not None:
            taken.add(key)
    parts = _by_run(entry for entry in fresh if entry is not None)
    if not parts:
        return [None] * len(entries)
    there = append_group(parts, cache)
    answers = [_answer(each) if each is not None and each.run_id in there else None for each in fresh]
    keys = [
        IdempotencyKey(
            user_id=entry.idempotency.user_id,
            run_id=entry.run_id,
            key=entry.idempotency.key,
            fingerprint=entry.idempotency.fingerprint,
            answer=answer,
        )
        for entry, answer in zip(entries, answers, strict=True)
        if answer is not None and entry.idempotency is not None
    ]
    if keys:
        IdempotencyKey.objects.bulk_create(keys)
    if beating := {entry.run_id for entry in entries if entry.heartbeat and entry.run_id in there}:
        runs_beat(run_ids=beating)
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
