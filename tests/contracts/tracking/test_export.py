"""Points as files, over HTTP."""

import csv
import io

import pyarrow.parquet as pq
import pytest
from django.test import AsyncClient, Client

from tracking.services.accounts import api_key_create


@pytest.fixture
def logged(api, run_id):
    api.call("POST", f"/metrics/{run_id}/batch", {"series": {"loss": {"values": [3, "NaN", 1]}}})
    return run_id


def fetch(user, path, **options):
    token = api_key_create(owner=user, name="tests")[1]
    return Client(headers={"Authorization": f"Bearer {token}"}).get(path, **options)


@pytest.mark.parametrize("what", ["runs", "projects"])
def test_points_are_downloaded_as_csv_and_as_parquet(user, project_id, logged, what):
    path = f"/{what}/{logged if what == 'runs' else project_id}/export"
    answer = fetch(user, path)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].endswith('-points.csv"')
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(int(line["run_id"]), line["metric"], line["step"], line["value"]) for line in lines] == [
        (logged, "loss", "0", "3"),
        (logged, "loss", "1", "nan"),
        (logged, "loss", "2", "1"),
    ]
    answer = fetch(user, f"{path}/?format=parquet")
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(b"".join(answer.streaming_content)))
    assert table.column_names == ["run_id", "run_name", "metric", "step", "time", "value"]
    assert table["step"].to_pylist() == [0, 1, 2]


@pytest.fixture
def token(user):
    return api_key_create(owner=user, name="tests")[1]


@pytest.mark.django_db(transaction=True)
async def test_the_asynchronous_server_sends_it_in_pieces(token, logged):
    answer = await AsyncClient().get(f"/runs/{logged}/export", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    content = b"".join([piece async for piece in answer.streaming_content])
    assert content.count(b"\n") == 4


def test_an_unknown_format_and_what_one_may_not_see_are_refused(api, api_of, make_user, project_id, logged):
    assert api.call("GET", f"/runs/{logged}/export?format=xlsx").body["errors"].keys() == {"format"}
    other = api_of(make_user("eve"))
    for path in (f"/runs/{logged}/export", f"/projects/{project_id}/export"):
        assert other.call("GET", path).status == 403
        assert api.call("POST", path, {}).status == 405
    assert api.call("GET", "/runs/999999/export").status == 404
