"""Fixtures of the admin's tests: an operator, and at least one row of everything there is."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client, override_settings

from jobs import lifecycle, queue
from jobs.models import Lease, SubmissionKey
from jobs.services.artifact_uploads import upload_append, upload_begin
from jobs.services.artifacts import artifact_put
from tests.pages_server.things import Things, worker
from tracking import store
from tracking.models import IdempotencyKey, Project, ProjectMember, Run, User, UserRate
from tracking.services.accounts import api_key_create
from tracking.services.environments import environment_set
from tracking.services.metrics import points_log
from tracking.services.saved_views import saved_view_save


@pytest.fixture(autouse=True)
def _own_redis_connection():
    queue.close_connections()
    yield
    queue.close_connections()


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("operator", is_staff=True, is_superuser=True)


@pytest.fixture
def admin_client(client: Client, operator: User) -> Client:
    ContentType.objects.get_for_models(*apps.get_models())  # read once a process: no page's own queries
    client.force_login(operator)
    return client


@pytest.fixture
def things(user: User, data_root: Path) -> Things:
    return Things(user)


def fill(things: Things, count: int, *, first: int = 0) -> None:
    """`count` rows of everything, and more of some."""
    data_path = things.dataset().public_id
    for number in range(first, first + count):
        order = {"data_path": data_path, "description": f"job {number}"}
        things.running(**order)
        job = things.training(**order)
        things.failed(**order)
        things.prediction(things.model(order=order))
        things.dataset(f"height,kind\n{number},a\n", filename=f"plants {number}.csv")
        worker(f"worker-{number}")
        api_key_create(owner=things.owner, name=f"key {number}")
        member = User.objects.create_user(f"member{number}", f"member{number}@example.com")
        project = Project.objects.create(owner=things.owner, name=f"garden {number}")
        ProjectMember.objects.create(project=project, user=member)
        UserRate.objects.create(user=member, name=UserRate.Name.TRACKING_MINUTE, rate="5/m")
        run = Run.objects.create(project=project, name=f"run {number}")
        points_log(run_id=run.pk, points=[store.Point("loss", float(number))])
        store.fold_run(run.pk)
        environment_set(run_id=run.pk, environment={"host": "greenhouse"}, git={"commit": "0" * 40, "diff": "+1"})
        artifact_put(user=things.owner, run_id=run.pk, path="notes.txt", file=io.BytesIO(b"%d" % number))
        digest = hashlib.sha256(b"leaf").hexdigest()
        upload, _ = upload_begin(user=things.owner, run_id=run.pk, path="leaves.bin", size=4, sha256=digest)
        sent = {"user": things.owner, "run_id": run.pk, "upload_id": upload.public_id}
        upload_append(**sent, offset=0, file=io.BytesIO(b"leaf"))
        saved_view_save(user=things.owner, project=project, name=f"view {number}", address="sort=name")
        IdempotencyKey.objects.create(user=member, run=run, key=f"key {number}", fingerprint="0", answer={})
        SubmissionKey.objects.create(user=member, key=f"key {number}", fingerprint="0", job=job)
        Group.objects.create(name=f"group {number}")
        Lease.objects.create(name=f"lease {number}", holder="here", renewed_at=lifecycle.database_now())


@pytest.fixture
def everything(things: Things) -> Things:
    fill(things, 1)
    return things


@pytest.fixture(scope="module")
def standing(
    django_db_setup: None, django_db_blocker: Any, _valkey_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Things]:
    """`everything`, made once for a module whose tests all ask for it: each is rolled back to it."""
    root = tmp_path_factory.mktemp("data")
    with (
        django_db_blocker.unblock(),
        override_settings(DATA_DIR=root, FILES_ROOT=root / "files"),
        transaction.atomic(),
    ):
        things = Things(User.objects.create_user("gardener", "gardener@example.com"))  # beside the `user` of a test
        fill(things, 1)
        yield things
        transaction.set_rollback(True)
