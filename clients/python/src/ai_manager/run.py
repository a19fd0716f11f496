"""A run, as a training script sees it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ai_manager import files, values
from ai_manager.notices import warn_once
from ai_manager.outbox import MAX_ROWS, WAKE_ROWS, Outbox, Row
from ai_manager.sender import Sender

STATUSES = ("completed", "failed", "cancelled")
MAX_REASON = 500
_ONLY_FLOATS = {float}
_MAX_CHECKED_NAMES = 100_000
_checked_names: set[str] = set()  # names that a metric can have, so that each is looked at once


class _NotAStep(ValueError):
    """What was given as a step is no whole number."""


class Config(dict[str, Any]):
    """A run's configuration; changes reach the server within some seconds."""

    def __init__(self, values: Mapping[str, Any], changed: Any) -> None:
        super().__init__(values)
        self._changed = changed

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._changed()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._changed()

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        self._changed()

    def setdefault(self, key: str, default: Any = None) -> Any:
        found = super().setdefault(key, default)
        self._changed()
        return found

    def pop(self, *args: Any) -> Any:
        found = super().pop(*args)
        self._changed()
        return found


class Run:
    """One training. Use it in a `with`, or end it by `finish()`; a run that nobody ends is ended with the process.

    No method raises because of the server, and `log` never waits for it.
    """

    def __init__(
        self,
        *,
        sender: Sender | None,
        outbox: Outbox,
        config: Mapping[str, Any],
        tags: Iterable[str],
        files_limit: int = 0,
        first_step: int = 0,
        first_system_step: int = 0,
    ) -> None:
        self._sender = sender  # None: mode `disabled`, in which nothing is kept
        self._outbox = outbox
        self._files_limit = files_limit
        self._pid = os.getpid()
        self._last_step = first_step - 1
        self._step_lock = threading.Lock()
        self._system_step = first_system_step
        self._tags = list(tags)
        self._ended = threading.Lock()
        self.status = "running"
        self.name: str = outbox.run["body"]["name"]
        self.config = Config(config, self._config_changed)
        # Looked up once: `log` is called in the innermost loop.
        self._rows: deque[Row] = outbox.rows
        if sender is not None:
            sender.running_runs.add(self)

    # --- What it is -------------------------------------------------------------------------------------------------

    @property
    def id(self) -> int | None:
        """The run's id on the server; None while it has not been made there."""
        return self._outbox.run_id

    @property
    def url(self) -> str | None:
        """The run's page; None while the run has not been made on the server."""
        return f"{self._outbox.run['api_url']}/ui/runs/{self.id}/" if self.id is not None else None

    @property
    def folder(self) -> Path | None:
        """Where on disk waits what could not be sent yet; None when nothing does."""
        return self._outbox.folder

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._tags)

    def __repr__(self) -> str:
        return f"<Run {self.id if self.id is not None else 'not sent yet'} '{self.name}' {self.status}>"

    # --- Logging ----------------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any], step: int | None = None, *, at: float | None = None) -> None:
        """Log values at `step`; without one, at the step after the last.

        `metrics`: numbers by name: Python's, NumPy's scalars, tensors of one element; NaN and infinities too. A mapping
        inside gives names like `train/loss`. What is no number is left out, and told once. `at`: when it was measured,
        in seconds since 1970, if not now.
        """
        try:
            # The usual case, of plain floats under known names, without a line of Python for each value.
            row = dict(metrics)
            if not _checked_names.issuperset(row) or set(map(type, row.values())) != _ONLY_FLOATS:
                row = self._read(metrics)
            if step is None:
                with self._step_lock:
                    step = self._last_step = self._last_step + 1
            elif step.__class__ is int and -values.MAX_STEP <= step <= values.MAX_STEP:
                self._last_step = step
            else:
                step = self._last_step = self._step(step)
        except _NotAStep as error:
            warn_once((self._outbox.run["uid"], "step"), str(error))
            return
        except Exception as error:  # noqa: BLE001 - a foreign object's own; training goes on
            warn_once((self._outbox.run["uid"], "log"), f"run.log could not read what it was given: {error!r}")
            return
        self._rows.append((time.time() if at is None else at, step, row))
        if len(self._rows) >= WAKE_ROWS or (self._sender is not None and not self._sender.running):
            self._attend()

    def _read(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The numbers in `metrics`, by names that the server takes; what is neither is told once."""
        row = {}
        for name, value in values.flat(metrics):
            shown = name[:100]
            try:
                number = values.number(value)
            except values.BadValue as error:
                warn_once((self._outbox.run["uid"], shown), f"'{shown}' is not logged: {error}.")
                continue
            if name not in _checked_names:
                problem = values.name_problem(name)
                if problem:
                    warn_once((self._outbox.run["uid"], shown), f"A value is not logged, for it has {problem}.")
                    continue
                if len(_checked_names) < _MAX_CHECKED_NAMES:
                    _checked_names.add(name)
            row[name] = number
        return row

    def _step(self, step: Any) -> int:
        """`step` as a whole number. Raises _NotAStep."""
        with contextlib.suppress(values.BadValue, ValueError, OverflowError):
            number = values.number(step)
            whole = int(step) if isinstance(step, int) else int(number)
            if whole == number and abs(whole) <= values.MAX_STEP:
                return whole
        raise _NotAStep(f"Nothing is logged at step {step!r:.100}: not a whole number.")

    def _attend(self) -> None:
        """Many rows wait, or nobody sends yet (in a forked child): see to it."""
        if len(self._rows) >= MAX_ROWS:
            self._outbox.spill()
        if self._sender is not None:
            self._sender.wake()

    def log_system(self, sample: dict[str, float]) -> None:
        """Add one sample of the machine (`ai_manager.system`); its steps count samples, apart from the training's."""
        self._rows.append((time.time(), self._system_step, sample))
        self._system_step += 1

    # --- Changing ---------------------------------------------------------------------------------------------------

    def set_tags(self, tags: Iterable[str]) -> None:
        """Replace the run's tags."""
        self._tags = [values.text(str(tag), 200) for tag in ([tags] if isinstance(tags, str) else tags)]
        self._outbox.update(tags=list(self._tags))

    def _config_changed(self) -> None:
        with contextlib.suppress(Exception):  # an object with a broken repr; the change is sent with the next one
            self._outbox.update(config=values.jsonable(dict(self.config)))

    def log_artifact(self, source: str | os.PathLike[str], path: str = "") -> bool:
        """Upload a file, or a folder with all that is in it; True when it is on its way.

        A copy is taken now, so the file may change afterwards; it is sent in the background, in pieces where it is
        large, and by a later process where the server is away. `path`: its path in the run (with a final slash the
        folder for it); its own name if left out. What cannot be read, or would pass `AI_MANAGER_FILES_LIMIT` together
        with the copies that wait already, is told and left out: training goes on.
        """
        if self._sender is None:
            return False
        uid = self._outbox.run["uid"]
        if self.status != "running":
            warn_once((uid, "ended"), f"Run '{self.name}' has ended: what is logged now is lost.")
            return False
        try:
            places = files.found(Path(source), path)
            for copy in files.copies(places, self._outbox.root, self._outbox.run, limit=self._files_limit):
                self._sender.files_add(copy)
        except (OSError, ValueError) as error:
            warn_once((uid, "file", str(source)), f"{source} is not uploaded: {error}")
            return False
        return True

    def flush(self, timeout: float = 30.0) -> bool:
        """Send what was logged so far; True when all of it is on the server within `timeout` seconds."""
        if self._sender is None:
            return True
        deadline = time.monotonic() + timeout
        sent = self._sender.wait([self._outbox], timeout=timeout)
        return sent and self._sender.files.wait(self._outbox.run, timeout=deadline - time.monotonic())

    # --- The end ----------------------------------------------------------------------------------------------------

    def finish(self, status: str = "completed", reason: str = "") -> None:
        """End the run: send what is left, for at most `AI_MANAGER_EXIT_SECONDS`; the rest is sent later.

        `status`: completed, failed or cancelled; `reason`: a sentence shown beside it.

        Raises:
            ValueError: another status.
        """
        if status not in STATUSES:
            raise ValueError(f"'{status}' is not one of {', '.join(STATUSES)}")
        if self._end(status, reason) and self._sender is not None:
            self._sender.finish(self._outbox)

    def _end(self, status: str, reason: str = "") -> bool:
        """Note that the run has ended, without waiting. False: it had ended already."""
        with self._ended:
            if self.status != "running":
                return False
            self.status = status
        ended = {"status": status, "ended_at": iso(time.time())}
        if reason:
            ended["status_reason"] = values.text(reason, MAX_REASON)
        self._outbox.update(**ended)
        self._rows = _Ended(self)
        if self._sender is not None:
            self._sender.running_runs.discard(self)
        return True

    def forked(self) -> None:
        """In a forked child: a thread that is not here may have held the locks. The run stays the parent's to end."""
        self._step_lock = threading.Lock()
        self._ended = threading.Lock()

    def end_at_exit(self) -> None:
        """The process ends and nobody has ended this run: was it by an exception that nobody caught?"""
        # The interpreter leaves it there before it ends; in a notebook it is of some earlier cell.
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        self._end(*_status_after(error))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if os.getpid() == self._pid:  # in a forked child the run is the parent's to end
            with contextlib.suppress(Exception):
                self.finish(*_status_after(error))


class _Ended(deque[Row]):
    """Takes the place of the rows of a run that has ended, so that `log` need not ask each time."""

    def __init__(self, run: Run) -> None:
        super().__init__(maxlen=0)
        self._run = run

    def append(self, _: Row) -> None:
        uid = self._run._outbox.run["uid"]
        warn_once((uid, "ended"), f"Run '{self._run.name}' has ended: what is logged now is lost.")


def _status_after(error: BaseException | None) -> tuple[str, str]:
    """Status and reason of a run that was left with this exception."""
    if error is None or isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
        return "completed", ""
    if isinstance(error, KeyboardInterrupt):
        return "cancelled", "Interrupted (KeyboardInterrupt)"
    return "failed", f"{type(error).__name__}: {error}"


def iso(moment: float) -> str:
    """UTC without zone, as the contract writes times."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{seconds}.{int(moment % 1 * 1e6):06d}"
