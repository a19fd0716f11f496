"""A long history is sent in pieces, and says the same as one that is sent whole."""

import json

import pytest
from django.test import AsyncClient

from api.tracking import streams
from tracking import store
from tracking.selectors import metrics
from tracking.services.accounts import api_key_create
from tracking.store import paging


@pytest.fixture
def logged(api, run_id):
    for start in range(0, 60, 20):
        values = [*range(start, start + 18), "NaN", "-Infinity"]
        steps = list(range(start, start + 20))
        times = [1_767_225_600 + step for step in steps]
        series = {name: {"values": values, "steps": steps, "timestamps": times} for name in ("loss", 'a "b"/c')}
        assert api.call("POST", f"/metrics/{run_id}/batch", {"series": series}).status == 201
        if start < 40:
            store.fold_run(run_id)
    return run_id


@pytest.mark.parametrize("query", ["", "?since_step=30", "?since_step=1000", "?max_points=10"])
@pytest.mark.parametrize("name", ["loss", "loss/", "a%20%22b%22/c"])
def test_a_long_history_says_what_a_short_one_says(api, logged, monkeypatch, name, query):
    address = f"/metrics/{logged}/history/{name}{query}"
    whole = api.call("GET", address)
    monkeypatch.setattr(metrics, "LONG", 10)
    monkeypatch.setattr(paging, "BATCH_CHUNKS", 1)
    long = api.call("GET", address)
    assert (long.status, long.body) == (200, whole.body)
    assert long.headers["Content-Type"] == whole.headers["Content-Type"]
    assert ("Content-Length" in long.headers) == (query == "?max_points=10")


@pytest.mark.parametrize(("held", "reads"), [(59, 3), (60, 1)])
def test_a_history_is_read_once_where_it_can_be_held(api, logged, monkeypatch, held, reads):
    read = []
    batches = streams.metric_history_batches
    monkeypatch.setattr(streams, "metric_history_batches", lambda **asked: read.append(asked) or batches(**asked))
    address = f"/metrics/{logged}/history/loss"
    whole = api.call("GET", address)
    monkeypatch.setattr(metrics, "LONG", 10)
    monkeypatch.setattr(paging, "BATCH_CHUNKS", 1)
    monkeypatch.setattr(streams, "HELD", held)
    assert api.call("GET", address).body == whole.body
    assert len(read) == reads


def test_a_long_run_without_that_metric_is_404(api, logged, monkeypatch):
    monkeypatch.setattr(metrics, "LONG", 10)
    assert api.call("GET", f"/metrics/{logged}/history/none").status == 404


@pytest.fixture
def token(user):
    return api_key_create(owner=user, name="tests")[1]


@pytest.mark.django_db(transaction=True)
async def test_the_asynchronous_server_sends_it_in_pieces(token, logged, monkeypatch):
    monkeypatch.setattr(metrics, "LONG", 10)
    address = f"/metrics/{logged}/history/loss"
    answer = await AsyncClient().get(address, headers={"Authorization": f"Bearer {token}"})
    pieces = [piece async for piece in answer.streaming_content]
    assert len(pieces) > 5
    assert json.loads(b"".join(pieces))["steps"] == list(range(60))
