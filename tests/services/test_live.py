"""The sockets: who may follow, from where, and that nothing is missed or seen twice."""

import asyncio
import os
import threading

import pytest
import redis
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client

from tests.services.live_helpers import Socket, access_token, append, append_values, database, new_run, wait_for
from tracking import consumers, feeds, live, stream
from tracking.consumers import RunSocket
from tracking.models import Project, ProjectMember, Run, User
from tracking.services.accounts import api_key_create
from tracking.services.projects import project_create
from tracking.services.runs import run_create, run_status_set
from tracking.stream import LogEntry, Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_publisher():
    live.close()
    yield
    live.close()


@pytest.fixture
def run(user):
    return new_run(user)


@pytest.fixture
def token(user):
    return access_token(user)


@pytest.fixture
def polls_never(monkeypatch):
    """Only wake-ups bring anything."""
    monkeypatch.setattr(feeds, "POLL", 1000.0)


@pytest.fixture
def polls_only(monkeypatch):
    """No wake-up comes; the store is read often instead."""
    monkeypatch.setattr(feeds, "POLL", 0.05)
    monkeypatch.setattr(live, "announce", lambda topic: None)


def ids(messages):
    return [message["id"] for message in messages]


async def following(run, sockets=1):
    """Wait until so many sockets are level with the run's feed."""
    found = feeds.hub()._feeds
    key = f"run:{run.pk}"
    await wait_for(lambda: key in found and len(found[key]._readers) == sockets, what=f"{sockets} sockets follow")


# --- Who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/ws/{run}", "/ws/{run}?token=wrong", "/ws/{run}?token=", "/ws/999999", "/ws/no/such"]
)
async def test_without_good_credentials_a_socket_is_closed_with_4401(run, path):
    async with Socket(path.format(run=run.pk)) as socket:
        assert (await socket.closed())[0] == 4401


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ws/999999", 4404),
        ("/ws/99999999999999999999999999", 4404),
        ("/ws/abc", 4404),
        ("/ws/-1", 4404),
        ("/ws/٣", 4404),
        ("/ws/", 4404),
        ("/nothing/here", 4404),
    ],
)
async def test_what_does_not_exist_is_closed_with_4404(token, path, code):
    async with Socket(f"{path}?token={token}") as socket:
        assert (await socket.closed())[0] == code


@pytest.mark.parametrize("last_id", ["-1", "x", "1.5", "", "9" * 30, "٣", "%00"])
async def test_a_last_id_that_is_no_number_is_refused_by_name(run, token, last_id):
    async with Socket(f"/ws/{run.pk}?token={token}&last_id={last_id}") as socket:
        code, reason = await socket.closed()
        assert (code, "last_id" in reason) == (4400, True)


async def test_runs_are_followed_by_those_who_may_read_them(make_user, user):
    bob = await database(make_user, "bob")
    run = await database(new_run, bob)
    token = await database(access_token, user)
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        assert (await socket.closed())[0] == 4403
    await database(ProjectMember.objects.create, project_id=run.project_id, user=user, role="viewer")
    await database(append_values, run.pk, [1.0])
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        assert (await socket.receive())["value"] == 1.0
    public = await database(project_create, owner=bob, name="public", is_public=True)
    run = await database(run_create, project=public, name="run", config={}, tags=[])
    await database(append_values, run.pk, [2.0])
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        assert (await socket.receive())["value"] == 2.0


async def test_a_token_may_travel_as_a_subprotocol_and_an_api_key_is_as_good(run, user, token):
    _, secret = await database(api_key_create, owner=user, name="key")
    await database(append_values, run.pk, [1.0])
    for credential in (token, secret):
        async with Socket(f"/ws/{run.pk}?last_id=0", subprotocols=["bearer", credential]) as socket:
            assert socket.subprotocol == "bearer"
            assert (await socket.receive())["value"] == 1.0
    async with Socket(f"/ws/{run.pk}", subprotocols=["bearer", "wrong"]) as socket:
        assert (await socket.closed())[0] == 4401


