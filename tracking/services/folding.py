"""Which runs' segments are due to be folded into chunks, and the folder that does it beside everything else."""

import logging
import time
from collections.abc import Callable

from django.db import Error, connection
from django.db.models import Count, Max, Min

from automl_site.space import shrink_database
from tracking import store
from tracking.models import MetricSegment

logger = logging.getLogger(__name__)

# A fold rewrites the last chunk of each series, so it waits for enough; a read opens every segment, so it does not wait
# for more.
DUE_SEGMENTS = 1_024
DUE_POINTS = 65_536
DUE_QUIET = 60.0  # seconds after a run's last points
PAUSE = 1.0  # seconds between two looks
MAX_RUNS_A_LOOK = 200
SHRINK_EVERY = 60.0  # seconds
SHRINK_FOR = 5.0  # seconds
MIN_REST = 0.05  # seconds between two folds; no less than the last one took


class Folder:
    """Folds what is due. Any number may run at once, and each may be killed at any moment."""

    def __init__(self) -> None:
        self._quiet_since: dict[int, tuple[int, float]] = {}  # run -> its last seq, and when that was first seen
        self._unreadable: set[int] = set()
        self._shrink_at = 0.0

    def run(self, wait: Callable[[float], None], is_over: Callable[[], bool], may_fold: Callable[[], bool]) -> None:
        """Fold what is due until `is_over()`, while `may_fold()`; `wait(seconds)` sleeps, but not beyond the end."""
        while not is_over():
            try:
                if may_fold():
                    for run_id in self.due():
                        if is_over():
                            break
                        began = time.monotonic()
                        self.fold(run_id)
                        wait(max(MIN_REST, time.monotonic() - began))
                    self._shrink()
            except Error as error:
                logger.warning("Folding waits: %s", str(error).strip().partition("\n")[0])
                connection.close()
            wait(PAUSE)
        connection.close()

    def due(self) -> list[int]:
        """The runs that have enough segments, or have been quiet for DUE_QUIET; a bounded number."""
        now = time.monotonic()
        due = []
        seen = {}
        for run_id, segments, first, last in _unfolded():
            known, since = self._quiet_since.get(run_id, (None, now))
            seen[run_id] = (last, since if known == last else now)
            is_quiet = now - seen[run_id][1] >= DUE_QUIET
            enough = segments >= DUE_SEGMENTS or last - first >= DUE_POINTS
            if (enough or is_quiet) and run_id not in self._unreadable:
                due.append(run_id)
        self._quiet_since = seen
        return due[:MAX_RUNS_A_LOOK]

    def fold(self, run_id: int) -> int:
        """One fold of the run; how many segments it moved. A run that cannot be read is logged, and left alone."""
        try:
            return store.fold_run(run_id)
        except Error:
            raise
        except Exception:  # one run's points must not keep those of all others waiting
            logger.exception("Run %d: its points cannot be read, and stay unfolded", run_id)
            self._unreadable.add(run_id)
            return 0

    def _shrink(self) -> None:
        """Now and then give back what deleted runs and folded segments have left."""
        if time.monotonic() >= self._shrink_at:
            shrink_database(seconds=SHRINK_FOR)
            self._shrink_at = time.monotonic() + SHRINK_EVERY


def fold_all(*, run_id: int | None = None) -> int:
    """Fold everything that there is to fold (of one run); how many segments there were. For an operator."""
    runs = [run_id] if run_id is not None else [row[0] for row in _unfolded()]
    folded = 0
    for each in runs:
        while moved := store.fold_run(each):
            folded += moved
            time.sleep(MIN_REST)
    return folded


def _unfolded() -> list[tuple[int, int, int, int]]:
    """Run, number of its segments, their first and last seq, for each run outside of the trash that has any."""
    # No user asks: this is the platform's own upkeep.
    rows = MetricSegment.objects.filter(run__deleted_at__isnull=True, run__project__deleted_at__isnull=True)
    return list(
        rows.order_by()
        .values("run_id")
        .annotate(n=Count("pk"), first=Min("seq"), last=Max("seq"))
        .values_list("run_id", "n", "first", "last")
    )
