"""What a trainer says, on its way into the database: buffered, written by a thread of its own, lost by no outage."""

import logging
import math
import mmap
import os
import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from automl_site.errors import InvalidSpec
from jobs import lifecycle
from jobs.failures import printable
from jobs.models import Attempt, Job
from jobs.outages import FIRST_PAUSE, LONGEST_PAUSE, OUTAGE, forget_connection
from jobs.workspace import Workspace
from tracking import stream
from tracking.stream import MAX_NAME

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.3  # between two writes
GATHER_SECONDS = 0.02  # from the first news to their write: a job that is over by then writes all with its end
MAX_LINES = 10_000  # kept while the database is away; the oldest go first
MAX_POINTS = 200_000
MAX_LINE = 4_000  # characters
MAX_REFUSED = 100  # metrics of which the log says that their points are left out
MAX_OUTPUT_LINES = 10_000  # of what libraries print, an attempt
_OUTPUT_CHUNK = 64 * 1024
_OUTPUT_FILE = 4 * 1024 * 1024  # bytes: a file of printed text longer than this is emptied once it was read
_LEVELS = {"INFO": "INFO", "DEBUG": "INFO", "WARN": "WARN", "WARNING": "WARN", "ERROR": "ERROR", "CRITICAL": "ERROR"}


class StopFlag:
    """One byte shared with the forked child: why it is to stop. It is seen also where no signal handler runs."""

    NO, CANCELLED, HAND_BACK, TIMEOUT, CLAIM_LOST = range(5)

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    @property
    def reason(self) -> int:
        return self._shared[0]

    def set(self, reason: int) -> None:
        if self.reason == self.NO:  # the first reason stands
            self._shared[0] = reason