async def test_a_browser_session_serves_from_our_own_pages_only(run, user):
    client = Client()
    await database(client.force_login, user)
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={client.cookies[django_settings.SESSION_COOKIE_NAME].value}"
    headers = [(b"host", b"testserver"), (b"cookie", cookie.encode())]
    await database(append_values, run.pk, [1.0])
    async with Socket(f"/ws/{run.pk}?last_id=0", headers=[*headers, (b"origin", b"http://testserver")]) as socket:
        assert (await socket.receive())["value"] == 1.0
    async with Socket(f"/ws/{run.pk}?last_id=0", headers=[*headers, (b"origin", b"http://evil.example")]) as socket:
        assert (await socket.closed())[0] == 4401


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda run: User.objects.update(is_active=False), 4401),
        (lambda run: ProjectMember.objects.all().delete(), 4403),
        (lambda run: Project.objects.filter(pk=run.project_id).update(deleted_at=run.created_at), 4404),
        (lambda run: run.delete(), 4404),
    ],
)
async def test_who_may_no_longer_follow_is_closed_while_following(make_user, user, monkeypatch, change, code):
    monkeypatch.setattr(consumers, "RECHECK", 0.05)
    bob = await database(make_user, "bob")
    run = await database(new_run, bob)
    await database(ProjectMember.objects.create, project_id=run.project_id, user=user)
    await database(append_values, run.pk, [1.0])
    token = await database(access_token, user)
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        await socket.receive()
        await database(change, run)
        assert (await socket.closed())[0] == code


# --- What comes ------------------------------------------------------------------------------------------------------


async def test_points_and_changes_come_as_the_contract_shows_them(run, token, polls_never):
    async with Socket(f"/ws/{run.pk}?token={token}") as socket:
        await following(run)
        await database(append, run.pk, points=[Point("loss", 0.5, step=1), Point("loss", float("nan"), step=2)])
        first, second = await socket.receive_many(2)
        assert first == {
            "type": "metric",
            "id": 1,
            "run_id": run.pk,
            "name": "loss",
            "value": 0.5,
            "step": 1,
            "timestamp": first["timestamp"],
        }
        assert (second["value"], second["id"]) == ("NaN", 2)
        await database(run_status_set, run_id=run.pk, status="completed")
        change = await socket.receive()
        assert (change["type"], change["id"], change["status"]) == ("run", 3, "completed")
        # A finished run takes points too; its socket stays open.
        await database(append_values, run.pk, [9.0])
        assert (await socket.receive())["id"] == 4


async def test_last_id_says_where_to_begin_and_without_it_the_present_does(run, token, polls_never):
    await database(append_values, run.pk, [1, 2, 3, 4])
    for last_id, expected in ((0, [1, 2, 3, 4]), (3, [4])):
        async with Socket(f"/ws/{run.pk}?token={token}&last_id={last_id}") as socket:
            assert ids(await socket.receive_many(len(expected))) == expected
    for query in ("", "&last_id=77"):
        async with Socket(f"/ws/{run.pk}?token={token}{query}") as socket:
            await following(run)
            last = await database(append_values, run.pk, [5])
            assert (await socket.receive())["id"] == last


async def test_log_lines_come_only_when_asked_for(run, token):
    await database(append, run.pk, points=[Point("a", 1)], logs=[LogEntry("INFO", "x")], changes={"name": "new"})
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        assert [m["type"] for m in await socket.receive_many(2)] == ["metric", "run"]
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0&logs=1") as socket:
        assert [m["type"] for m in await socket.receive_many(3)] == ["metric", "log", "run"]


async def test_what_happens_once_a_client_is_connected_is_not_missed(run, token, monkeypatch):
    permitted = RunSocket.subscribe

    def slowly(self, **options):
        threading.Event().wait(0.2)  # as long as on a busy machine
        return permitted(self, **options)

    monkeypatch.setattr(RunSocket, "subscribe", slowly)
    async with Socket(f"/ws/{run.pk}?token={token}") as socket:
        await database(append_values, run.pk, [1.0])
        assert (await socket.receive())["value"] == 1.0


async def test_what_clients_send_is_ignored(run, token):
    async with Socket(f"/ws/{run.pk}?token={token}") as socket:
        await socket.communicator.send_to(text_data="x" * 100_000)
        await socket.communicator.send_to(bytes_data=b"\x00\xff")
        await database(append_values, run.pk, [1.0])
        assert (await socket.receive())["value"] == 1.0


