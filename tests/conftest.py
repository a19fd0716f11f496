"""Fixtures for all tests: a Valkey server a test process, users, API clients."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from django.conf import settings
from django.db import connection

from automl_site import valkey
from tests import migrated

# A shell's background job ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow at everything; it has found no mistake by that.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def wait_until(
    condition: Callable[[], object],
    *,
    timeout: float = 20.0,
    what: str = "condition",
    told: Callable[[], str] = lambda: "",
    pause: float = 0.02,
) -> object:
    """Poll `condition` every `pause` seconds until it is true and return its value.

    After `timeout` seconds fail, naming `what`, with what is `told` then.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true within {timeout:g} s\n{told()}")
        time.sleep(pause)


def in_brief(cases: Iterable[Any], *always: Any) -> list[Any]:
    """Values for `parametrize`: those of `always` each time, the other `cases` in the full suite only."""
    return [case if case in always else pytest.param(case, marks=pytest.mark.full) for case in cases]


def examples(*, full: int, brief: int) -> int:
    """How many examples hypothesis tries: other ones each time, so that few a run are many in a week."""
    return full if os.environ.get("AUTOML_TESTS") == "full" else brief


def asks_for_database(item: pytest.Item) -> bool:
    """Whether the test has a database by a mark or fixture of its own."""
    names = {"db", "transactional_db", "live_server"}
    return item.get_closest_marker("django_db") is not None or not names.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what a second run, on another database, is about."""
    for item in items:
        if asks_for_database(item):
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session")
def migrated_cache(pytestconfig: pytest.Config) -> Path:
    """Where migrated SQLite files are kept for all test processes and the next runs."""
    return pytestconfig.cache.mkdir("migrated")


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """On SQLite the database lies there already: `django_db_modify_db_settings` has put it there."""
    return django_db_keepdb or connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, migrated_cache: Path) -> None:
    """A test database is a copy of a migrated one, in which nothing is left to migrate."""
    of_tests = connection.settings_dict["TEST"]
    of_tests["MIGRATE"] = False
    if connection.vendor == "sqlite":
        migrated.lay_migrated(Path(of_tests["NAME"]), cache=migrated_cache)
    else:
        of_tests["TEMPLATE"] = migrated.migrated_template()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database; what its threads' connections hold open ends before it is dropped."""
    yield
    if connection.vendor == "postgresql":
        # DROP DATABASE waits 5 s for the others, and fails then.
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {others}")


@pytest.fixture(scope="session")
def _valkey_server() -> Iterator[None]:
    socket = Path(settings.VALKEY_SOCKET)
    server = valkey.start(
        socket=socket,
        folder=Path(settings.DATA_DIR) / "valkey",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = redis.Redis.from_url(settings.REDIS_URL)

    def answers() -> bool:
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    wait_until(answers, what="Valkey")
    yield
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def _redis_to_empty(_valkey_server: None) -> redis.Redis:
    """One connection for all tests: to make one takes longer than to empty what is empty."""
    return redis.Redis.from_url(settings.REDIS_URL)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """No test leaves a signal ignored: all that is started after it would be deaf to it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.fixture(autouse=True)
def _redis(request: pytest.FixtureRequest) -> None:
    """Every test that touches the database has a Redis of its own process, emptied before it."""
    if not {"db", "transactional_db", "redis_client"}.isdisjoint(request.fixturenames):
        request.getfixturevalue("_redis_to_empty").flushall()


@pytest.fixture
def redis_client(_valkey_server: None) -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


@pytest.fixture
def files_root() -> Path:
    """The contracts' data root."""
    root = Path(settings.FILES_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    return root


@pytest.fixture
def data_root(settings: object, tmp_path: Path) -> Path:
    """A data folder of the test's own."""
    settings.DATA_DIR, settings.FILES_ROOT = tmp_path, tmp_path / "files"
    return tmp_path


@pytest.fixture
def make_user(db: None) -> Callable[..., object]:
    """make_user("ann") -> an active user with the password "password"."""
    from tracking.models import User

    def make(username: str = "ann", **fields: object) -> User:
        fields.setdefault("email", f"{username}@example.com")
        return User.objects.create_user(username, password="password", **fields)

    return make


@pytest.fixture
def user(make_user: Callable[..., object]) -> object:
    return make_user("ann")
