"""A run that is taken away for good while its points are being folded: neither fails, and nothing is left of it."""

import pytest
from django.db import connection

from tests.meanwhile import Meanwhile
from tracking import store
from tracking.models import MetricChunk, MetricSegment, MetricSeries, Run
from tracking.services.metrics import points_log
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.services.trash import run_delete_forever, run_trash
from tracking.store import Point, folding

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(user):
    """A run with a folded and an unfolded part."""
    run = run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])
    log(run)
    assert store.fold_run(run.pk) == 1
    log(run)
    return run


def log(run):
    points_log(run_id=run.pk, points=[Point(name, 0.5) for name in ("a", "b")])


def assert_nothing_is_left():
    assert not Run.objects.exists()
    for model in (MetricSegment, MetricChunk, MetricSeries):
        assert not model.objects.exists(), model


@pytest.mark.parametrize("moment", ["_delete", "_insert"])
def test_a_run_goes_while_it_is_folded(user, run, monkeypatch, moment):
    def purge():
        run_trash(user=user, run_id=run.pk)
        run_delete_forever(user=user, run_id=run.pk)

    purging = Meanwhile(purge)
    step = getattr(folding, moment)

    def slow(*arguments):
        purging.begin()
        return step(*arguments)

    monkeypatch.setattr(folding, moment, slow)
    store.fold_run(run.pk)
    purging.end()
    assert purging.error is None
    assert_nothing_is_left()


def test_points_are_logged_while_a_run_is_folded(run, monkeypatch):
    logging = Meanwhile(lambda: log(run))
    insert = folding._insert
    logged_meanwhile = []

    def slow(chunks):
        logging.begin()
        logged_meanwhile.append(MetricSegment.objects.count())
        insert(chunks)

    monkeypatch.setattr(folding, "_insert", slow)
    assert store.fold_run(run.pk) == 1
    logging.end()
    assert logging.error is None
    if connection.vendor == "postgresql":  # SQLite has one writer at a time
        assert logged_meanwhile == [1]
    assert {summary.name: summary.count for summary in store.summaries(run.pk)} == {"a": 3, "b": 3}
    assert {name: len(columns.steps) for name, columns in store.read_series(run.pk).items()} == {"a": 3, "b": 3}
