"""Everything of one run that is not on the server yet: in memory, and where that is not enough, in its spool.

What is logged goes into a `deque` of rows `(time, step, {name: value})`. A batch is cut from it, gets its idempotency
key and is sent. Points move to the disk when the server has been away for some seconds, when the rows outgrow
`MAX_ROWS`, and at the end of the process. From then on all goes through the disk, in its order, until that is empty.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ai_manager import calls
from ai_manager.api import Api
from ai_manager.errors import Refused, Unavailable
from ai_manager.notices import warn_once
from ai_manager.spool import Spool, SpoolFull

WAKE_ROWS = 2_000  # calls of run.log, from which on they are sent before the next round is due
MAX_ROWS = 10_000  # calls that are held in memory while the server is slow; the caller itself moves more to the disk
MAX_BATCH = 5_000  # points a request
TURN_SECONDS = 2.0
UPDATE_SECONDS = 10.0  # changes of config and tags are sent together, so often at most
_TOO_LARGE = 413

Row = tuple[float, int, dict[str, float]]
Record = dict[str, Any]


class Outbox:
    """One run's. The background thread sends; any thread adds. The lock is never held while a request is on its way."""

    def __init__(
        self,
        *,
        run: dict[str, Any],
        root: Path,
        spool_limit: int,
        spool: Spool | None = None,
        heartbeat: bool = True,
        keeps: bool = True,
    ) -> None:
        """`keeps`: False throws away what is logged (mode `disabled`).

        `run`: what run.json holds: uid, api_url, account, project or project_id, body, id, started_at."""
        self.run = run
        self.root = root
        self.spool_limit = spool_limit
        self.rows: deque[Row] = deque(maxlen=None if keeps else 0)
        self.lock = threading.RLock()
        self.stuck = False  # the server refuses to make the run: all stays on disk
        self.refused = False  # the run is gone or no longer ours: what comes is set aside
        self.dropped = 0  # points that found no place
        self.heartbeat = heartbeat
        self.heard_at = time.monotonic()  # when the server last heard of this run
        self._spool = spool
        self._from_disk = spool is not None
        self._left_in: Path | None = None
        self._flight: Record | None = None  # the record of which a request is on its way, or has to be repeated
        self._flight_on_disk = False
        self._updates: dict[str, Any] = {}
        self._updated_at = 0.0
        self.ended = False
        self._closed = False

    @property
    def run_id(self) -> int | None:
        return self.run.get("id")

    @property
    def is_empty(self) -> bool:
        """Nothing is left to send."""
        with self.lock:
            on_disk = self._spool is not None and not self._spool.is_empty
            return not (self.rows or self._flight or self._updates or on_disk or self.run_id is None)

    @property
    def folder(self) -> Path | None:
        """Where on disk the rest is, if any is."""
        return self._spool.folder if self._spool is not None else self._left_in

    # --- Adding -----------------------------------------------------------------------------------------------------

    def update(self, **fields: Any) -> None:
        """Change fields of the run (config, tags, status) with its next request."""
        with self.lock:
            self._updates.update(fields)
            if "status" in fields:
                self.ended = fields["status"] != "running"

    def spill(self) -> None:
        """Move everything to the disk, what is being sent first, so that it comes before what follows it.

        Never raises: what the disk does not take is dropped, counted and told.
        """
        with self.lock:
            if self._closed:
                return
            updates, self._updates = self._updates, {}
            ending = "status" in updates
            if self._flight is not None and not self._flight_on_disk:
                # Tried: the server may have it, under this key. It is repeated as it is.
                self._flight_on_disk = self._append({**self._flight, "tried": True})
            while (record := self._cut()) is not None:
                if (self._spool is not None and self._spool.is_full) or not self._append(record):
                    self.dropped += _count(record)
            if updates or (self.run_id is None and self._spool is None):
                self._append({"update": updates}, force=ending)
            with contextlib.suppress(OSError):
                if self._spool is not None:
                    if ending:
                        self._spool.name_run(ended=self.ended)
                    self._spool.fsync(now=ending)

    def _append(self, record: Record, *, force: bool = False) -> bool:
        try:
            if self._spool is None:
                self._spool = Spool.create(self.root, self.run, limit=self.spool_limit)
            self._spool.append(record, force=force)
        except OSError as error:
            kind = "limit" if isinstance(error, SpoolFull) else "disk"
            warn_once((self.run["uid"], kind), f"Points of run {self.name} are dropped: {error}.")
            return False
        return True

    # --- Cutting ----------------------------------------------------------------------------------------------------

    def _cut(self) -> Record | None:
        """The next record of at most about `MAX_BATCH` points, or None. The caller holds the lock."""
        series: dict[str, tuple[list[int], list[float], list[float]]] = {}
        count = 0
        while self.rows and count < MAX_BATCH:
            moment, step, values = self.rows.popleft()
            stamp = round(moment, 6)
            for name, value in values.items():
                columns = series.get(name)
                if columns is None:
                    columns = series[name] = ([], [], [])
                columns[0].append(step)
                columns[1].append(value)
                columns[2].append(stamp)
            count += len(values)
        if not series:
            return None
        return {
            "key": uuid.uuid4().hex,
            "series": {
                name: {"steps": steps, "values": values, "timestamps": stamps}
                for name, (steps, values, stamps) in series.items()
            },
        }

    # --- Sending ----------------------------------------------------------------------------------------------------

    def send(self, api: Api, *, all_of_it: bool = False) -> None:
        """Send what there is; `all_of_it`: also what would rather wait a little.

        Raises:
            Unavailable: the server is away; nothing is lost, call again later.
        """
        if self.stuck:
            self.spill()
            return
        if self.run_id is None and not self._create(api):
            return
        self._send_spool(api)
        started = time.monotonic()
        while (record := self._take()) is not None:
            self._post(api, record["key"], record)
            self._landed()
            # Another run's turn: who logs without end must not keep the others waiting.
            if not all_of_it and time.monotonic() - started > TURN_SECONDS:
                break
        self._put_updates(api, now=all_of_it)

    def beat(self, api: Api, *, every: float) -> None:
        """Say that the run is alive, if nothing else has said so for `every` seconds.

        Raises:
            Unavailable: the server is away.
        """
        if self.heartbeat and self.run_id and not self.ended and time.monotonic() - self.heard_at >= every:
            try:
                self.heartbeat = calls.beat(api, self.run_id)
            except Refused:
                self.heartbeat = False
            self.heard_at = time.monotonic()

    def _create(self, api: Api) -> bool:
        """Make the run on the server; one that an earlier attempt may have made is looked for first.

        False: the server refuses it. Without its run nothing can be sent; a person can mend run.json, and sync.
        """
        uncertain = bool(self.run.get("uncertain")) or self._from_disk
        try:
            made = calls.run_create(api, self.run, look_first=uncertain)
        except Unavailable as error:
            self._note(late=True, uncertain=uncertain or error.sent)
            raise
        except Refused as error:
            self.stuck = True
            self.spill()
            warn_once((self.run["uid"], "create"), f"Run {self.name} was refused and stays in {self.folder}: {error}")
            return False
        self._note(id=made["id"], project_id=made["project_id"])
        if self.run["started_at"] and (uncertain or self.run.get("late")):
            self._updates.setdefault("started_at", self.run["started_at"])
        return True

    def _note(self, **fields: Any) -> None:
        with self.lock:
            self.run.update(fields)
            if self._spool is not None:
                self._spool.name_run(**fields)

    def _take(self) -> Record | None:
        """The record to send next, cut from the rows in memory, or None when there is none or the disk comes first."""
        with self.lock:
            if self._flight is None and (self._spool is None or self._spool.is_empty):
                self._flight = self._cut()
            return None if self._flight_on_disk else self._flight

    def _landed(self) -> None:
        """The record in flight is on the server. If it was put on disk meanwhile, it was the first one there."""
        with self.lock:
            if self._flight_on_disk and self._spool is not None:
                end = next((end for end, _ in self._spool.records()), self._spool.size)
                self._spool.sent(end)
            self._flight, self._flight_on_disk = None, False

    def _send_spool(self, api: Api) -> None:
        while True:
            with self.lock:
                if self._spool is None:
                    return
                if self._flight_on_disk:
                    self._flight, self._flight_on_disk = None, False  # sent from the disk, with the same key
                elif self._flight is not None:
                    return  # cut before the spool was begun: it goes first, from memory
                if self._spool.is_empty:
                    # One with something refused in it stays: a person is to see it, and more may follow.
                    if self._spool.remove():
                        self._spool = None
                    return
                end, key, group = _group(self._spool)
                self._spool.sending(end)
            self._send_group(api, key, group)
            with self.lock:
                if self._spool is not None:
                    self._spool.sent(end)

    def _send_group(self, api: Api, key: str, group: list[Record]) -> None:
        series = _merge(record["series"] for record in group if "series" in record)
        if series:
            self._post(api, key, {"key": key, "series": series})
        for record in group:
            if not record:
                warn_once((self.run["uid"], "damaged"), f"A damaged line in {self.folder} was left out.")
            elif record.get("update"):
                self._put(api, record["update"])

    def _post(self, api: Api, key: str, record: Record) -> None:
        if self.refused or self.run_id is None:
            self._set_aside(record, "the run no longer takes points")
            return
        try:
            calls.points_post(api, self.run_id, key, record["series"], heartbeat=self.heartbeat)
            self.heard_at = time.monotonic()
        except Refused as error:
            halves = _halves(record["series"]) if error.status == _TOO_LARGE else None
            if halves is not None:
                for number, half in enumerate(halves):
                    self._post(api, f"{key}-{number}", {"key": f"{key}-{number}", "series": half})
                return
            self.refused = error.status in (403, 404)
            self._set_aside(record, str(error))

    def _set_aside(self, record: Record, reason: str) -> None:
        """The server will never take this: keep it in a file beside the spool, and tell it once."""
        with self.lock:
            self.dropped += _count(record)
            with contextlib.suppress(OSError):
                if self._spool is None:
                    self._spool = Spool.create(self.root, self.run, limit=self.spool_limit)
                self._spool.refuse(record, reason)
            where = f"; they are kept in {self._spool.folder}" if self._spool is not None else ""
        warn_once((self.run["uid"], "refused"), f"Points of run {self.name} were refused{where}: {reason}")

    def _put_updates(self, api: Api, *, now: bool) -> None:
        with self.lock:
            # The end of a run comes last: after its points, however they are sent.
            on_disk = self._spool is not None and not self._spool.is_empty
            waits = on_disk or self._flight is not None or (self.ended and bool(self.rows))
            soon = now or self.ended or time.monotonic() - self._updated_at >= UPDATE_SECONDS
            if not self._updates or waits or not soon:
                return
            fields = dict(self._updates)
        self._put(api, fields)
        self._updated_at = time.monotonic()
        with self.lock:
            # What was changed again meanwhile is sent with the next ones.
            self._updates = {name: value for name, value in self._updates.items() if value is not fields.get(name)}

    def _put(self, api: Api, fields: dict[str, Any]) -> None:
        if self.run_id is None or self.refused:
            return
        try:
            calls.run_update(api, self.run_id, fields)
            self.heard_at = time.monotonic()
        except Refused as error:
            warn_once((self.run["uid"], "update"), f"A change of run {self.name} was refused: {error}")

    # --- The end ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return f"'{self.run['body']['name']}'"

    def close(self) -> None:
        """Let go of the disk: an empty folder is removed, one with something in it stays for `ai_manager sync`."""
        with self.lock:
            self._closed = True
            if self._spool is not None and not (self.is_empty and self._spool.remove()):
                self._left_in = self._spool.folder
                self._spool.close()
            self._spool = None

    def forked(self) -> None:
        """In a forked child: what the parent logged is the parent's to send, and its spool the parent's to write."""
        self.lock = threading.RLock()
        self.rows.clear()  # the same object: the run holds it too
        self._flight, self._flight_on_disk, self._updates = None, False, {}
        if self.run_id is None:
            self.run["uncertain"] = True  # the parent makes it as well
        spool, self._spool = self._spool, None
        if spool is not None:
            with contextlib.suppress(OSError):
                spool.disown()


