"""All points of runs as CSV and Parquet, without holding them all."""

import csv
import io
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.store_model import acts, append, fold_all, hypothesis_settings, new_run, play
from tracking import store
from tracking.selectors import exports
from tracking.selectors.exports import points_export
from tracking.services.projects import jobs_project
from tracking.stream import Point


@pytest.fixture
def project(user):
    return jobs_project(user)


def parquet(pieces):
    return pq.ParquetFile(io.BytesIO(b"".join(pieces)))


def expected_rows(run, log):
    return [
        (run.pk, run.name, row.name, row.step, store.moment(row.time), row.value)
        for name in sorted({row.name for row in log.rows})
        for row in log.series(name)
    ]


@hypothesis_settings
@given(many=st.lists(acts, max_size=3), rows=st.integers(1, 20))
def test_a_file_holds_every_point_once_in_order(small_chunks, project, monkeypatch, many, rows):
    monkeypatch.setattr(exports, "ROWS", rows)
    runs, expected = [], []
    for each in many:
        run = new_run(project)
        log = play(run, each)
        run.refresh_from_db()
        append(run, log, [Point("later", 1.0, 0, store.moment(0))])
        log.rows.pop()  # logged after the run was read: no part of the file
        runs.append(run)
        expected += expected_rows(run, log)

    table = parquet(points_export(runs=runs, format="parquet")).read()
    columns = [table[name].to_pylist() for name in ("run_id", "run_name", "metric", "step", "time")]
    assert list(zip(*columns, strict=True)) == [row[:5] for row in expected]
    numbers = table["value"].to_numpy()
    assert np.array_equal(numbers, np.array([row[5] for row in expected], float), equal_nan=True)

    header, *lines = csv.reader(io.StringIO(b"".join(points_export(runs=runs, format="csv")).decode()))
    assert header == ["run_id", "run_name", "metric", "step", "time", "value"]
    assert [(int(line[0]), *line[1:3], int(line[3])) for line in lines] == [row[:4] for row in expected]
    for line, row in zip(lines, expected, strict=True):
        value = float(line[5])
        assert value == row[5] or (math.isnan(value) and math.isnan(row[5]))
        assert line[4] == row[4].strftime("%Y-%m-%d %H:%M:%S.%fZ")


def test_what_a_spreadsheet_takes_for_a_formula_is_text_in_csv(project):
    run = new_run(project)
    log = play(run, [])
    append(run, log, [Point('=cmd|"/C calc"!A1', -1.0, -5, store.moment(0))])
    run.refresh_from_db()
    [_, line] = csv.reader(io.StringIO(b"".join(points_export(runs=[run], format="csv")).decode()))
    assert line[2:4] == ['\'=cmd|"/C calc"!A1', "-5"]
    assert parquet(points_export(runs=[run], format="parquet")).read()["metric"].to_pylist() == ['=cmd|"/C calc"!A1']


def test_a_long_run_is_sent_in_pieces_and_short_series_share_a_row_group(project, monkeypatch):
    monkeypatch.setattr(exports, "ROWS", 5_000)
    run = new_run(project)
    log = play(run, [])
    for start in range(0, 40_000, 10_000):
        append(run, log, [Point("loss", 0.5, i, store.moment(i)) for i in range(start, start + 10_000)])
    append(run, log, [Point(f"m{i}", 0.5, 0, store.moment(0)) for i in range(1_000)])
    fold_all(run)
    run.refresh_from_db()
    pieces = list(points_export(runs=[run], format="csv"))
    assert len(pieces) > 1
    assert b"".join(pieces).count(b"\n") == 41_001
    file = parquet(points_export(runs=[run], format="parquet"))
    assert file.metadata.num_rows == 41_000
    assert file.metadata.num_row_groups <= 9
