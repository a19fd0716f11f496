"""Folding moves points and changes nothing that is read: proven against a plain list of points."""

from datetime import timedelta

import numpy as np
import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.services.store_model import NAMES, START, acts, fold_all, hypothesis_settings, new_run, play, same_points
from tracking import store, stream
from tracking.models import MetricChunk, MetricSegment, MetricSeries, Run
from tracking.services.projects import jobs_project
from tracking.store import folding, layout
from tracking.stream import Point


@pytest.fixture
def project(user):
    return jobs_project(user)


@hypothesis_settings
@given(acts=acts, after=st.integers(0, 60), length=st.integers(0, 60), page=st.integers(1, 9))
def test_a_folded_run_reads_as_if_it_were_not(small_chunks, project, acts, after, length, page):
    run = new_run(project)
    log = play(run, acts)

    series = store.read_series(run.pk)
    assert list(series) == sorted({row.name for row in log.rows})
    for name, columns in series.items():
        same_points(columns, log.series(name))
    ids = np.concatenate([columns.ids for columns in series.values()] or [np.array([])])
    assert len(np.unique(ids)) == len(log.rows)

    part = store.read_series(run.pk, names=NAMES[:2], after_seq=after, until_seq=after + length)
    for name in NAMES[:2]:
        rows = log.series(name, after=after, until=after + length)
        assert (name in part) == bool(rows)
        if rows:
            same_points(part[name], rows)

    seen = []
    while messages := stream.read(run_id=run.pk, after=seen[-1]["id"] if seen else 0, limit=page):
        seen += messages
    assert [(message["id"], message["name"], message["step"], message["value"]) for message in seen] == [
        (row.seq, row.name, row.step, stream.json_number(row.value)) for row in log.rows
    ]


@hypothesis_settings
@given(acts=acts)
def test_points_keep_their_ids_and_summaries_when_they_are_folded(small_chunks, project, acts):
    run = new_run(project)
    play(run, acts)
    before, summaries = store.read_series(run.pk), repr(store.summaries(run.pk))
    fold_all(run)
    assert not MetricSegment.objects.filter(run=run).exists()
    after = store.read_series(run.pk)
    assert {name: columns.ids.tolist() for name, columns in before.items()} == {
        name: columns.ids.tolist() for name, columns in after.items()
    }
    assert repr(store.summaries(run.pk)) == summaries


@hypothesis_settings
@given(acts=acts)
def test_chunks_are_what_their_columns_say(small_chunks, project, acts):
    run = new_run(project)
    play(run, acts)
    fold_all(run)
    chunks = MetricChunk.objects.filter(run=run)
    for chunk in chunks:
        times, steps, values, ids, seqs = layout.decode(chunk.payload, range(5))
        assert 0 < chunk.count == len(times) <= 8
        assert (chunk.first_time, chunk.last_time) == (times.min(), times.max())
        assert (chunk.min_step, chunk.max_step) == (steps.min(), steps.max())
        assert (chunk.first_seq, chunk.last_seq) == (seqs.min(), seqs.max())
        assert chunk.last_seq - chunk.first_seq < 40
        assert chunk.is_ascending == all(left < right for left, right in zip(steps[:-1], steps[1:], strict=True))
        assert sorted(zip(times, steps, ids, strict=True)) == list(zip(times, steps, ids, strict=True))
        coarse_times, coarse_steps, coarse_values, coarse_ids = layout.decode(chunk.coarse, range(4))
        assert set(coarse_ids) <= set(ids)
        assert {ids[0], ids[-1]} <= set(coarse_ids)
        finite = values[np.isfinite(values)]
        if len(finite):
            kept = coarse_values[np.isfinite(coarse_values)]
            assert (kept.min(), kept.max()) == (finite.min(), finite.max())
    for series in MetricSeries.objects.filter(run=run):
        of_series = chunks.filter(series=series)
        assert sum(chunk.count for chunk in of_series) == series.count
        assert of_series.filter(is_open=True).count() <= 1


def test_columns_of_every_shape_come_back_as_they_were():
    big = 2**62
    integers = [[5], [5, 5, 5], [1, 2, 3], [3, 1, 2], [0, 200, -200], [-big, big, -big, big], [0, 2**31, 1], [7, 6, 5]]
    for column in integers:
        there = np.array(column, "<i8")
        [back] = layout.decode(layout.encode([there]), [0])
        assert back.tolist() == column
    floats = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1.7e308, 0.1])
    zeros = np.zeros(8, "<i8")
    [back] = layout.decode(layout.encode([zeros, zeros, floats]), [layout.VALUE])
    assert back.tobytes() == floats.tobytes()


def test_a_chunk_of_another_layout_is_refused_by_name():
    payload = layout.encode([np.arange(3)])
    with pytest.raises(ValueError, match="layout 9"):
        layout.decode(b"\x09" + payload[1:], [0])


def test_a_run_in_the_trash_is_not_folded(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("a", 1.0)])
    Run.objects.filter(pk=run.pk).update(deleted_at=START)
    assert store.fold_run(run.pk) == 0
    assert MetricSegment.objects.filter(run=run).count() == 1


def test_what_another_folder_took_meanwhile_is_left_to_it(project, monkeypatch):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("a", float(i)) for i in range(10)])
    packed = folding._chunks

    def slow_chunks(*arguments):
        monkeypatch.setattr(folding, "_chunks", packed)
        assert store.fold_run(run.pk) == 1
        return packed(*arguments)

    monkeypatch.setattr(folding, "_chunks", slow_chunks)
    assert store.fold_run(run.pk) == 0
    assert MetricChunk.objects.get(run=run).count == 10
    assert len(store.read_series(run.pk)["a"]) == 10


def test_a_deleted_run_takes_its_chunks_with_it(project):
    run = new_run(project)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point(name, 1.0) for name in NAMES])
    fold_all(run)
    assert MetricChunk.objects.count() == 3
    run.delete()
    assert not MetricChunk.objects.exists()
    assert not MetricSeries.objects.exists()


def test_folded_points_of_eight_bytes_take_less_than_ten(project):
    run = new_run(project)
    noise = np.random.default_rng(0)
    count = 3 * 8_192
    jitter = noise.integers(0, 2_000, count)
    batch = [
        Point("loss", float(value), step, START + timedelta(microseconds=int(50_000 * step + jitter[step])))
        for step, value in enumerate(np.exp(-np.arange(count) / 9_000) + noise.standard_normal(count) / 20)
    ]
    for start in range(0, count, 1_000):
        with transaction.atomic():
            stream.append(run_id=run.pk, points=batch[start : start + 1_000])
    fold_all(run)
    taken = sum(len(bytes(c.payload)) + len(bytes(c.coarse)) for c in MetricChunk.objects.filter(run=run))
    assert taken / count < 10
