"""Metric points in memory."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric. Without `step` it takes the series' next one, without `time` the present."""

    name: str
    value: float
    step: int | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamPoint:
    """A point as it stands in its run's stream. `time` is in microseconds since 1970-01-01 UTC."""

    seq: int
    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Points of one series as arrays of one length. `times` are microseconds since 1970-01-01 UTC, `ids` public ids."""

    steps: Integers
    values: Floats
    times: Integers
    ids: Integers

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: npt.NDArray[Any] | slice) -> "Columns":
        """The points at these indices (or under this mask, or of this slice)."""
        return Columns(self.steps[indices], self.values[indices], self.times[indices], self.ids[indices])

    def in_order(self) -> "Columns":
        """Sorted by time, then step, then id."""
        if bool(np.all(self.times[1:] > self.times[:-1])):
            return self
        return self.take(np.lexsort((self.ids, self.steps, self.times)))

    @classmethod
    def join(cls, parts: "list[Columns]") -> "Columns":
        """All points of the parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            nothing = np.empty(0, "<i8")
            return cls(nothing, np.empty(0, "<f8"), nothing, nothing)
        return cls(
            *(np.concatenate([getattr(part, field) for part in parts]) for field in ("steps", "values", "times", "ids"))
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one series. Minimum, maximum and mean skip NaN and infinities, and are None where no number is left.

    `next_step`: what a point without a step would get, one more than the greatest so far.
    """

    name: str
    count: int
    nan_count: int
    last_value: float
    last_step: int
    last_time: datetime
    next_step: int
    min_value: float | None
    max_value: float | None
    mean_value: float | None


def microseconds(time: datetime) -> int:
    """Since 1970-01-01 UTC; a time without zone is in UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """The time that is so many microseconds after 1970-01-01 UTC."""
    return EPOCH + time * _MICROSECOND
