"""Progress while the main thread is inside compiled code, and stopping between its calls."""

import math
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from trainers.protocol import Reporter, Stopped, TrainerError

TICK = 1.0  # seconds between two reports


class Watch:
    """A thread that keeps telling the reporter how far the present phase is.

    with Watch(reporter) as watch:
        watch.phase(0.1, 0.9, "fitting", estimate=120.0)   # seconds, or None where nobody knows
        model.fit(X, y)
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.start = self.end = self.reported = 0.0
        self.message = ""
        self.estimate: float | None = None
        self.since = time.monotonic()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    def phase(self, start: float, end: float, message: str, estimate: float | None = None) -> None:
        """From now on, time passing moves progress from `start` towards `end`, as far as `estimate` (seconds) tells."""
        with self._lock:
            self.start, self.end, self.message, self.estimate = start, end, message, estimate
            self.since = time.monotonic()
        self._report()

    def step(self, fraction: float, message: str) -> None:
        """A fraction that is known, not estimated."""
        self.phase(fraction, fraction, message)

    def stop_if_asked(self) -> None:
        """Raises Stopped if the reporter wants it, or what the reporter raised in the thread."""
        if self._failure is not None:
            raise self._failure
        if self.reporter.should_stop():
            raise Stopped

    def _run(self) -> None:
        while not self._done.wait(TICK):
            try:
                self._report(ticking=True)
            except Exception as error:  # noqa: BLE001 - raised in the main thread, which must end with it
                self._failure = error
                return

    def _report(self, *, ticking: bool = False) -> None:
        with self._lock:
            elapsed = time.monotonic() - self.since
            fraction, message = self.start, self.message
            if self.estimate is not None:
                fraction += (self.end - self.start) * _share(elapsed / max(self.estimate, 1e-9))
                about = f"about {self.estimate:.0f} s (an estimate from small parts)"
                message += (
                    f": {elapsed:.0f} s of {about}" if elapsed < self.estimate else f": {elapsed:.0f} s, above {about}"
                )
            elif ticking:
                message += f" ({elapsed:.0f} s)"
            self.reported = fraction = max(self.reported, fraction)
        self.reporter.progress(fraction, message)


def _share(of_estimate: float) -> float:
    """Linear up to 0.8 of the estimate; then ever slower, so that it never claims to be done."""
    return of_estimate if of_estimate <= 0.8 else 1 - 0.2 * math.exp(-(of_estimate - 0.8) / 0.2)


@contextmanager
def fitting(reporter: Reporter) -> Iterator[None]:
    """Around calls of scikit-learn: its warnings become WARN lines, what it refuses becomes a TrainerError.

    A warning is told once; deprecations are ours to mend, and left out.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except ValueError as error:
            raise TrainerError(f"scikit-learn could not fit this model to this data: {error}") from error
        except MemoryError as error:
            raise TrainerError("The memory of this machine is too small for this model and data.") from error
    told = set()
    for warning in caught:
        text = " ".join(str(warning.message).split())[:300]
        if not issubclass(warning.category, (DeprecationWarning, FutureWarning)) and text not in told:
            told.add(text)
            reporter.log("WARN", text)
