"""The board: every queue with its work, why it waits, what each worker does, and what became of the last day's jobs."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from jobs.lifecycle import database_now
from jobs.models import Worker
from jobs.routing import QUEUES
from tests.pages_server.things import Things, worker

PATH = "/ui/workers/"


def rows_of(page: str, table: str) -> dict[str, list[str]]:
    """{first cell: the others} of the table in the region of that name, as texts."""
    region = page.split(f'aria-label="{table}"')[1].split("</table>")[0].split("<tbody>")[1]
    rows = {}
    for row in re.findall(r"<tr>(.*?)</tr>", region, flags=re.DOTALL):
        cells = re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, flags=re.DOTALL)
        first, *others = (" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells)
        rows[first] = others
    return rows


def opened(client: Client) -> str:
    Worker.objects.update(heartbeat_at=database_now())
    answer = client.get(PATH)
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_queue_of_the_routing_table_is_there_with_what_it_trains(signed_in: Client) -> None:
    queues = rows_of(opened(signed_in), "Queues")
    assert [first.rpartition(" ")[2] for first in queues] == list(QUEUES)
    assert queues["PyTorch 2.1 CPU pytorch-2.1"][0] == "bert , transformer , gpt , any other"
    assert queues["PyTorch 2.0 GPU pytorch-2.0-gpu"][0] == "resnet , vgg , alexnet"
    assert queues["Scikit-learn inference sklearn-inference"][0] == "inference with sklearn models"


def test_what_waits_says_why(signed_in: Client, things: Things) -> None:
    things.training()
    queue = "Scikit-learn sklearn"
    assert "no live worker serves it: start one" in rows_of(opened(signed_in), "Queues")[queue][4]
    one = worker()
    assert "a worker will take it in a moment" in rows_of(opened(signed_in), "Queues")[queue][4]
    Worker.objects.filter(pk=one.pk).update(state="busy")
    assert "its worker is busy" in rows_of(opened(signed_in), "Queues")[queue][4]
    worker("gardener-2", state="busy")
    page = opened(signed_in)
    assert "all 2 workers are busy" in rows_of(page, "Queues")[queue][4]
    assert "queued, 1st" in rows_of(page, "Jobs that wait")["random_forest"][2]


def test_a_worker_is_shown_with_its_machine_and_its_work(signed_in: Client, things: Things) -> None:
    job = things.running(description="Oaks")
    capabilities = {
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "frameworks": {"sklearn": "1.9.0"},
        "devices": [{"name": "H200", "memory_bytes": 141_000_000_000}],
    }
    Worker.objects.update(state="busy", capabilities=capabilities)
    page = opened(signed_in)
    (cells,) = rows_of(page, "Workers").values()
    assert cells[0] == "Busy" and "Oaks" in cells[1] and "tree 50 of 100" in cells[1]
    assert "2 cores, 8.0 GB" in cells[3] and "H200, 141.0 GB" in cells[3] and "sklearn 1.9.0" in cells[3]
    assert cells[4] == "just now"
    assert f'href="/ui/jobs/{job.pk}/"' in page


def test_a_worker_that_is_late_says_since_when(signed_in: Client) -> None:
    worker()
    Worker.objects.update(heartbeat_at=database_now() - timedelta(seconds=9))
    page = signed_in.get(PATH).content.decode()
    assert re.search(r"(9|10|11) s ago", page)


def test_nothing_is_sent_again_while_nothing_has_moved(signed_in: Client, things: Things) -> None:
    things.running()
    page = opened(signed_in)

    def again(part: str) -> int:
        Worker.objects.update(heartbeat_at=database_now())
        address = unescape(re.search(rf'hx-get="([^"]*part={part}[^"]*)"', page)[1])
        return signed_in.get(address, headers={"HX-Request": "true"}).status_code

    assert (again("now"), again("statistics")) == (204, 204)
    things.training()
    assert (again("now"), again("statistics")) == (200, 204)
    things.failed()
    assert again("statistics") == 200


def test_the_last_day_is_counted(signed_in: Client, things: Things) -> None:
    things.failed(), things.model()
    things.prediction()
    page = opened(signed_in)
    types = rows_of(page, "Jobs by model type")
    assert types["random_forest training"][:3] == ["2", "1", "33.3%"]
    assert types["random_forest inference"][:3] == ["1", "0", "0.0%"]
    queues = rows_of(page, "Jobs by queue")
    assert queues["sklearn"][:3] == ["2", "1", "33.3%"]
    assert re.search(r"\d\d:00: 3 completed, 1 failed", page)
    assert "The job's own (data, parameters, code)" in unescape(page)


def test_a_day_without_jobs_is_told_to_be_one(signed_in: Client) -> None:
    assert "No job has ended in this time." in opened(signed_in)


@pytest.mark.parametrize("part", ["", "now", "statistics", "nothing"])
def test_a_part_is_a_page_or_a_piece_of_it(signed_in: Client, part: str) -> None:
    assert "<html" in signed_in.get(PATH, {"part": part}).content.decode()
    piece = signed_in.get(PATH, {"part": part}, headers={"HX-Request": "true"})
    assert piece.status_code == 200
    assert ("<html" in piece.content.decode()) == (part not in ("now", "statistics"))
