"""Fixtures of the pages without a browser: signed-in clients, and things to look at."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from jobs import queue
from tests.pages_server.things import Things
from tracking.models import User


@pytest.fixture(autouse=True)
def _own_redis_connection():
    queue.close_connections()
    yield
    queue.close_connections()


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def things(user: User, data_root: Path) -> Things:
    """The things of ann, who is signed in."""
    return Things(user)


@pytest.fixture
def bobs(make_user: Callable[..., User], data_root: Path) -> Things:
    """The things of somebody else."""
    return Things(make_user("bob"))
