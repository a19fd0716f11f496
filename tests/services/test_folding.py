"""The folder: which runs it folds and when, beside writers and readers, and killed at any moment."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from tests.conftest import wait_until
from tests.services.store_model import new_run
from tracking import store, stream
from tracking.models import MetricChunk, MetricSegment, MetricSeries, Run
from tracking.services import folding
from tracking.services.folding import Folder
from tracking.services.projects import jobs_project
from tracking.store import folding as store_folding
from tracking.stream import Point


@pytest.fixture
def project(user):
    return jobs_project(user)


def log(run, *points):
    with transaction.atomic():
        stream.append(run_id=run.pk, points=list(points))


def test_a_run_is_due_when_it_has_enough_segments_or_has_been_quiet(project, monkeypatch):
    busy, quiet = new_run(project), new_run(project)
    monkeypatch.setattr(folding, "DUE_SEGMENTS", 3)
    clock = [100.0]
    monkeypatch.setattr(folding.time, "monotonic", lambda: clock[0])
    folder = Folder()
    log(busy, Point("a", 1.0))
    log(quiet, Point("a", 1.0))
    assert folder.due() == []
    clock[0] += folding.DUE_QUIET / 2
    log(busy, Point("a", 2.0))
    assert folder.due() == []
    clock[0] += folding.DUE_QUIET / 2
    assert folder.due() == [quiet.pk]
    log(busy, Point("a", 3.0))
    assert sorted(folder.due()) == [busy.pk, quiet.pk]


def test_a_run_of_many_points_is_due_at_once(project, monkeypatch):
    monkeypatch.setattr(folding, "DUE_POINTS", 10)
    run = new_run(project)
    log(run, *(Point("a", 1.0) for _ in range(5)))
    assert Folder().due() == []
    log(run, *(Point("a", 1.0) for _ in range(15)))
    assert Folder().due() == [run.pk]


def test_a_run_in_the_trash_is_not_due(project, monkeypatch):
    monkeypatch.setattr(folding, "DUE_SEGMENTS", 1)
    run = new_run(project)
    log(run, Point("a", 1.0))
    assert Folder().due() == [run.pk]
    Run.objects.filter(pk=run.pk).update(deleted_at=run.created_at)
    assert Folder().due() == []


def test_a_run_that_cannot_be_read_is_left_alone(project, monkeypatch, caplog):
    monkeypatch.setattr(folding, "DUE_SEGMENTS", 1)
    run = new_run(project)
    log(run, Point("a", 1.0))
    MetricSegment.objects.update(payload=b"\x09\0\0\0\x01\0\0\0")
    folder = Folder()
    assert folder.fold(run.pk) == 0
    assert f"Run {run.pk}" in caplog.text
    assert folder.due() == []


def test_the_command_folds_everything_or_one_run(project, capsys):
    runs = [new_run(project) for _ in range(3)]
    for run in runs:
        log(run, Point("a", 1.0))
    call_command("fold", run=runs[0].pk)
    assert capsys.readouterr().out == "1 segment folded\n"
    assert set(MetricSegment.objects.values_list("run_id", flat=True)) == {runs[1].pk, runs[2].pk}
    call_command("fold")
    assert capsys.readouterr().out == "2 segments folded\n"
    assert MetricChunk.objects.count() == 3


WRITERS, BATCHES, POINTS = 2, 40, 20


@pytest.mark.django_db(transaction=True)
def test_writers_folders_and_readers_together_lose_and_double_nothing(project, monkeypatch):
    monkeypatch.setattr(store_folding, "CHUNK_POINTS", 64)
    monkeypatch.setattr(store_folding, "SEGMENTS_A_FOLD", 5)
    run = new_run(project)
    written = threading.Event()

    def closing(work):
        try:
            work()
        except AssertionError:
            written.set()
            raise
        finally:
            connections.close_all()

    def write():
        for batch in range(BATCHES):
            log(run, *(Point(f"m{i % 3}", float(batch), None) for i in range(POINTS)))

    def fold():
        while not written.is_set() or MetricSegment.objects.filter(run=run).exists():
            store.fold_run(run.pk)

    def read():
        seqs: list[int] = []
        known = 0
        while not written.is_set():
            head = Run.objects.values_list("seq", flat=True).get(pk=run.pk)
            ids = np.concatenate([c.ids for c in store.read_series(run.pk, until_seq=head).values()] or [np.array([])])
            assert len(ids) == len(np.unique(ids)) == head >= known
            known = head
            seqs += [message["id"] for message in stream.read(run_id=run.pk, after=seqs[-1] if seqs else 0)]
            assert seqs == list(range(1, len(seqs) + 1))
            page = store.read_page(run.pk, skip=0, limit=10_000)
            assert len(page.columns) == len(np.unique(page.columns.ids)) == page.total >= known
            points = sum(len(batch) for batch in store.iter_series(run.pk, "m0", until_seq=head))
            assert points == len(store.read_series(run.pk, ["m0"], until_seq=head).get("m0", ()))

    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(closing, write) for _ in range(WRITERS)]
        others = [threads.submit(closing, work) for work in (fold, fold, read)]
        wait(writers)
        written.set()
    for each in (*writers, *others):
        each.result()
    total = WRITERS * BATCHES * POINTS
    series = store.read_series(run.pk)
    assert sum(len(columns) for columns in series.values()) == total
    assert {row.name: row.count for row in MetricSeries.objects.filter(run=run)} == {
        name: len(columns) for name, columns in series.items()
    }
    assert not MetricSegment.objects.filter(run=run).exists()


@pytest.mark.django_db(transaction=True)
def test_the_folder_folds_until_it_is_told_to_end(project, monkeypatch):
    monkeypatch.setattr(folding, "DUE_SEGMENTS", 1)
    run = new_run(project)
    log(run, Point("a", 1.0))
    over = threading.Event()
    folder = threading.Thread(target=Folder().run, args=(over.wait, over.is_set, lambda: True))
    folder.start()
    try:
        wait_until(lambda: MetricChunk.objects.filter(run=run).exists(), what="the fold")
    finally:
        over.set()
        folder.join()


@pytest.mark.django_db(transaction=True)
def test_a_fold_that_is_cut_off_changes_nothing(project, monkeypatch):
    run = new_run(project)
    log(run, *(Point("a", float(i)) for i in range(10)))
    before = store.read_series(run.pk)["a"].ids.tolist()

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_folding, "_insert", killed)
        with pytest.raises(KeyboardInterrupt):
            store.fold_run(run.pk)
    connection.close()
    assert (MetricSegment.objects.count(), MetricChunk.objects.count()) == (1, 0)
    assert store.fold_run(run.pk) == 1
    assert store.read_series(run.pk)["a"].ids.tolist() == before
