"""Which config values explain a metric over runs, told by ranks.

For a numeric config value: the squared rank correlation (Spearman). For any other: how much of the ranks' variance
lies between its values (epsilon squared of Kruskal and Wallis). Both are corrected for chance and held at 0 or above,
so that they can be compared: 1 explains the order of the runs wholly, 0 not at all. `chance` is how often shuffled
values explain as much. Each value is looked at alone: what two explain only together is not seen, and neither is a
cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracking.filters.fields import Field
from tracking.selectors.compare import Column, is_number

MIN_RUNS = 8
PERMUTATIONS = 1000
MAX_VALUES = 0.5  # of the runs: a text that is different in nearly every run explains nothing

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """`share` of the order explained, 0..1; `direction` -1, 1, or 0 where there is none; `runs` that have both."""

    field: Field
    share: float
    direction: int
    chance: float
    runs: int
    numeric: bool


def importances(columns: Sequence[Column], target: Sequence[Any]) -> list[Importance]:
    """Of each config column that can be judged, the greatest share first.

    `target`: the metric in each run. Left out: what does not vary, what fewer than MIN_RUNS runs have beside the
    target, texts that name nearly every run by itself.
    """
    found = [_importance(column, target) for column in columns]
    return sorted((one for one in found if one), key=lambda one: (-one.share, one.chance, one.field.text))


def _importance(column: Column, target: Sequence[Any]) -> Importance | None:
    pairs = [(x, y) for x, y in zip(column.values, target, strict=True) if x is not None and is_number(y)]
    if len(pairs) < MIN_RUNS:
        return None
    wanted = _ranks(np.array([float(y) for _, y in pairs]))
    if np.ptp(wanted) == 0:
        return None
    random = np.random.default_rng(0)  # the same runs give the same answer
    shuffled = random.permuted(np.tile(wanted, (PERMUTATIONS, 1)), axis=1)
    every = np.vstack([wanted, shuffled])
    numeric = all(is_number(x) for x, _ in pairs)
    if numeric:
        ranks = _ranks(np.array([float(x) for x, _ in pairs]))
        if np.ptp(ranks) == 0:
            return None
        correlation = _correlations(ranks, every)
        shares = _corrected(correlation**2, len(pairs), groups=2)
        direction = int(np.sign(correlation[0]))
    else:
        labels = [f"{type(x).__name__} {x}" for x, _ in pairs]
        groups = {label: index for index, label in enumerate(dict.fromkeys(labels))}
        if not 1 < len(groups) <= MAX_VALUES * len(pairs):
            return None
        codes = np.array([groups[label] for label in labels])
        shares = _corrected(_between(codes, len(groups), every), len(pairs), groups=len(groups))
        direction = 0
    as_much = int((shares[1:] >= shares[0] - 1e-12).sum())
    return Importance(
        field=column.field,
        share=float(max(shares[0], 0.0)),
        direction=direction,
        chance=(as_much + 1) / (PERMUTATIONS + 1),
        runs=len(pairs),
        numeric=numeric,
    )


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def _correlations(ranks: Floats, rows: Floats) -> Floats:
    """Of `ranks` with each of `rows`, whose variance is not 0."""
    x = ranks - ranks.mean()
    y = rows - rows.mean(axis=1, keepdims=True)
    return (y @ x) / np.sqrt((x @ x) * (y**2).sum(axis=1))


def _between(codes: npt.NDArray[np.int64], groups: int, rows: Floats) -> Floats:
    """The share of each row's variance that lies between the groups."""
    member = np.zeros((groups, len(codes)))
    member[codes, np.arange(len(codes))] = 1
    sizes = member.sum(axis=1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    means = (centred @ member.T) / sizes
    return (means**2 @ sizes) / (centred**2).sum(axis=1)


def _corrected(shares: Floats, count: int, *, groups: int) -> Floats:
    """As the adjusted R squared: what as many groups would explain of noise counts as nothing."""
    return 1 - (1 - shares) * (count - 1) / (count - groups)
