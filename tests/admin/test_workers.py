"""Operators see what each worker can run, and who serves each line of the document's routing table."""

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from jobs import lifecycle
from jobs.models import Worker
from jobs.routing import DEFAULT_ROUTE, TABLE


def text_of(row: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", row).split())


def test_the_workers_and_the_routing_table_are_shown(admin_client: Client, make_user: Callable[..., Any]) -> None:
    now = lifecycle.database_now()
    Worker.objects.create(
        name="house-gpu-1",
        kind="training",
        host="house",
        pid=1,
        queues=["pytorch-2.0-gpu", "tensorflow"],
        capabilities={"frameworks": {"pytorch": "2.13.0"}, "devices": [{"name": "NVIDIA H200"}]},
        started_at=now,
        heartbeat_at=now,
    )
    page = admin_client.get("/admin/jobs/worker/").content.decode()
    listed = text_of(page[page.index("result_list") : page.index('id="routing"')])
    assert "pytorch 2.13.0" in listed and "NVIDIA H200" in listed
    rows = [text_of(row) for row in page[page.index('id="routing"') :].split("<tr>")[2:]]
    assert len(rows) == 2 * (len(TABLE) + 1)
    assert rows[0].startswith("bert , transformer , gpt no pytorch-2.1 PyTorch 2.1 CPU none")
    assert rows[3].startswith("resnet , vgg , alexnet yes pytorch-2.0-gpu PyTorch 2.0 GPU house-gpu-1")
    assert rows[-1].startswith(f"all others yes {DEFAULT_ROUTE.gpu.name}")
