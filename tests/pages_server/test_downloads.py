"""Files that are made while they are sent: whole, in pieces, and under the server that runs them too."""

import csv
import io
import warnings

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import StreamingHttpResponse
from django.test import AsyncClient, Client

from jobs.views import jobs as views
from tests.pages_server.things import Things
from tracking.models import User


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "EXPORT_CHUNK", 2)
    monkeypatch.setattr(views, "LOG_CHUNK", 2)


def pieces(answer: StreamingHttpResponse) -> list[str]:
    return [piece.decode() for piece in answer]


def test_the_csv_has_every_job_that_the_filters_let_through(signed_in: Client, things: Things) -> None:
    failed = [things.failed(error=f'bad, "really"\n{number}') for number in range(5)]
    things.training()
    answer = signed_in.get("/ui/jobs/export.csv?status=failed&page=7")
    assert answer["Content-Disposition"] == 'attachment; filename="jobs.csv"'
    sent = pieces(answer)
    assert len(sent) > 2
    rows = list(csv.DictReader(io.StringIO("".join(sent))))
    assert [row["job_id"] for row in rows] == [job.public_id for job in reversed(failed)]
    assert rows[0]["error"] == 'bad, "really"\n4'
    assert rows[0]["created_at"] == failed[-1].created_at.isoformat()


def test_the_csv_of_no_jobs_is_its_header(signed_in: Client) -> None:
    rows = "".join(pieces(signed_in.get("/ui/jobs/export.csv"))).splitlines()
    assert rows == [",".join(views.EXPORTED)]


def test_a_log_is_sent_whole(signed_in: Client, things: Things) -> None:
    training, prediction = things.failed(error="out of leaves"), things.prediction()
    answer = signed_in.get(f"/ui/jobs/{training.pk}/log.txt")
    assert answer["Content-Disposition"] == f'attachment; filename="{training.public_id}.log"'
    assert "".join(pieces(answer)).endswith(" ERROR out of leaves\n")
    lines = "".join(pieces(signed_in.get(f"/ui/jobs/{things.running().pk}/log.txt"))).splitlines()
    assert [line.partition("Z ")[2] for line in lines] == ["INFO  began", "WARN  3 rows were left out"]
    assert "one row" in "".join(pieces(signed_in.get(f"/ui/jobs/{prediction.pk}/log.txt")))


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_they_are_not_read_to_their_end_first(
    user: User, things: Things, async_client: AsyncClient
) -> None:
    jobs = await sync_to_async(lambda: [things.running() for _ in range(3)])()
    await async_client.aforce_login(user)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Django warns of an iterator that it has to read whole
        answer = await async_client.get("/ui/jobs/export.csv")
        sent = [piece async for piece in answer]
        log = await async_client.get(f"/ui/jobs/{jobs[0].pk}/log.txt")
        text = b"".join([piece async for piece in log]).decode()
    await sync_to_async(connections.close_all)()  # of the thread that the requests ran in
    assert answer.is_async and len(sent) > 1
    assert all(job.public_id in b"".join(sent).decode() for job in jobs)
    assert text.count("\n") == 2
