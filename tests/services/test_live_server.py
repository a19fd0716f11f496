"""The sockets behind the real servers: a client that comes back, and a Redis that goes away."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import websockets
from django.conf import settings as django_settings
from django.db import connection

from automl_site import valkey
from tests.conftest import wait_until
from tests.services.live_helpers import PATIENCE, access_token, append_values, database, new_run
from tracking import live

pytestmark = pytest.mark.django_db(transaction=True)

SERVERS = {
    "uvicorn": ["-m", "uvicorn", "automl_site.asgi:application", "--host", "127.0.0.1", "--lifespan", "off", "--port"],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "automl_site.asgi:application", "-p"],
}


def database_url() -> str:
    """The test database, as DATABASE_URL names it."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    host = f"{given['HOST']}:{given['PORT']}"
    return f"postgres://{given['USER']}:{quote(given['PASSWORD'])}@{host}/{given['NAME']}"


class Redis:
    """A Valkey server of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s" / "v.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.start()

    def start(self) -> None:
        self.process = valkey.start(
            socket=self.socket, folder=self.folder / "d", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.client = redis.Redis.from_url(self.url)
        wait_until(self.answers, what="Valkey")

    def answers(self) -> bool:
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_redis(tmp_path_factory, settings):
    server = Redis(tmp_path_factory.mktemp("r"))
    settings.REDIS_URL = server.url
    live.close()
    yield server
    server.kill()
    live.close()


@pytest.fixture(params=SERVERS)
def server_port(request, own_redis, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "automl_site.settings",
        "AUTOML_DATA": str(tmp_path),
        "AUTOML_ROLE": "web",
        "SECRET_KEY": django_settings.SECRET_KEY,
        "DATABASE_URL": database_url(),
        "REDIS_URL": own_redis.url,
    }
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, *SERVERS[request.param], str(port)], env=environment, stdout=log, stderr=log
    )

    def answers() -> bool:
        assert server.poll() is None, (tmp_path / "server.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    wait_until(answers, timeout=30, what="the server")
    yield port
    server.send_signal(signal.SIGTERM)
    try:
        assert server.wait(PATIENCE) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.wait()


async def receive(client, count: int) -> list[int]:
    async with asyncio.timeout(PATIENCE):
        return [json.loads(await client.recv())["id"] for _ in range(count)]


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice_with_or_without_redis(server_port, own_redis, user):
    run = await database(new_run, user)
    token = await database(access_token, user)
    url = f"ws://127.0.0.1:{server_port}/ws/{run.pk}"
    client = await websockets.connect(f"{url}?last_id=0", subprotocols=["bearer", token])
    assert client.subprotocol == "bearer"
    await database(append_values, run.pk, range(50))
    seen = await receive(client, 30)
    client.transport.abort()  # cut off in mid-stream
    await database(append_values, run.pk, range(50))  # nobody is there
    async with websockets.connect(f"{url}?last_id={seen[-1]}&token={token}") as client:
        seen += await receive(client, 70)
        await asyncio.to_thread(own_redis.kill)
        await database(append_values, run.pk, range(20))  # no wake-up: the 2 s poll brings them
        seen += await receive(client, 20)
        await asyncio.to_thread(own_redis.start)
        await asyncio.to_thread(
            wait_until, lambda: own_redis.client.pubsub_numpat() == 1, what="the server subscribed again"
        )
        await database(append_values, run.pk, range(5))
        seen += await receive(client, 5)
    assert seen == list(range(1, 126))

    async with websockets.connect(f"{url}?token=wrong") as client:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd.code == 4401


async def test_a_server_with_open_sockets_ends_when_told_to(server_port, user):
    run = await database(new_run, user)
    token = await database(access_token, user)
    await database(append_values, run.pk, [1.0])
    client = await websockets.connect(f"ws://127.0.0.1:{server_port}/ws/{run.pk}?last_id=0&token={token}")
    assert await receive(client, 1) == [1]
    # Left open: the fixture tells the server to end, and fails if it does not.