async def test_without_any_wake_up_the_store_is_read_every_so_often(run, token, polls_only):
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        for value in (1.0, 2.0, 3.0):
            await database(append_values, run.pk, [value])
            assert (await socket.receive())["value"] == value


async def test_sockets_that_join_while_points_are_written_miss_nothing_and_see_nothing_twice(run, token, monkeypatch):
    monkeypatch.setattr(feeds, "PAGE", 7)
    monkeypatch.setattr(feeds, "REST", 0.001)
    total = 400

    async def write() -> None:
        for start in range(0, total, 4):
            await database(append_values, run.pk, range(start, start + 4))

    async def follow(delay: int, last_id: int) -> None:
        await wait_for(lambda: head() >= delay, what="enough is written")
        async with Socket(f"/ws/{run.pk}?token={token}&last_id={last_id}") as socket:
            assert ids(await socket.receive_many(total - last_id)) == list(range(last_id + 1, total + 1))
            assert await socket.hears_nothing(0.1)

    written = 0

    def head() -> int:
        return written

    async def watch() -> None:
        nonlocal written
        while written < total:
            written = await database(lambda: Run.objects.get(pk=run.pk).seq)

    followers = [follow(delay, last_id) for delay, last_id in ((0, 0), (20, 0), (100, 50), (200, 200), (390, 3))]
    await asyncio.gather(write(), watch(), *followers)


async def test_one_feed_reads_and_encodes_for_all_sockets_of_a_run(run, token, monkeypatch):
    encoded = []
    original = feeds.encode
    monkeypatch.setattr(feeds, "encode", lambda message: encoded.append(message) or original(message))
    async with (
        Socket(f"/ws/{run.pk}?token={token}") as one,
        Socket(f"/ws/{run.pk}?token={token}") as two,
        Socket(f"/ws/{run.pk}?token={token}&logs=1") as three,
    ):
        await following(run, sockets=3)
        await database(append_values, run.pk, [1.0, 2.0])
        for socket in (one, two, three):
            assert ids(await socket.receive_many(2)) == [1, 2]
        assert ids(encoded) == [1, 2]
    hub = feeds.hub()
    await wait_for(lambda: not hub._feeds and not hub._by_topic and hub._listener is None, what="the feed is closed")


async def test_a_reader_whose_queue_is_full_reads_for_itself_and_misses_nothing(run, monkeypatch):
    monkeypatch.setattr(feeds, "QUEUE", 10)
    monkeypatch.setattr(feeds, "POLL", 0.02)
    async with feeds.hub().feed(consumers.RunSource(run.pk)) as feed:
        slow, fast = feed.follow(0), feed.follow(0)
        firsts = asyncio.gather(anext(slow), anext(fast))
        # Who is not level yet when something comes reads for itself, and has no queue that could fill.
        await wait_for(lambda: len(feed._readers) == 2, what="both readers are level")
        await database(append_values, run.pk, [0])
        seen, quick = ([frame.id] for frame in await firsts)
        for _ in range(11):
            await database(append_values, run.pk, range(9))
            quick += [(await anext(fast)).id for _ in range(9)]
            assert max(len(reader.frames) for reader in feed._readers) <= 10
        assert any(reader.is_behind for reader in feed._readers)
        while len(seen) < 100:
            seen.append((await anext(slow)).id)
        assert seen == quick == list(range(1, 101))
        await slow.aclose()
        await fast.aclose()
        assert not feed._readers


async def test_who_takes_no_message_is_closed_and_told_to_resume(run, token, monkeypatch):
    monkeypatch.setattr(consumers, "SEND_TIMEOUT", 0.1)
    await database(append_values, run.pk, [1.0])
    events = []

    async def receive():
        if not events:
            return {"type": "websocket.connect"}
        return await asyncio.Event().wait()

    async def send(event):
        events.append(event)
        if event["type"] == "websocket.send":
            await asyncio.Event().wait()  # the other end's buffers are full

    scope = {
        "type": "websocket",
        "path": f"/ws/{run.pk}",
        "headers": [(b"host", b"testserver")],
        "query_string": f"token={token}&last_id=0".encode(),
        "url_route": {"kwargs": {"run_id": str(run.pk)}},
    }
    async with asyncio.timeout(10):
        await consumers.RunSocket()(scope, receive, send)
    assert [event["type"] for event in events] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (events[-1]["code"], "last_id" in events[-1]["reason"]) == (4408, True)
    assert not feeds.hub()._feeds


