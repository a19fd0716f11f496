"""django-rq's pages: they show our queues and their wake-ups, and unpickle nothing."""

import pytest
from django.conf import settings
from django.test import Client

from jobs import queue
from jobs.routing import QUEUE_NAMES
from tracking.models import User

SKLEARN = QUEUE_NAMES.index("sklearn")
PAGES = ("", "finished/", "failed/", "scheduled/", "started/", "deferred/", "details/")


@pytest.mark.parametrize("root", ["/admin/rq/", "/admin/django_rq/dashboard/"])
def test_the_queues_are_listed_with_what_waits_in_them(admin_client: Client, root: str) -> None:
    queue.wake("sklearn", 3)
    answer = admin_client.get(root)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert [name for name in QUEUE_NAMES if name not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_every_queue_opens(admin_client: Client, page: str) -> None:
    for index, name in enumerate(QUEUE_NAMES):
        queue.wake(name)
        assert admin_client.get(f"/admin/rq/queues/{index}/{page}").status_code == 200, name
    assert admin_client.get(f"/admin/rq/workers/{SKLEARN}/").status_code == 200


def test_a_wake_up_is_shown_by_its_name(admin_client: Client) -> None:
    queue.wake("sklearn")
    (entry,) = queue.rq_queue("sklearn").jobs
    listed = admin_client.get(f"/admin/rq/queues/{SKLEARN}/").content.decode()
    assert entry.id in listed and queue.WAKE_UP in listed
    shown = admin_client.get(f"/admin/rq/queues/{SKLEARN}/{entry.id}/")
    assert shown.status_code == 200
    assert queue.WAKE_UP in shown.content.decode()


def test_wake_ups_are_taken_away_and_put_back(admin_client: Client) -> None:
    queue.wake("sklearn", 2)
    (first, second) = queue.rq_queue("sklearn").jobs
    assert admin_client.post(f"/admin/rq/queues/{SKLEARN}/{first.id}/delete/").status_code == 302
    assert queue.rq_queue("sklearn").job_ids == [second.id]
    assert admin_client.post(f"/admin/rq/queues/{SKLEARN}/empty/").status_code == 302
    assert queue.wake_ups("sklearn") == 0


sprung: list[str] = []


def spring() -> str:
    sprung.append("a pickle was loaded")
    return sprung[-1]


# What pickle makes of "call spring()", written out: nothing here imports pickle.
TRAP = f"c{__name__}\nspring\n(tR.".encode()


def test_no_pickle_of_an_entry_is_loaded(admin_client: Client) -> None:
    queue.wake("sklearn")
    (entry,) = queue.rq_queue("sklearn").jobs
    queue.connection().hset(entry.key, "data", TRAP)
    admin_client.raise_request_exception = False
    for page in ("", f"{entry.id}/"):
        admin_client.get(f"/admin/rq/queues/{SKLEARN}/{page}")
    assert sprung == []
    assert {config["SERIALIZER"] for config in settings.RQ_QUEUES.values()} == {"rq.serializers.JSONSerializer"}


def test_only_operators_see_the_queues(client: Client, user: User) -> None:
    assert client.get("/admin/rq/stats.json").status_code == 401
    for path in ("/admin/rq/", f"/admin/rq/queues/{SKLEARN}/"):
        assert client.get(path)["Location"].startswith("/admin/login/"), path
    client.force_login(user)
    for path in ("/admin/rq/", f"/admin/rq/queues/{SKLEARN}/", "/admin/django_rq/dashboard/"):
        assert client.get(path).status_code == 302, path
    assert client.get("/admin/rq/stats.json").status_code == 401
    queue.wake("sklearn")
    assert client.post(f"/admin/rq/queues/{SKLEARN}/empty/").status_code == 302
    assert queue.wake_ups("sklearn") == 1
