"""Pages, batches and thinned series are cut from the same points, whatever of them is folded."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.store_model import (
    NAMES,
    Row,
    acts,
    append,
    fold_all,
    hypothesis_settings,
    new_run,
    play,
    same_points,
)
from tracking import store
from tracking.models import MetricChunk
from tracking.services.projects import jobs_project
from tracking.store import paging, thinned, thinning
from tracking.store.points import Columns
from tracking.stream import Point


@pytest.fixture
def project(user):
    return jobs_project(user)


@pytest.fixture
def small_batches(small_chunks, monkeypatch):
    monkeypatch.setattr(paging, "BATCH_CHUNKS", 2)
    monkeypatch.setattr(thinned, "COARSE_FROM", 1)


@hypothesis_settings
@given(acts=acts, skip=st.integers(0, 80), limit=st.integers(0, 30), names=st.none() | st.just(NAMES[1:]))
def test_a_page_is_that_stretch_of_all_points(small_batches, project, acts, skip, limit, names):
    run = new_run(project)
    log = play(run, acts)
    rows = sorted(
        (row for row in log.rows if names is None or row.name in names), key=lambda row: (row.time, row.step, row.seq)
    )
    page = store.read_page(run.pk, names, skip=skip, limit=limit)
    assert page.total == len(rows)
    same_points(page.columns, rows[skip : skip + limit])
    assert page.names == [row.name for row in rows[skip : skip + limit]]


@hypothesis_settings
@given(acts=acts, since_step=st.none() | st.integers(-6, 41), until=st.none() | st.integers(0, 60))
def test_batches_are_the_whole_series(small_batches, project, acts, since_step, until):
    run = new_run(project)
    log = play(run, acts)
    for name in NAMES:
        batches = list(store.iter_series(run.pk, name, since_step=since_step, until_seq=until))
        rows = log.series(name, until=math.inf if until is None else until)
        rows = [row for row in rows if since_step is None or row.step > since_step]
        assert sum(map(len, batches)) == len(rows)
        same_points(Columns.join(batches), rows)


def test_batches_go_on_where_a_fold_came_between(small_batches, project):
    run = new_run(project)
    log = play(run, [[Point("a", float(i), i, None)] for i in range(0)])
    for start in range(0, 60, 5):
        append(run, log, [Point("a", float(i), i, store.moment(1_000 * i)) for i in range(start, start + 5)])
        if start < 40:
            fold_all(run)
    batches = []
    for batch in store.iter_series(run.pk, "a"):
        batches.append(batch)
        MetricChunk.objects.filter(run=run, is_open=True).update(is_open=False)  # so that all that is left is new
        fold_all(run)
        later = len(log.rows)
        append(run, log, [Point("a", -1.0, 5_000, store.moment(10**9 + later))])  # is no part of what is read
    assert len(batches) > 2
    assert Columns.join(batches).values.tolist() == [float(i) for i in range(60)]


@pytest.mark.parametrize("read", ["page", "batches", "thinned"])
def test_a_read_begins_anew_where_its_chunk_was_replaced(small_batches, project, monkeypatch, read):
    run = new_run(project)
    log = play(run, [])
    for start in (0, 3):
        append(run, log, [Point("a", float(i), i, store.moment(1_000 * i)) for i in range(start, start + 3)])
        if not start:
            fold_all(run)
    real = {module: module.fetch for module in (paging, thinned)}
    folds = []

    def fold_after_first(module):
        def fetch(rows):
            found = real[module](rows)
            if not folds:
                folds.append(store.fold_run(run.pk))
            return found

        return fetch

    for module in real:
        monkeypatch.setattr(module, "fetch", fold_after_first(module))
    if read == "page":
        columns = store.read_page(run.pk, skip=0, limit=10).columns
    elif read == "batches":
        columns = Columns.join(list(store.iter_series(run.pk, "a")))
    else:
        columns = store.read_thinned(run.pk, max_points=5)["a"].columns
    assert folds == [1]
    expected = [0, 1, 2, 3, 4, 5] if read != "thinned" else [0, 5]
    assert [value for value in columns.values.tolist() if value in expected] == expected


@pytest.mark.parametrize("module", [paging, thinned])
def test_a_read_that_folds_always_come_between_takes_one_statement(small_batches, project, monkeypatch, module):
    run = new_run(project)
    log = play(run, [])
    append(run, log, [Point("a", float(i), i, store.moment(1_000 * i)) for i in range(30)])
    fold_all(run)
    real = module.fetch
    monkeypatch.setattr(module, "fetch", lambda rows: real(rows) if "UNION" in str(rows.query) else [])
    if module is paging:
        assert store.read_page(run.pk, skip=4, limit=2).columns.values.tolist() == [4.0, 5.0]
    else:
        columns = store.read_thinned(run.pk, max_points=6, min_step=2, max_step=20)["a"].columns
        assert (columns.steps[0], columns.steps[-1]) == (2, 20)


def last_of_steps(rows):
    """Of rows by time, the last of each step, by step."""
    return [row for _, row in sorted({row.step: row for row in rows}.items())]


@hypothesis_settings
@given(
    acts=acts,
    max_points=st.integers(store.MIN_DOWNSAMPLED, 12),
    until=st.none() | st.integers(0, 60),
    low=st.none() | st.integers(-6, 41),
    high=st.none() | st.integers(-6, 41),
    by_step=st.booleans(),
)
def test_thinned_series_keep_ends_and_extremes(small_batches, project, acts, max_points, until, low, high, by_step):
    run = new_run(project)
    log = play(run, acts)
    arguments = {"max_points": max_points, "until_seq": until, "min_step": low, "max_step": high, "by_step": by_step}
    drawn = store.read_thinned(run.pk, **arguments)
    assert repr(drawn) == repr(store.read_thinned(run.pk, **arguments))
    for name in NAMES:
        rows = log.series(name, until=math.inf if until is None else until)
        assert (name in drawn) == any(row.name == name for row in log.rows)
        rows = [row for row in rows if (low is None or low <= row.step) and (high is None or row.step <= high)]
        if by_step:
            rows = last_of_steps(rows)
        if name in drawn:
            thins(drawn[name], rows, max_points)


def thins(series: store.Thinned, rows: list[Row], max_points: int) -> None:
    columns = series.columns
    assert len(columns) <= max_points
    assert series.is_whole == (len(rows) <= max_points)
    if series.is_whole:
        same_points(columns, rows)
        return
    kept = list(zip(columns.times.tolist(), columns.steps.tolist(), map(repr, columns.values.tolist()), strict=True))
    every = [(row.time, row.step, repr(row.value)) for row in rows]
    assert set(kept) <= set(every)
    assert (kept[0], kept[-1]) == (every[0], every[-1])
    finite = [row.value for row in rows if math.isfinite(row.value)]
    if finite:
        numbers = columns.values[np.isfinite(columns.values)]
        assert (numbers.min(), numbers.max()) == (min(finite), max(finite))
    if len(finite) < len(rows):
        assert not np.isfinite(columns.values).all()


def test_a_part_that_fits_is_whole_wherever_it_lies_among_the_chunks(small_batches, project):
    run = new_run(project)
    log = play(run, [])
    append(run, log, [Point("a", float(i), i, store.moment(1_000 * i)) for i in range(60)])
    fold_all(run)
    for low in range(48):
        zoomed = store.read_thinned(run.pk, max_points=12, min_step=low, max_step=low + 11)["a"]
        assert zoomed.is_whole
        assert zoomed.columns.steps.tolist() == list(range(low, low + 12))


def test_a_spike_of_a_long_series_stays_and_few_chunks_are_opened(project, monkeypatch):
    run = new_run(project)
    count, spike = 60_000, 41_234
    values = np.sin(np.arange(count) / 500)
    values[spike] = 9.0
    log = play(run, [])
    for start in range(0, count, 10_000):
        own = range(start, start + 10_000)
        append(run, log, [Point("a", float(values[i]), i, store.moment(1_000 * i)) for i in own])
    fold_all(run)
    opened = []
    real = thinned.decode_chunk
    monkeypatch.setattr(thinned, "decode_chunk", lambda *chunk: opened.append(1) or real(*chunk))
    series = store.read_thinned(run.pk, max_points=400, by_step=True)["a"]
    assert not opened
    assert not series.is_whole
    assert spike in series.columns.steps
    zoomed = store.read_thinned(run.pk, max_points=400, by_step=True, min_step=spike - 50, max_step=spike + 50)["a"]
    assert zoomed.is_whole
    assert zoomed.columns.steps.tolist() == list(range(spike - 50, spike + 51))
    assert 1 <= len(opened) <= 2


def test_a_page_of_a_long_run_opens_few_chunks(project, monkeypatch):
    run = new_run(project)
    log = play(run, [])
    for start in range(0, 60_000, 10_000):
        append(run, log, [Point("a", 0.0, i, store.moment(1_000 * i)) for i in range(start, start + 10_000)])
    fold_all(run)
    opened = []
    real = paging.decode_chunk
    monkeypatch.setattr(paging, "decode_chunk", lambda *chunk: opened.append(1) or real(*chunk))
    page = store.read_page(run.pk, skip=30_000, limit=100)
    assert page.columns.steps.tolist() == list(range(30_000, 30_100))
    assert len(opened) <= 2


@pytest.mark.parametrize("batch_points", [1, 40, 10**6])
@pytest.mark.parametrize("names", [None, NAMES[1:]])
def test_several_runs_are_read_as_each_of_them_alone(small_batches, project, monkeypatch, batch_points, names):
    monkeypatch.setattr(thinned, "BATCH_POINTS", batch_points)
    untils = {}
    for number in range(5):
        run = new_run(project)
        log = play(run, [])
        for part in range(number):  # the first run has no points
            points = [
                Point(name, math.sin(7 * step + number), step, store.moment(1_000 * step))
                for step in range(part * 9, part * 9 + 10)
                for name in NAMES[: number - 1]
            ]
            append(run, log, points or [Point(NAMES[0], 1.0, 0, store.moment(0))])
            if part == 1:
                fold_all(run)
        untils[run.pk] = None if number == 3 else 25
    arguments = {"max_points": 6, "min_step": 3, "max_step": 30, "by_step": True}
    together = store.read_thinned_runs(untils, names, **arguments)
    assert list(together) == list(untils)
    for run_id, until in untils.items():
        assert repr(together[run_id]) == repr(store.read_thinned(run_id, names, until_seq=until, **arguments))
    assert sum(len(series.columns) for drawn in together.values() for series in drawn.values()) > 10


@given(
    values=st.lists(
        st.floats(-3, 3, width=16) | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=6, max_size=80
    ),
    buckets=st.integers(1, 40),
)
def test_of_each_bucket_the_first_extremes_are_chosen(values, buckets):
    buckets = min(buckets, len(values))
    expected = {0, len(values) - 1}
    for bucket in range(buckets):
        own = [index for index in range(len(values)) if index * buckets // len(values) == bucket]
        numbers = [index for index in own if math.isfinite(values[index])]
        odd = [index for index in own if not math.isfinite(values[index])]
        if numbers:
            expected |= {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)}
        expected |= set(odd[:1])
    assert thinning.extremes(np.array(values), buckets).tolist() == sorted(expected)
