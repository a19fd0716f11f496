"""Leaving points out so that every spike stays."""

import numpy as np
import numpy.typing as npt

from tracking.store.points import Columns, Floats

MIN_DOWNSAMPLED = 5  # first, last, and one bucket's minimum, maximum and not-a-number


def downsample(columns: Columns, max_points: int) -> Columns:
    """At most `max_points` of the points, in their order, so that every spike stays.

    The points are cut into buckets of equal count. Of each bucket the lowest and the highest number are kept, and where
    it has any, its first NaN or infinity; the first and the last point are kept too. The same points give the same
    choice.

    Raises:
        ValueError: `max_points` < MIN_DOWNSAMPLED.
    """
    if max_points < MIN_DOWNSAMPLED:
        raise ValueError(f"max_points must be at least {MIN_DOWNSAMPLED}")
    total = len(columns)
    if total <= max_points:
        return columns
    buckets = (max_points - 2) // (2 if np.isfinite(columns.values).all() else 3)
    return columns.take(extremes(columns.values, buckets))


def extremes(values: Floats, buckets: int) -> npt.NDArray[np.int64]:
    """The ascending indices of the lowest and the highest number and the first NaN or infinity of each of `buckets`
    stretches of equal count, and of the first and the last value. Of equal numbers, the first."""
    total = len(values)
    finite = np.isfinite(values)
    starts = -(
        -np.arange(buckets + 1, dtype=np.int64) * total // buckets
    )  # rounded up: value i is in i * buckets // total
    bucket = np.repeat(np.arange(buckets), np.diff(starts))
    lowest = np.minimum.reduceat(np.where(finite, values, np.inf), starts[:-1])
    highest = np.maximum.reduceat(np.where(finite, values, -np.inf), starts[:-1])
    chosen = np.zeros(total, dtype=bool)
    chosen[[0, -1]] = True
    for mask in (finite & (values == lowest[bucket]), finite & (values == highest[bucket]), ~finite):
        indices = np.flatnonzero(mask)  # ascending, so those of a bucket stand together
        own = bucket[indices]
        chosen[indices[:1]] = True
        chosen[indices[1:][own[1:] != own[:-1]]] = True
    return np.flatnonzero(chosen)