class Output:
    """New lines of a file that a file descriptor was pointed at. No pipe: a full one would block the writer."""

    def __init__(self, path: Path, descriptor: int, level: str) -> None:
        self.level = level
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._position = 0
        self._rest = b""
        self._descriptor = descriptor
        self._before = os.dup(descriptor)
        os.dup2(self._file, descriptor)

    def release(self) -> None:
        """Point the descriptor where it pointed before. What is printed from now on is no longer seen here."""
        os.dup2(self._before, self._descriptor)
        os.close(self._before)
        os.close(self._file)

    def lines(self, *, last: bool = False) -> list[str]:
        """What was printed since the last call, by lines, some at a time; with `last`, all and an unfinished one too.

        Of very much at last, the end: that is where a traceback stands.
        """
        wanted = _OUTPUT_CHUNK
        if last:
            size = os.fstat(self._file).st_size
            self._position = max(self._position, size - _OUTPUT_FILE)
            wanted = size - self._position
        chunk = os.pread(self._file, wanted, self._position)
        self._position += len(chunk)
        if self._position > _OUTPUT_FILE and len(chunk) < _OUTPUT_CHUNK:
            os.ftruncate(self._file, 0)
            self._position = 0
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _OUTPUT_CHUNK or (last and self._rest):
            whole.append(self._rest)
            self._rest = b""
        # A progress bar overwrites its line by carriage returns: only its last state is worth a line.
        texts = (line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace") for line in whole)
        return [text for text in texts if text.strip()]


class DatabaseReporter:
    """`trainers.protocol.Reporter` for an attempt. Every method may be called from any thread."""

    def __init__(self, *, attempt: Attempt, job: Job, workspace: Workspace, stop: StopFlag) -> None:
        self._attempt = attempt
        self._job = job
        self._workspace = workspace
        self._stop = stop
        self._outputs: list[Output] = []
        self._output_lines = 0
        self._lines: deque[stream.LogEntry] = deque()
        self._points: deque[stream.Point] = deque()
        self._progress: float | None = None
        self._message: str | None = None
        self._dropped = 0
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="reporter", daemon=True)
        self._refused: set[str] = set()  # names of metrics, some points of which were left out
        self.reported: set[str] = set()  # names of metrics

    # --- What a trainer calls ---------------------------------------------------------------------------------------

    def log(self, level: str, message: str) -> None:
        text = printable(str(message))
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]}… ({len(text)} characters)"
        entry = stream.LogEntry(_LEVELS.get(str(level).upper(), "INFO"), text, time=timezone.now())
        with self._news:
            self._lines.append(entry)
            if len(self._lines) > MAX_LINES:
                self._lines.popleft()
                self._dropped += 1
            self._news.notify()

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        now = timezone.now()
        points = []
        for name, value in values.items():
            try:
                points.append(_point(name, value, step, now))
            except InvalidSpec as error:
                self._refuse(str(name), error)
        with self._news:
            self.reported.update(point.name for point in points)
            self._points.extend(points)
            while len(self._points) > MAX_POINTS:
                self._points.popleft()
                self._dropped += 1
            self._news.notify()

    def _refuse(self, name: str, error: InvalidSpec) -> None:
        """One point that cannot be kept is left out; what came with it is not. Said once a metric: steps are many."""
        if name not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add(name)
            self.log("WARN", f"Points of the metric '{name[:MAX_NAME]}' are left out: {error.first_sentence()}")

    def progress(self, fraction: float, message: str = "") -> None:
        with self._news:
            if math.isfinite(fraction):
                self._progress = max(min(float(fraction), 1.0), self._progress or 0.0)
            if message:
                self._message = printable(str(message))
            self._news.notify()

    def checkpoint(self) -> Path:
        return self._workspace.checkpoint

    def should_stop(self) -> bool:
        return self._stop.reason != StopFlag.NO

    # --- What the runner calls --------------------------------------------------------------------------------------

    def capture_output(self) -> None:
        """Send what is printed from now on, by Python, native code and child processes alike, to the job's log."""
        self._outputs = [
            Output(self._workspace.stdout, 1, "INFO"),
            Output(self._workspace.stderr, 2, "WARN"),
        ]

    def release_output(self) -> None:
        """Take what is printed no more. After `close`."""
        while self._outputs:
            self._outputs.pop().release()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> lifecycle.Report:
        """End the thread and return what it has not written: it belongs into the job's last transaction.

        May be called again, and then returns the same, with what came since.
        """
        self._closing.set()
        with self._news:
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._read_outputs(last=True)
        rest = self._take()
        self._put_back(rest)
        return rest

    # --- The thread -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while not self._closing.is_set():
                with self._news:
                    self._news.wait_for(self._has_news, timeout=FLUSH_SECONDS)
                if self._closing.wait(GATHER_SECONDS):
                    break
                self._read_outputs()
                self._flush()
                self._closing.wait(FLUSH_SECONDS)
        finally:
            forget_connection()

    def _has_news(self) -> bool:
        return self._closing.is_set() or bool(
            self._lines or self._points or self._progress is not None or self._message is not None
        )

    def _flush(self) -> None:
        if not self._has_news():
            return
        entry = self._take()
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            try:
                lifecycle.report(attempt=self._attempt, job=self._job, entry=entry)
            except OUTAGE:
                forget_connection()
                self._closing.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except lifecycle.ClaimLost:
                self._end_as_zombie()
                return
            except Exception:  # a line that the database refuses must not silence all that follow
                logger.exception("A report of job %s was not written", self._job.pk)
                return
            else:
                return
        self._put_back(entry)

    def _take(self) -> lifecycle.Report:
        with self._news:
            if self._dropped:
                text = f"{self._dropped} lines and points were dropped: more came than could be written"
                self._lines.append(stream.LogEntry("WARN", text, time=timezone.now()))
            entry = lifecycle.Report(
                logs=list(self._lines), points=list(self._points), progress=self._progress, message=self._message
            )
            self._lines.clear()
            self._points.clear()
            self._progress = self._message = None
            self._dropped = 0
        return entry

    def _put_back(self, entry: lifecycle.Report) -> None:
        with self._news:
            self._lines.extendleft(reversed(entry.logs))
            self._points.extendleft(reversed(entry.points))
            self._progress = self._progress if self._progress is not None else entry.progress
            self._message = self._message if self._message is not None else entry.message

    def _read_outputs(self, *, last: bool = False) -> None:
        for output in self._outputs:
            for line in output.lines(last=last):
                self._output_lines += 1
                if self._output_lines < MAX_OUTPUT_LINES:
                    self.log(output.level, line)
                elif self._output_lines == MAX_OUTPUT_LINES:
                    self.log("WARN", f"More than {MAX_OUTPUT_LINES} lines were printed; the rest is not kept.")

    def _end_as_zombie(self) -> None:
        """The job was cancelled or belongs to another attempt: stop, and if the trainer does not look, die."""
        self._stop.set(StopFlag.CLAIM_LOST)
        if not self._closing.wait(settings.JOBS["stop_grace"]):
            os._exit(0)


def _point(name: Any, value: Any, step: Any, time: datetime) -> stream.Point:
    """What a trainer gave as a point. Raises InvalidSpec where it cannot be kept."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: a tensor of many elements
        raise InvalidSpec(
            errors={"value": [f"Its value, of type {type(value).__name__}, makes no 64-bit float."]}
        ) from error
    try:
        whole = None if step is None else int(step)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidSpec(errors={"step": ["Its step is no whole number."]}) from error
    point = stream.Point(name=printable(str(name))[:MAX_NAME], value=number, step=whole, time=time)
    stream.check([point])
    return point