def _group(spool: Spool) -> tuple[int, str, list[Record]]:
    """The records that make the next request: (end of the last one, idempotency key, records).

    What had been pinned before a crash is repeated as it was.
    """
    group: list[Record] = []
    end, points = spool.offset, 0
    for record_end, record in spool.records():
        count = _count(record)
        alone = group and (_goes_alone(group[0]) or _goes_alone(record))
        if group and spool.until is None and (alone or points + count > MAX_BATCH):
            break
        group.append(record)
        end, points = record_end, points + count
    keys = [record["key"] for record in group if "key" in record]
    # One record alone keeps its key: it may be on the server already, sent from memory.
    key = keys[0] if len(keys) == 1 else f"{keys[0]}-{end}" if keys else ""
    return max(end, spool.until or 0), key, group


def _goes_alone(record: Record) -> bool:
    return "update" in record or "tried" in record


def _merge(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        for name, columns in part.items():
            into = merged.setdefault(name, {"steps": [], "values": [], "timestamps": []})
            for column, values in into.items():
                values.extend(columns[column])
    return merged


def _halves(series: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Two requests instead of one that is too large; None when there is nothing left to halve."""
    if sum(len(columns["steps"]) for columns in series.values()) < 2:
        return None
    names = list(series)
    if len(names) > 1:
        middle = len(names) // 2
        return [{name: series[name] for name in part} for part in (names[:middle], names[middle:])]
    columns = series[names[0]]
    middle = len(columns["steps"]) // 2
    return [
        {names[0]: {column: values[part] for column, values in columns.items()}}
        for part in (slice(None, middle), slice(middle, None))
    ]


def _count(record: Record) -> int:
    return sum(len(columns["steps"]) for columns in record.get("series", {}).values())
