"""Files of runs on their way to the server: copied at once, sent by a thread of their own, kept on disk until then.

    <spool>/files/<time>-<random>/
        data        the copy
        file.json   what it is: the run, server and account, the path, size and SHA-256
        lock        held (flock) by the process that sends it

A large file goes in pieces, so that a broken line costs one piece; what an earlier process has left is sent as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manager import calls
from ai_manager.api import Api
from ai_manager.errors import Refused, Unavailable
from ai_manager.notices import warn_once
from ai_manager.spool import SpoolBusy, SpoolFull, locked

FILES, DATA, FACTS, LOCK, REFUSED = "files", "data", "file.json", "lock", "refused.txt"
COPY_BYTES = 1 << 20
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
MAX_FILES = 10_000  # of a folder; a run takes no more
_RUN_FACTS = ("uid", "api_url", "account", "project", "project_id", "id")  # by which its run is found again
_POLL_SECONDS = 0.2  # how soon a run that has just been made on the server is seen


@dataclass
class Waiting:
    """A file that waits in its folder. `run` is what the outbox knows of the run; its `id` may come later."""

    folder: Path
    run: dict[str, Any]
    path: str
    size: int
    sha256: str
    lock: int | None
    is_left: bool = False  # by an earlier process: the run's id may have to be asked for

    @classmethod
    def copy(cls, source: Path, root: Path, run: dict[str, Any], path: str, *, room: int) -> Waiting:
        """Copy `source` below `root`, hashing on the way. Nothing is left behind where it

        Raises:
            SpoolFull: it has more than `room` bytes.
            OSError: it cannot be read, or the disk refused.
        """
        now = time.time()
        begun = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        folder = root / FILES / f"{begun}-{int(now % 1 * 1e6):06d}-{uuid.uuid4().hex[:8]}"  # sorts by time
        folder.mkdir(parents=True, mode=0o700)
        try:
            digest, size = hashlib.sha256(), 0
            with open(source, "rb") as data, open(folder / DATA, "xb") as copy:
                while piece := data.read(COPY_BYTES):
                    if size + len(piece) > room:
                        raise SpoolFull(f"{source} has grown beyond the {room:,} bytes that the spool has left")
                    digest.update(piece)
                    copy.write(piece)
                    size += len(piece)
            made = cls(folder, run, path, size, digest.hexdigest(), locked(folder / LOCK))
            made.note()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return made

    @classmethod
    def open(cls, folder: Path) -> Waiting:
        """What another process has left. Raises SpoolBusy; ValueError, OSError: it is no such folder."""
        lock = locked(folder / LOCK)
        try:
            facts = json.loads((folder / FACTS).read_bytes())
            path, size, sha256 = str(facts["path"]), int(facts["size"]), str(facts["sha256"])
            return cls(folder, dict(facts["run"]), path, size, sha256, lock, is_left=True)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder} is damaged") from error
        except BaseException:
            _unlock(lock)
            raise

    def note(self) -> None:
        """Write down what it is; after a crash it is wholly there or not at all."""
        run = {name: self.run.get(name) for name in _RUN_FACTS} | {"body": {"name": self.run["body"]["name"]}}
        facts = {"run": run, "path": self.path, "size": self.size, "sha256": self.sha256}
        temporary = self.folder / f"{FACTS}.new"
        temporary.write_text(json.dumps(facts))
        os.replace(temporary, self.folder / FACTS)

    def send(self, api: Api, moved: Callable[[], None]) -> bool:
        """Send it; False: its run is not on the server yet. `moved` is called whenever some of it has arrived.

        Raises:
            Unavailable: later.
            Refused: never.
        """
        run_id = self.run.get("id")
        if run_id is None and self.is_left:
            run_id = calls.run_id_of(api, self.run)
        if run_id is None:
            return False
        data = self.folder / DATA
        calls.file_send(api, int(run_id), self.path, data, size=self.size, sha256=self.sha256, moved=moved)
        return True

    def remove(self) -> None:
        """It is on the server."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def refuse(self, reason: str) -> None:
        """The server will never take it: it stays where a person finds it."""
        with contextlib.suppress(OSError):
            (self.folder / REFUSED).write_text(reason)
        self.close()

    def close(self) -> None:
        """Let go of it; what is there stays."""
        _unlock(self.lock)
        self.lock = None


