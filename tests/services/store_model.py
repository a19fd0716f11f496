"""A run's store as a plain list of points, which the real one is held against."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tracking import store, stream
from tracking.services.runs import run_create
from tracking.stream import Point

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ["loss", "val_loss", "größe 🎈"]

values = st.floats(width=64) | st.integers(-3, 3).map(float)
points = st.builds(
    Point,
    name=st.sampled_from(NAMES),
    value=values,
    step=st.none() | st.integers(-5, 40) | st.sampled_from([-stream.MAX_STEP, stream.MAX_STEP]),
    time=st.integers(0, 60).map(lambda seconds: START + timedelta(seconds=seconds)),
)
batches = st.lists(points, min_size=1, max_size=12)
FOLD = "fold"
acts = st.lists(batches | st.just(FOLD), max_size=14)


@dataclass
class Row:
    """A point as the store should know it."""

    name: str
    time: int
    step: int
    value: float
    seq: int
    id: int = 0


@dataclass
class PlainLog:
    """What a run's store should hold: a list."""

    rows: list[Row] = field(default_factory=list)
    next_step: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, batch):
        for point in batch:
            step = self.next_step[point.name] if point.step is None else point.step
            self.next_step[point.name] = max(self.next_step[point.name], step + 1)
            time = store.microseconds(point.time)
            self.rows.append(Row(point.name, time, step, point.value, len(self.rows) + 1))

    def series(self, name, *, after=0, until=math.inf):
        wanted = [row for row in self.rows if row.name == name and after < row.seq <= until]
        return sorted(wanted, key=lambda row: (row.time, row.step, row.seq))


def new_run(project):
    return run_create(project=project, name="run", config={}, tags=[])


def play(run, acts):
    """Do `acts` to the run; the list that its store should equal."""
    log = PlainLog()
    for act in acts:
        if act == FOLD:
            store.fold_run(run.pk)
            continue
        append(run, log, act)
    return log


def append(run, log, batch):
    with transaction.atomic():
        stream.append(run_id=run.pk, points=batch)
    log.append(batch)


def fold_all(run):
    while store.fold_run(run.pk):
        pass


def same_points(columns, rows):
    assert columns.times.tolist() == [row.time for row in rows]
    assert columns.steps.tolist() == [row.step for row in rows]
    assert np.array_equal(columns.values, np.array([row.value for row in rows]), equal_nan=True)


hypothesis_settings = settings(
    max_examples=examples(full=100, brief=20),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a log takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
