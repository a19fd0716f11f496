"""A metric point that was acknowledged is on disk, once, whatever is killed under load."""

import contextlib
import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil
import pytest

from scripts.with_postgres import PostgresServer
from tests.conftest import wait_until
from tests.recovery.up import START_SECONDS, Up

pytestmark = [pytest.mark.recovery, pytest.mark.full]
CLIENTS = 4
UNLIMITED = {
    "AUTOML_RATE_TRACKING_METRICS": "1000000/s",
    "AUTOML_RATE_TRACKING_MINUTE": "1000000/m",
    "AUTOML_RATE_TRACKING_HOUR": "1000000/h",
}


@dataclass
class Client:
    """Logs points, each with a value of its own, until it is told to end; counts what was acknowledged.

    With keys, a request is repeated until it is; without, a request whose answer was lost is given up.
    """

    address: str
    token: str
    run: int
    number: int
    keyed: bool
    acknowledged: Counter[float] = field(default_factory=Counter)
    sent: int = 0
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        for count in itertools.count():
            if self.ending.is_set():
                return
            value = self.number * 1_000_000.0 + count
            # Single points and batches, so that both ways of answering are met.
            points = [value] if count % 3 else [value, value + 0.25, value + 0.5]
            self.sent += len(points)
            if self._log(points, key=f"{self.number}-{count}"):
                self.acknowledged.update(points)

    def _log(self, points: list[float], *, key: str) -> bool:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, said = self._post(points, key)
                if status == 201:
                    return True
                if status < 500:
                    self.refusals.append(said)
                    return False
            if not self.keyed:
                return False
            self.ending.wait(0.05)

    def _post(self, points: list[float], key: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=20)
        body, path = {"name": "loss", "value": points[0]}, f"/metrics/{self.run}"
        if len(points) > 1:
            body, path = {"series": {"loss": {"values": points}}}, f"/metrics/{self.run}/batch"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if self.keyed:
            headers["Idempotency-Key"] = key
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


def sign_in(up: Up) -> str:
    up.post("/auth/register", {"email": "a@example.com", "username": "ada", "password": "a-long-password"})
    return str(up.post("/auth/login", {"username": "ada", "password": "a-long-password"})["access_token"])


def ask(up: Up, token: str, method: str, path: str, body: object = None) -> object:
    connection = http.client.HTTPConnection(urlsplit(up.address).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()
        return json.loads(answer.read())


def kept_under_load(up: Up, kill: Callable[[], None], times: int) -> bool:
    """Log from four clients, `kill` so many times while they do, and compare what is stored with what was answered."""
    token = sign_in(up)
    project = ask(up, token, "POST", "/projects/", {"name": "p"})["id"]  # type: ignore[index]
    runs = [ask(up, token, "POST", f"/runs/?project_id={project}", {"name": "r"})["id"] for _ in range(2)]  # type: ignore[index]
    clients = [Client(up.address, token, runs[number % 2], number, keyed=number < 2) for number in range(CLIENTS)]
    try:
        for _ in range(times):
            before = [len(client.acknowledged) for client in clients]

            def all_went_on(before: list[int] = before) -> bool:
                return all(len(client.acknowledged) > had + 5 for client, had in zip(clients, before, strict=True))

            wait_until(all_went_on, timeout=START_SECONDS, what="points of every client")
            kill()
        wait_until(lambda: up.healthy(), timeout=START_SECONDS, what="health after the last kill")
    finally:
        for client in clients:
            client.ending.set()
        for client in clients:
            client.thread.join()
    assert [refusal for client in clients for refusal in client.refusals] == []
    stored = Counter(value for run in runs for value in history(up, token, run))
    assert stored and max(stored.values()) == 1, "doubled"
    for client in clients:
        assert client.acknowledged <= stored, "acknowledged, and lost"
        if client.keyed:
            own = {value for value in stored if value // 1_000_000 == client.number}
            assert own == set(client.acknowledged)
    return True


def history(up: Up, token: str, run: int) -> list[float]:
    return ask(up, token, "GET", f"/metrics/{run}/history/loss")["values"]  # type: ignore[index, no-any-return]


def web_killer(up: Up) -> Callable[[], None]:
    def kill() -> None:
        victim = up.child("supervisor.serve")
        victim.kill()

        def replaced() -> bool:
            with contextlib.suppress(StopIteration, psutil.Error):
                return up.child("supervisor.serve").pid != victim.pid
            return False

        wait_until(replaced, timeout=START_SECONDS, what="a new web process")

    return kill


def test_a_web_process_killed_under_load_loses_nothing_that_it_acknowledged(start: Callable[..., Up]) -> None:
    up = start("data", **UNLIMITED).ready()
    assert kept_under_load(up, web_killer(up), 3)


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def test_twenty_kills_of_the_web_process_on_postgresql_lose_nothing(
    start: Callable[..., Up],
    postgres: PostgresServer,
) -> None:
    up = start("data", DATABASE_URL=postgres.url, **UNLIMITED).ready()
    assert kept_under_load(up, web_killer(up), 20)


def test_a_database_killed_under_load_has_kept_what_was_acknowledged(
    start: Callable[..., Up],
    postgres: PostgresServer,
) -> None:
    up = start("data", DATABASE_URL=postgres.url, **UNLIMITED).ready()

    def kill() -> None:
        family = psutil.Process(postgres.process.pid).children(recursive=True)
        postgres.process.kill()
        postgres.process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        postgres.start()

    assert kept_under_load(up, kill, 5)
