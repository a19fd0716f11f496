"""What could not be sent yet, on disk: a folder a run, which any later process can send.

    run.json      what the run is: server, account, project, the body that makes it, and its id once it has one
    records.log   one record a line, only ever appended: `<crc32 in hex> <JSON>`
    sent.json     how far the records have been sent, replaced as a whole
    refused.log   records that the server will not take, with its reason
    lock          held (flock) by the process that writes here

A line that was cut short by a crash fails its checksum and is taken for absent. Records are sent in their order,
several in one request. Which ones is written into sent.json, and fsynced, *before* they are sent: whoever goes on after
a crash repeats exactly that request with the same idempotency key, so nothing is stored twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: two processes are kept apart by their folders' names only
    fcntl = None  # type: ignore[assignment]

RUN, RECORDS, SENT, REFUSED, LOCK = "run.json", "records.log", "sent.json", "refused.log", "lock"
FSYNC_SECONDS = 1.0
READ_AT_ONCE = 1 << 20  # bytes of records.log that are read for one request


class SpoolBusy(OSError):
    """Another process has this folder."""


class SpoolFull(OSError):
    """The run has as many bytes on disk as it may have."""


class Spool:
    """One run's folder. Not thread-safe: its owner holds a lock of its own around every call."""

    def __init__(self, folder: Path, run: dict[str, Any], *, limit: int) -> None:
        """Open `folder`, whose run.json says `run`.

        Raises:
            SpoolBusy: another process has it.
        """
        self.folder = folder
        self.run = run
        self.limit = limit
        self._lock = locked(folder / LOCK)
        self._file = os.open(folder / RECORDS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = self._cut_torn_end()
        self.is_full = False  # something was refused: what is smaller and comes later would leave a hole before it
        self._fsynced = time.monotonic()
        self._dirty = False
        sent = _read_json(folder / SENT) or {}
        self.offset = int(sent.get("offset", 0))
        self.until: int | None = sent.get("until")  # end of the records that are being sent, or were when we died

    @classmethod
    def create(cls, root: Path, run: dict[str, Any], *, limit: int) -> Spool:
        """A new folder under `root`."""
        now = time.time()
        begun = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        folder = root / f"{begun}-{int(now % 1 * 1e6):06d}-{uuid.uuid4().hex[:8]}"  # sorts by time
        folder.mkdir(parents=True, mode=0o700)
        _write_json(folder / RUN, run)
        return cls(folder, run, limit=limit)

    @classmethod
    def open(cls, folder: Path, *, limit: int) -> Spool:
        """An existing folder.

        Raises:
            SpoolBusy: another process has it.
            ValueError: it is not a run's folder.
        """
        run = _read_json(folder / RUN)
        if not isinstance(run, dict):
            raise ValueError(f"{folder} has no readable {RUN}")
        return cls(folder, run, limit=limit)

    # --- Writing ----------------------------------------------------------------------------------------------------

    def append(self, record: dict[str, Any], *, force: bool = False) -> None:
        """Add one record; `force`: also beyond the limit (the end of a run is small, and matters).

        Raises:
            SpoolFull: the limit is reached; nothing was written.
            OSError: the disk refused; a part that was written is cut off again.
        """
        line = _encode(record)
        if not force and self.size + len(line) > self.limit:
            self.is_full = True
            raise SpoolFull(f"{self.folder} has reached its limit of {self.limit} bytes")
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes were written")
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(line)
        self._dirty = True

    def fsync(self, *, now: bool = True) -> None:
        """Make what was appended safe from a power cut; without `now` at most once a second."""
        if self._dirty and (now or time.monotonic() - self._fsynced > FSYNC_SECONDS):
            os.fsync(self._file)
            self._dirty = False
            self._fsynced = time.monotonic()

    def name_run(self, **fields: Any) -> None:
        """Write down what is known of the run by now (its id)."""
        self.run.update(fields)
        _write_json(self.folder / RUN, self.run)

    # --- Sending ----------------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        return self.offset >= self.size

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(offset of its end, record) of those that are not sent yet, up to `READ_AT_ONCE` bytes, at least one."""
        end, offset = self.until or self.size, self.offset
        content = os.pread(self._file, end - offset if self.until else min(end - offset, READ_AT_ONCE), offset)
        while b"\n" not in content and offset + len(content) < end:
            content += os.pread(self._file, READ_AT_ONCE, offset + len(content))
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            record = _decode(line)
            yield offset, record if record is not None else {}

    def sending(self, until: int) -> None:
        """Pin the records up to `until` as one request, before it is sent."""
        self.fsync()
        self.until = until
        _write_json(self.folder / SENT, {"offset": self.offset, "until": until})

    def sent(self, until: int) -> None:
        """The records up to `until` are on the server (or refused for good)."""
        self.offset, self.until = until, None
        _write_json(self.folder / SENT, {"offset": until, "until": None}, fsync=False)

    def refuse(self, record: dict[str, Any], reason: str) -> None:
        """Keep what the server will not take where a person can find it."""
        with open(self.folder / REFUSED, "ab") as file:
            file.write(_encode({"reason": reason, **record}))

    # --- The end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the folder; what is in it stays."""
        with contextlib.suppress(OSError):
            self.fsync()
        os.close(self._file)
        if self._lock is not None:
            os.close(self._lock)

    def remove(self) -> bool:
        """Everything was sent: remove the folder. False: it stays, for it holds something that was refused."""
        if (self.folder / REFUSED).exists():
            return False
        # Renamed first: a folder that is half removed when we die must not be taken for a run.
        gone = self.folder.with_name(self.folder.name + ".gone")
        os.rename(self.folder, gone)
        self.close()
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def disown(self) -> None:
        """In a forked child: the parent goes on writing here, and its lock must end with the parent."""
        os.close(self._file)
        if self._lock is not None:
            os.close(self._lock)

    def _cut_torn_end(self) -> int:
        """Bytes of whole records; what a crash left half written behind them is cut off."""
        size = os.fstat(self._file).st_size
        if size == 0:
            return 0
        tail = max(0, size - READ_AT_ONCE)
        end = size
        while True:
            end = os.pread(self._file, size - tail, tail).rfind(b"\n") + 1
            if end or not tail:
                break
            tail = max(0, tail - READ_AT_ONCE)
        end += tail
        if end < size:
            os.ftruncate(self._file, end)
        return end


def folders(root: Path) -> list[Path]:
    """The runs' folders under `root` (or `root` itself, if it is one), the oldest first."""
    if (root / RUN).exists():
        return [root]
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if (path / RUN).exists() and not path.name.endswith(".gone"))


def _encode(record: dict[str, Any]) -> bytes:
    content = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _decode(line: bytes) -> dict[str, Any] | None:
    """None: the line is damaged."""
    try:
        checksum, content = line[:-1].split(b" ", 1)
        return json.loads(content) if int(checksum, 16) == zlib.crc32(content) else None
    except ValueError:
        return None


def locked(path: Path) -> int | None:
    """Lock a file until its descriptor is closed; None where that cannot be done. Raises SpoolBusy."""
    if fcntl is None:
        return None
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SpoolBusy(f"{path.parent} is in use by another process") from error
    return lock


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _write_json(path: Path, value: Any, *, fsync: bool = True) -> None:
    """Replace `path` as a whole: after a crash it is the old or the new one."""
    temporary = path.with_suffix(".new")
    with open(temporary, "w") as file:
        json.dump(value, file)
        if fsync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