class FileSender:
    """Sends the files of one server and account, one after the other, on a connection of its own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._waiting: list[Waiting] = []
        self.forget()

    def forget(self) -> None:
        """Start anew, also in a forked child: what waits is the parent's to send."""
        self.api.forget()
        for file in self._waiting:
            file.close()  # the parent's lock must end with the parent
        self._waiting = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failures = 0
        self._moved_at = 0.0

    def add(self, file: Waiting) -> None:
        """Send it when its turn comes."""
        with self._changed:
            self._waiting.append(file)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="ai_manager-files", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is ending: it stays for `ai_manager sync`
                    self._thread.start()
            self._changed.notify_all()

    def take_over(self, root: Path) -> None:
        """Send too what earlier processes have left for this server and account."""
        for file in left(root):
            with self._changed:
                is_ours = any(file.folder == other.folder for other in self._waiting)  # where nothing can be locked
            mine = (self.api.url, self.api.credentials.account)
            if (file.run.get("api_url"), file.run.get("account")) == mine and not is_ours:
                self.add(file)
            else:
                file.close()

    def wait(self, run: dict[str, Any] | None = None, *, timeout: float) -> bool:
        """Wait until nothing (of that run) waits any more; False: something does after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._has(run), timeout=max(timeout, 0.0))

    def finish(self, run: dict[str, Any] | None = None, *, patience: float) -> bool:
        """The same for as long as files move; False: for `patience` seconds nothing has arrived at the server."""
        began = time.monotonic()
        with self._changed:
            while self._has(run):
                left_over = max(began, self._moved_at) + patience - time.monotonic()
                if left_over <= 0:
                    return False
                self._changed.wait(min(left_over, _POLL_SECONDS))
        return True

    def has(self, run: dict[str, Any] | None = None) -> bool:
        """Whether something (of that run) waits."""
        with self._changed:
            return self._has(run)

    def _has(self, run: dict[str, Any] | None) -> bool:
        return any(not file.is_left and (run is None or file.run is run) for file in self._waiting)

    def close(self) -> None:
        """The process ends: what waits stays on disk."""
        with self._changed:
            self._closed = True
            left_over, self._waiting = self._waiting, []
            self._changed.notify_all()
        for file in left_over:
            with contextlib.suppress(OSError):
                file.note()  # the run's id may have come since
            file.close()
        self.api.close()

    # --- The thread -------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while (file := self._next()) is not None:
            try:
                pause = self._send(file)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must not wait for it for ever
                warn_once(("files", type(error)), f"Sending a file failed and will be tried again: {error!r}")
                pause = self._backoff()
            if pause:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, timeout=pause)

    def _next(self) -> Waiting | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            return None if self._closed else self._waiting[0]

    def _send(self, file: Waiting) -> float:
        """Try it; seconds to wait before the next try."""
        try:
            sent = file.send(self.api, self._moved)
        except Unavailable as error:
            if not self._closed:
                warn_once((id(self), "away"), f"{error}. Files are kept and sent later.")
            return max(error.retry_after or 0.0, self._backoff())
        except (Refused, OSError) as error:
            self._done(file)
            file.refuse(str(error))
            warn_once((str(file.folder), "refused"), f"{file.path} is not sent and stays in {file.folder}: {error}")
            return 0.0
        if not sent:
            # Behind the others: they may be of runs that are there. One that was left waits for the next process.
            self._done(file)
            if file.is_left:
                file.close()
                return 0.0
            with self._changed:
                self._waiting.append(file)
            return _POLL_SECONDS
        self._moved()
        file.remove()
        self._done(file)
        return 0.0

    def _done(self, file: Waiting) -> None:
        with self._changed:
            with contextlib.suppress(ValueError):
                self._waiting.remove(file)
            self._changed.notify_all()

    def _moved(self) -> None:
        self._failures, self._moved_at = 0, time.monotonic()

    def _backoff(self) -> float:
        seconds: float = min(FIRST_BACKOFF * 2**self._failures, LAST_BACKOFF) * random.uniform(0.5, 1.5)  # noqa: S311
        self._failures = min(self._failures + 1, 10)
        return seconds


def left(root: Path) -> Iterator[Waiting]:
    """The files that processes which are gone have left under a spool, oldest first; not what a server refused."""
    folder = root / FILES
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (place / FACTS).exists() and not (place / REFUSED).exists():
            with contextlib.suppress(SpoolBusy, ValueError, OSError):
                yield Waiting.open(place)


def copies(places: list[tuple[Path, str]], root: Path, run: dict[str, Any], *, limit: int) -> Iterator[Waiting]:
    """Copy these files, each with its path in the run, below `root`: one whenever the next is asked for.

    Raises:
        SpoolFull: with what waits there already they pass `limit` bytes; none was copied.
        OSError: a file cannot be read, or the disk refused; those before it are copied.
    """
    held = waiting_bytes(root)
    wanted = sum(file.stat().st_size for file, _ in places)
    if held + wanted > limit:
        raise SpoolFull(
            f"it has {wanted:,} bytes, {held:,} wait in {root / FILES} already, and AI_MANAGER_FILES_LIMIT allows "
            f"{limit:,} together. Log it again when those are sent (`ai_manager sync` sends what earlier processes "
            "have left), or allow more"
        )
    for file, place in places:
        copy = Waiting.copy(file, root, run, place, room=limit - held)
        held += copy.size
        yield copy


def waiting_bytes(root: Path) -> int:
    """Bytes of the copies under a spool, whoever made them, those that a server refused too."""
    total = 0
    for data in (root / FILES).glob(f"*/{DATA}"):
        with contextlib.suppress(FileNotFoundError):  # it has just been sent
            total += data.stat().st_size
    return total


def found(source: Path, path: str) -> list[tuple[Path, str]]:
    """The files that `source`, a file or a folder, stands for, each with its path in the run.

    `path`: the file's path in the run, or the folder that all goes into; with a final slash always a folder.

    Raises:
        OSError: there is no such file.
        ValueError: a folder with nothing in it, or with more than a run takes.
    """
    name = source.resolve().name
    if not source.is_dir():
        return [(source, f"{path}{name}" if path.endswith("/") else path or name)]
    top = path.strip("/") or name
    files = sorted(file for file in source.rglob("*") if file.is_file())
    if not files:
        raise ValueError(f"{source} is a folder without files")
    if len(files) > MAX_FILES:
        raise ValueError(f"{source} has {len(files)} files; a run takes {MAX_FILES}")
    return [(file, f"{top}/{file.relative_to(source).as_posix()}") for file in files]


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