async def test_a_database_that_is_away_for_a_moment_delays_only(run, token, monkeypatch, caplog):
    monkeypatch.setattr(feeds, "POLL", 0.05)
    original, failures = stream.read, iter([True] * 3)

    def read(**arguments):
        if next(failures, False):
            raise OperationalError("server closed the connection")
        return original(**arguments)

    await database(append_values, run.pk, [1.0])
    monkeypatch.setattr(stream, "read", read)
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        assert (await socket.receive())["id"] == 1
        await database(append_values, run.pk, [2.0])
        assert (await socket.receive())["id"] == 2
    assert "server closed the connection" in caplog.text


async def test_a_socket_opened_while_the_database_is_away_is_told_to_come_back(run, token, monkeypatch):
    def unreachable(**arguments):
        raise OperationalError("no route to host 10.0.0.7")

    monkeypatch.setattr(consumers, "run_get", unreachable)
    async with Socket(f"/ws/{run.pk}?token={token}") as socket:
        code, reason = await socket.closed()
        assert code == 4503
        assert "10.0.0.7" not in reason


async def test_a_bug_closes_the_socket_with_an_id_that_is_in_the_log(run, token, monkeypatch, caplog):
    def broken(**arguments):
        raise KeyError("secret detail")

    monkeypatch.setattr(consumers, "run_get", broken)
    async with Socket(f"/ws/{run.pk}?token={token}") as socket:
        code, reason = await socket.closed()
    assert code == 4500
    assert "secret detail" not in reason
    assert reason.split("(")[1].rstrip(")") in caplog.text


# --- Wake-ups --------------------------------------------------------------------------------------------------------


def subscriber(client):
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.psubscribe(live.CHANNEL_PREFIX + "*")
    subscription.get_message(timeout=60)
    return subscription


def test_announcements_go_over_one_kept_connection(redis_client):
    subscription = subscriber(redis_client)
    before = len(redis_client.client_list())
    for i in range(5):
        live.announce(f"run:{i}")
    channels = [subscription.get_message(timeout=60)["channel"] for _ in range(5)]
    assert channels == [f"{live.CHANNEL_PREFIX}run:{i}".encode() for i in range(5)]
    assert len(redis_client.client_list()) == before + 1
    live.close()
    assert len(redis_client.client_list()) == before


def test_a_forked_child_announces_over_a_connection_of_its_own(redis_client):
    subscription = subscriber(redis_client)
    live.announce("run:1")
    child = os.fork()
    if child == 0:
        live.announce("run:2")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    live.announce("run:3")
    channels = [subscription.get_message(timeout=60)["channel"].decode()[-1] for _ in range(3)]
    assert channels == ["1", "2", "3"]


def test_without_redis_announcing_neither_raises_nor_is_tried_each_time(settings, monkeypatch, caplog):
    settings.REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    tries = []
    original = redis.Redis.publish
    monkeypatch.setattr(redis.Redis, "publish", lambda *args: tries.append(1) or original(*args))
    for _ in range(100):
        live.announce("run:1")
    assert len(tries) == 1
    assert "run:1" in caplog.text


def test_a_restarted_redis_gets_the_next_announcement(redis_client):
    live.announce("run:1")
    redis_client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    subscription = subscriber(redis_client)
    live.announce("run:2")
    assert subscription.get_message(timeout=60)["channel"].endswith(b"run:2")


async def test_when_the_wake_up_connection_is_made_anew_the_store_is_read(run, token, polls_never, monkeypatch):
    monkeypatch.setattr(feeds, "RECONNECT", 0.05)
    admin = redis.Redis.from_url(django_settings.REDIS_URL)
    async with Socket(f"/ws/{run.pk}?token={token}&last_id=0") as socket:
        await database(append_values, run.pk, [1.0])
        assert (await socket.receive())["id"] == 1
        await wait_for(lambda: admin.pubsub_numpat() == 1, what="the wake-ups are subscribed to")
        with monkeypatch.context() as patch:
            patch.setattr(live, "announce", lambda topic: None)
            await database(append_values, run.pk, [2.0])  # its wake-up is lost
        admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert (await socket.receive())["id"] == 2
